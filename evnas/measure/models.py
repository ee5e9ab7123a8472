"""A module from a record's `arch`: one of ours, or a peer of timm under the same protocol."""

from collections.abc import Mapping
from typing import Any

from torch import nn

from evnas.blocks.backbone import build
from evnas.kernels import Impl
from evnas.measure.peers import peer
from evnas.space.arch import ArchSpec


def model_for(arch: Mapping[str, Any], *, resolution: int, impl: Impl = "auto") -> nn.Module:
    """The published form at its own classes, fresh parameters from torch's global generator.

    Args:
        arch: `ArchSpec.to_dict()`, or `{"timm": NAME}`.
        resolution: of the images; peers with a fixed input size are built for it.
        impl: of our operators; `reference` where a runtime does not know them.
    """
    if "timm" in arch:
        return peer(str(arch["timm"]), resolution=resolution)
    return build(ArchSpec.from_dict(arch), impl=impl)


def proxy_model(arch: Mapping[str, Any], proxy: Mapping[str, Any], *, classes: int) -> nn.Module:
    """The form that the proxy trains: width and stem stride of the proxy, its number of classes.

    A peer has neither axis: it trains as it is.
    """
    if "timm" in arch:
        return peer(str(arch["timm"]), resolution=proxy["resolution"], num_classes=classes)
    scaled = ArchSpec.from_dict(arch).scaled(proxy["width"], stem_stride=proxy["stem_stride"])
    return build(ArchSpec.from_dict(scaled.to_dict() | {"num_classes": classes}))

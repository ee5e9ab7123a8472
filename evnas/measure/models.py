"""A module from a record's `arch`: one of ours, or a peer of timm under the same protocol."""

from collections.abc import Mapping
from typing import Any

from torch import nn

from evnas.arch.spec import ArchSpec
from evnas.blocks.backbone import build
from evnas.errors import SpecError, nearest
from evnas.kernels import Impl

SWIN_WINDOWS = 32
"""A Swin's windows are a 32nd of the image's side, as in its own configurations: 7 at 224, 12 at
384. VMamba (Table 9) and VSSD (Table 1) tested it so, which their printed FLOPs show."""


def must_be_a_peer(name: str, path: str = "timm") -> None:
    """Raises SpecError at `path` where timm has no model of that name."""
    import timm  # it takes as long as torch, and most work has no peer

    if not timm.is_model(name):
        raise SpecError(f"timm has no model {name!r}{nearest(name, timm.list_models())}", path)


def peer(name: str, *, resolution: int, num_classes: int = 1000) -> nn.Module:
    """A model of timm without pretrained weights.

    Args:
        resolution: side of the images in pixels; models of a fixed input size are built for it.

    Raises:
        SpecError: timm has no model of that name.
    """
    import timm  # likewise

    must_be_a_peer(name)
    config = timm.get_pretrained_cfg(name)
    sizes: dict[str, Any] = {}
    if config is not None and config.fixed_input_size:
        sizes["img_size"] = resolution
    if name.startswith("swin_") and resolution % SWIN_WINDOWS == 0:
        sizes["window_size"] = resolution // SWIN_WINDOWS
    model: nn.Module = timm.create_model(name, num_classes=num_classes, **sizes)
    return model


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

"""timm's models as peers: built without weights, at the resolution that they are asked for."""

from typing import Any

import timm
from torch import nn

from evnas.errors import SpecError, nearest

SWIN_WINDOWS = 32
"""A Swin's windows are a 32nd of the image's side, as in its own configurations: 7 at 224, 12 at
384. VMamba (Table 9) and VSSD (Table 1) tested it so, which their printed FLOPs show."""


def peer(name: str, *, resolution: int, num_classes: int = 1000) -> nn.Module:
    """A model of timm without pretrained weights.

    Args:
        resolution: side of the images in pixels; models of a fixed input size are built for it.

    Raises:
        SpecError: timm has no model of that name.
    """
    if not timm.is_model(name):
        raise SpecError(f"timm has no model {name!r}{nearest(name, timm.list_models())}", "timm")
    config = timm.get_pretrained_cfg(name)
    sizes: dict[str, Any] = {}
    if config is not None and config.fixed_input_size:
        sizes["img_size"] = resolution
    if name.startswith("swin_") and resolution % SWIN_WINDOWS == 0:
        sizes["window_size"] = resolution // SWIN_WINDOWS
    model: nn.Module = timm.create_model(name, num_classes=num_classes, **sizes)
    return model

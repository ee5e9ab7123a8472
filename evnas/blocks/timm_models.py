"""The catalogue under timm's roof: `timm.create_model("evnas_vssd_tiny", num_classes=10)`."""

from collections.abc import Callable, Sequence
from typing import Any

from torch import nn

from evnas.arch.catalog import Entry, catalog
from evnas.arch.paths import edit
from evnas.blocks.backbone import build

PREFIX = "evnas_"
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

default_cfgs: dict[str, dict[str, Any]] = {
    PREFIX + name: {
        "url": "",
        "num_classes": entry.arch.num_classes,
        "input_size": (3, entry.resolution, entry.resolution),
        "pool_size": None,
        "crop_pct": 224 / 256,
        "interpolation": "bicubic",
        "mean": IMAGENET_MEAN,
        "std": IMAGENET_STD,
    }
    for name, entry in catalog().items()
}
"""What timm reads beside the entry points: input size and normalization of each."""


def register_timm() -> list[str]:
    """Register every architecture of the catalogue with timm, as evnas_NAME.

    A second call changes nothing.

    Returns:
        The names, to be given to `timm.create_model`, which takes `num_classes`, `features_only`,
        `out_indices` and `drop_path_rate` with them. There are no pretrained weights: those are
        loaded with `evnas.load_official`.
    """
    import timm  # its import costs more than all of ours

    for name, entry in catalog().items():
        if not timm.is_model(PREFIX + name):
            timm.models.register_model(_entry_point(entry))
    return [PREFIX + name for name in catalog()]


def _entry_point(entry: Entry) -> Callable[..., nn.Module]:
    def create(
        pretrained: bool = False,
        *,
        pretrained_cfg: Any = None,
        pretrained_cfg_overlay: Any = None,
        cache_dir: Any = None,
        num_classes: int = entry.arch.num_classes,
        features_only: bool = False,
        out_indices: Sequence[int] | None = None,
        drop_path_rate: float = 0.0,
    ) -> nn.Module:
        if pretrained:
            raise ValueError(
                f"{PREFIX}{entry.name} has no weights in timm; "
                f"use evnas.load_official({entry.name!r}, FILE)"
            )
        model = build(
            edit(entry.arch, {"num_classes": num_classes}),
            features_only=features_only,
            out_indices=out_indices,
            drop_path=drop_path_rate,
        )
        config = default_cfgs[PREFIX + entry.name] | {"num_classes": num_classes}
        model.__dict__["pretrained_cfg"] = config  # where timm's data code looks for it
        return model

    create.__name__ = PREFIX + entry.name
    create.__doc__ = f"{entry.name} of evnas's catalogue."
    return create

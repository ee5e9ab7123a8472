"""The catalogue under timm's roof: `timm.create_model("evnas_vssd_tiny", num_classes=10)`."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from evnas.arch.catalog import Entry, catalog
from evnas.arch.spec import ArchSpec
from evnas.blocks.efficientvim import EfficientVimBlock
from evnas.blocks.fill import under_our_names
from evnas.blocks.norms import BatchNorm1d, BatchNorm2d, ChannelNorm
from evnas.blocks.timm_backbone import TimmBackbone
from evnas.blocks.vssd import VssdBlock
from evnas.mixers import MIXERS
from evnas.registry import place_of

PREFIX = "evnas_"
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CROP_FRACTION = 224 / 256

FIRST_CONVOLUTIONS: Mapping[str, str] = {
    "efficientvim": "stem.convs.0.conv",
    "vssd": "stem.entry.conv",
    "vssd_simple": "stem.conv",
    "vmamba_v1": "stem.conv",
    "vmamba_v2": "stem.conv1",
}


def _classifiers(arch: ArchSpec) -> tuple[str, ...]:
    """The layers whose rows are classes."""
    sources = {"hidden": len(arch.stages) + 1, "features": len(arch.stages), "none": 0}
    count = sources[arch.head.fusion]
    names = [f"classifiers{{}}.{i}" for i in range(count)] or ["classifier{}"]
    ends = ("", "_dist") if arch.head.distillation else ("",)
    return tuple(f"head.{name.format(end)}" for end in ends for name in names)


default_cfgs: dict[str, dict[str, Any]] = {
    PREFIX + name: {
        "url": "",
        "num_classes": entry.arch.num_classes,
        "input_size": (3, entry.resolution, entry.resolution),
        "pool_size": (-(-entry.resolution // entry.arch.reduction[-1]),) * 2,
        "crop_pct": CROP_FRACTION,
        "interpolation": "bicubic",
        "mean": IMAGENET_MEAN,
        "std": IMAGENET_STD,
        "first_conv": FIRST_CONVOLUTIONS[entry.arch.stem.kind],
        "classifier": _classifiers(entry.arch),
    }
    for name, entry in catalog().items()
}
"""What timm reads beside the entry points: input size, normalization, and which layers depend on
the image's channels and the classes."""


def register_timm() -> list[str]:
    """Register every architecture of the catalogue with timm, as evnas_NAME.

    A second call changes nothing.

    Returns:
        The names, to be given to `timm.create_model`. The models keep timm's contract, so its
        arguments, `features_only` among them, and its scripts work on them. There are no
        pretrained weights: `checkpoint_path`, or `pretrained=True` with a
        `pretrained_cfg_overlay` of a `file`, takes released ones too.
    """
    import timm  # its import costs more than all of ours

    for module in _whole_to_fx():
        timm.models.register_notrace_module(module)
    for name, entry in catalog().items():
        if not timm.is_model(PREFIX + name):
            timm.models.register_model(_entry_point(entry))
    return [PREFIX + name for name in catalog()]


def _whole_to_fx() -> list[type[nn.Module]]:
    """Modules that torch.fx keeps whole: they ask for sizes, dtypes or what a mixer returned."""
    mixers = [place_of(mixer.module) for mixer in MIXERS.usable().values()]
    return [ChannelNorm, BatchNorm2d, BatchNorm1d, EfficientVimBlock, VssdBlock, *mixers]


def _entry_point(entry: Entry) -> Callable[..., nn.Module]:
    def create(pretrained: bool = False, **settings: Any) -> nn.Module:
        overlay = settings.get("pretrained_cfg_overlay") or {}
        given = [settings.get("pretrained_cfg"), overlay]
        if pretrained and not any(_has_weights(config) for config in given):
            raise ValueError(
                f"{PREFIX}{entry.name} has no weights in timm; "
                f"use evnas.load_official({entry.name!r}, FILE), or checkpoint_path=FILE"
            )
        from timm.models import build_model_with_cfg

        model: nn.Module = build_model_with_cfg(
            functools.partial(TimmBackbone, entry.arch),
            PREFIX + entry.name,
            pretrained,
            pretrained_filter_fn=_renamed,
            feature_cfg={
                "out_indices": tuple(range(len(entry.arch.stages))),
                "feature_cls": "getter",
            },
            **settings,
        )
        return model

    create.__name__ = PREFIX + entry.name
    create.__doc__ = f"{entry.name} of evnas's catalogue."
    return create


def _has_weights(config: Any) -> bool:
    """Whether a configuration of timm's says where weights are."""
    fields = config if isinstance(config, Mapping) else vars(config) if config else {}
    return any(fields.get(key) for key in ("file", "url", "hf_hub_id", "state_dict"))


def _renamed(state: Mapping[str, Any], model: nn.Module) -> dict[str, Any]:
    assert isinstance(model, TimmBackbone)
    return under_our_names(model.arch, state, own=model.state_dict())

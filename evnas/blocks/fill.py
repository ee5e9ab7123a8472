"""Fill a model from a state dict under any names, and say what does not fit."""

import functools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from evnas.arch.catalog import catalog
from evnas.arch.spec import ArchSpec
from evnas.blocks.backbone import Backbone, build
from evnas.blocks.features import FeatureBackbone
from evnas.blocks.names import Shape, ShapeMap, renewed, same
from evnas.blocks.naming import family_of, official_keys
from evnas.blocks.unwrap import unwrapped
from evnas.errors import DataError, SpecError

CLASSIFIERS = ("head.classifier", "head.classifiers", "head.classifier_dist")
COLOURS = 3


def fill(
    model: nn.Module, state: Mapping[str, Any], *, where: str, new_classifier: bool = False
) -> tuple[str, ...]:
    """Fill a model in place; the names in `state` of what was left out.

    Args:
        model: a `Backbone` or `FeatureBackbone`.
        state: an unwrapped state dict, under our names or the release's, new or old.
        where: begins the complaint.
        new_classifier: leave the classifiers of `state` out.

    Raises:
        SpecError: the names are not ours, and the architecture has no official ones.
        DataError: keys or shapes that are not this architecture's.
    """
    if not isinstance(model, Backbone | FeatureBackbone) or model.arch is None:
        raise SpecError(f"weights are loaded into models of build, got {type(model).__name__}")
    own = model.state_dict()
    if new_classifier:
        own = {key: value for key, value in own.items() if not is_classifier(key)}
    match = _matched(model.arch, {key: tuple(v.shape) for key, v in own.items()}, state)
    if match.faults:
        raise DataError(f"{where}: {'; '.join(match.faults)}{_advice(model.arch, state, match)}")
    taken = {key: _reshaped(state[given], own[key]) for key, given in match.given.items()}
    counters = {key: torch.zeros_like(own[key]) for key in match.counters}
    model.load_state_dict(taken | counters, strict=False)
    return match.left_out


def under_our_names(
    arch: ArchSpec, state: Mapping[str, Any], *, own: Mapping[str, Tensor]
) -> dict[str, Any]:
    """A state dict under our names, in our shapes where sizes agree; what has no name of ours
    keeps its own."""
    held = unwrapped(state)
    names = _names(arch, held)
    found = {}
    for key, value in held.items():
        ours = names[key][0] if key in names else key
        like = own.get(ours)
        fits = like is not None and isinstance(value, Tensor) and value.numel() == like.numel()
        found[ours] = value.reshape(like.shape) if fits and like is not None else value
    return found


def is_classifier(key: str) -> bool:
    """Whether a key of ours is of a classifier."""
    return key.startswith(CLASSIFIERS)


@dataclass(frozen=True, slots=True)
class _Match:
    given: Mapping[str, str]
    """Our key -> the key in the state dict."""
    counters: tuple[str, ...]
    """Ours that old files lack, and that say nothing of the weights."""
    left_out: tuple[str, ...]
    faults: tuple[str, ...]
    only_classifier: bool
    """Whether nothing but the shape of classifiers is wrong."""


def _matched(arch: ArchSpec, own: Mapping[str, Shape], state: Mapping[str, Any]) -> _Match:
    names = _names(arch, state)
    given = {ours: key for key, (ours, _) in names.items() if ours in own}
    views = {ours: view for ours, view in names.values()}
    official = _official_names(arch) if any(v is not same for v in views.values()) else {}
    counters = tuple(k for k in own if k not in given and k.endswith("num_batches_tracked"))
    missing = [official.get(k, k) for k in own if k not in given and k not in counters]
    unexpected = [str(key) for key in state if key not in names]
    wrong = [
        (ours, key)
        for ours, key in given.items()
        if not _fits(state[key], views[ours](own[ours]))
        and not _is_other_colours(ours, own[ours], state[key])
    ]
    misshapen = [
        f"{key} ({_shape_of(state[key])}, must be {views[ours](own[ours])})" for ours, key in wrong
    ]
    faults = tuple(_said(missing, unexpected, misshapen))
    only = not missing and not unexpected and all(is_classifier(ours) for ours, _ in wrong)
    left_out = tuple(key for key, (ours, _) in names.items() if ours not in own)
    return _Match(given, counters, left_out, faults, only)


def _names(arch: ArchSpec, state: Mapping[str, Any]) -> dict[str, tuple[str, ShapeMap]]:
    """Key in the state dict -> our key of the whole model, and the shape there from ours."""
    ours = _whole(arch)
    known: dict[str, tuple[str, ShapeMap]] = {key: (key, same) for key in state if key in ours}
    if 2 * len(known) >= len(state):
        return known
    pairs = official_keys(arch, list(ours))
    found = {}
    for key in state:
        name = key if key in pairs else renewed(family_of(arch), str(key))
        if name in pairs and (name == key or name not in state):
            found[key] = pairs[name]
    return found


def _official_names(arch: ArchSpec) -> dict[str, str]:
    pairs = official_keys(arch, list(_whole(arch)))
    return {ours: official for official, (ours, _) in pairs.items()}


@functools.lru_cache(maxsize=256)  # a refusal asks twice for the whole catalogue's
def _whole(arch: ArchSpec) -> Mapping[str, Shape]:
    """Our keys and shapes of the whole model."""
    with torch.device("meta"):
        return {key: tuple(v.shape) for key, v in build(arch).state_dict().items()}


def _said(*kinds: list[str]) -> Iterator[str]:
    """The first of each kind and how many more."""
    for kind, found in zip(("missing", "unexpected", "misshapen"), kinds, strict=True):
        if found:
            yield f"{kind} {found[0]}" + (f" and {len(found) - 1} more" if found[1:] else "")


def _advice(arch: ArchSpec, state: Mapping[str, Any], match: _Match) -> str:
    """Which model it fits, or how to go on with another number of classes."""
    if match.only_classifier:
        return (
            "; a model of other classes keeps its own classifier with new_classifier=True "
            "(--new-classifier)"
        )
    fitting = [e.name for e in catalog().values() if e.arch != arch and _fits_whole(e.arch, state)]
    return f"; it fits {' and '.join(fitting)}" if fitting else ""


def _fits_whole(arch: ArchSpec, state: Mapping[str, Any]) -> bool:
    try:
        return _matched(arch, _whole(arch), state).only_classifier
    except SpecError:
        return False


def _fits(value: object, shape: Shape) -> bool:
    """Equal but for ones: releases keep 1x1 convolutions as matrices or as 4-D, and timm keeps
    EfficientViM's layer norms as vectors."""
    return isinstance(value, Tensor) and _squeezed(tuple(value.shape)) == _squeezed(shape)


def _is_other_colours(ours: str, shape: Shape, value: object) -> bool:
    """A stem's first convolution of three colours, where the model takes another number."""
    return (
        isinstance(value, Tensor)
        and ours.startswith("stem.")
        and len(shape) == value.ndim == 4
        and value.shape[1] == COLOURS != shape[1]
        and (value.shape[0], *value.shape[2:]) == (shape[0], *shape[2:])
    )


def _reshaped(value: Tensor, own: Tensor) -> Tensor:
    if value.numel() == own.numel():
        return value.reshape(own.shape)
    return for_channels(value, own.shape[1])


def for_channels(weight: Tensor, channels: int) -> Tensor:
    """A convolution's weight of three colours, (C, 3, k, k), for images of `channels`.

    One channel gets the sum of the three; more get them in turn, scaled so that an image whose
    channels are equal gives what it gave.
    """
    if channels == 1:
        return weight.sum(1, keepdim=True)
    turns = math.ceil(channels / COLOURS)
    return weight.repeat(1, turns, 1, 1)[:, :channels] * (COLOURS / channels)


def _squeezed(shape: Shape) -> Shape:
    return tuple(size for size in shape if size != 1)


def _shape_of(value: object) -> str:
    return str(tuple(value.shape)) if isinstance(value, Tensor) else type(value).__name__

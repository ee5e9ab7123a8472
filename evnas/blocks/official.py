"""Released checkpoints in and out: official state dict -> our model, and back, bit for bit."""

import argparse
import re
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from evnas.arch.catalog import entry
from evnas.arch.spec import ArchSpec
from evnas.blocks.backbone import Backbone, build
from evnas.blocks.names import Shape
from evnas.blocks.naming import official_keys
from evnas.errors import DataError, SpecError

NESTS = ("model_ema", "state_dict_ema", "model", "state_dict")
"""Where checkpoints keep their state dict, tried in this order: EfficientViM's hold `model` and
`model_ema`, and its averaged weights are those of the printed accuracy."""

PLAIN = (argparse.Namespace, (OrderedDict, "yacs.config.CfgNode"))
"""What the releases' training code saves beside tensors: its settings. They are data; yacs' nodes
are read as mappings, and yacs itself is never called."""

WRAPPER = "module."
"""Before every key, where the model was saved inside DataParallel or a moving average."""


def load_official(name: str, state: Mapping[str, Any] | str | Path) -> nn.Module:
    """A published architecture with its released weights, in eval mode.

    Args:
        name: a name or alias of the catalogue, such as `efficientvim_m2_dist`.
        state: the official state dict, or a file that holds it, bare or under one of `NESTS`,
            with or without `module.` before its keys. Files are read with `weights_only=True`:
            no code of theirs runs.

    Returns:
        A `Backbone` in eval mode.

    Raises:
        SpecError: no architecture has that name, or none was released.
        DataError: the file cannot be read, or its keys or shapes are not this architecture's.
    """
    found = entry(name)
    if not found.official:
        raise SpecError(f"{found.name} was never released, so it has no official weights")
    source = str(state) if isinstance(state, str | Path) else "the state dict"
    held = read_checkpoint(state) if isinstance(state, str | Path) else state
    model = build(found.arch)
    _fill(model, found.arch, _unnested(held), where=f"{source} is not {found.name}")
    return model.eval()


def load_state(model: Backbone, state: Mapping[str, Any]) -> None:
    """Fill a model with a state dict under official names or under ours, in place.

    Raises:
        SpecError: the names are not ours, and the architecture has no official ones.
        DataError: keys or shapes that are not this architecture's.
    """
    held, where = _unnested(state), "the state dict does not fit the model"
    ours = model.state_dict()
    if held.keys() != ours.keys():
        _fill(model, model.arch, held, where=where)
        return
    faults = _faults(held, {key: tuple(value.shape) for key, value in ours.items()})
    if faults:
        raise DataError(f"{where}: {'; '.join(faults)}")
    model.load_state_dict({key: held[key].reshape(value.shape) for key, value in ours.items()})


def to_official(model: nn.Module) -> dict[str, Tensor]:
    """The model's weights under official names, in the order and shapes of the release.

    Raises:
        SpecError: the architecture has no official names.
    """
    if not isinstance(model, Backbone):
        raise SpecError(f"to_official needs a model that evnas built, got {type(model).__name__}")
    ours = model.state_dict()
    return {
        official: ours[key].reshape(view(tuple(ours[key].shape)))
        for official, (key, view) in official_keys(model.arch, list(ours)).items()
    }


def read_checkpoint(path: str | Path) -> Mapping[str, Any]:
    """A checkpoint file as a mapping, read without running code from it.

    Raises:
        DataError: it is missing, is no checkpoint, or holds more than tensors and plain data.
    """
    try:
        with torch.serialization.safe_globals(list(PLAIN)):
            held = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise DataError(f"there is no file {path}") from None
    except Exception as e:  # a damaged file makes torch raise anything, struct.error for one
        raise DataError(
            f"{path} must be a checkpoint of tensors and plain data alone, got: {_reason(e)}"
        ) from e
    if not isinstance(held, Mapping):
        raise DataError(f"{path} must hold a state dict, got {type(held).__name__}")
    return held


def _reason(error: Exception) -> str:
    """What is wrong with a checkpoint, without torch's advice to run its code all the same."""
    found = re.search(r"GLOBAL (\S+)", str(error))
    if found:
        return f"an object of {found[1]}; save the state dict alone where that is installed"
    return str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__


def _unnested(held: Mapping[str, Any]) -> Mapping[str, Any]:
    """The state dict in a checkpoint, under the model's own names."""
    found = next((held[nest] for nest in NESTS if isinstance(held.get(nest), Mapping)), held)
    if found and all(isinstance(key, str) and key.startswith(WRAPPER) for key in found):
        return {key.removeprefix(WRAPPER): value for key, value in found.items()}
    return found


def _fill(model: nn.Module, arch: ArchSpec, state: Mapping[str, Any], *, where: str) -> None:
    ours = model.state_dict()
    pairs = official_keys(arch, list(ours))
    shapes = {k: view(tuple(ours[key].shape)) for k, (key, view) in pairs.items()}
    faults = _faults(state, shapes)
    if faults:
        raise DataError(f"{where}: {'; '.join(faults)}")
    model.load_state_dict(
        {key: state[k].reshape(ours[key].shape) for k, (key, _) in pairs.items()}
    )


def _faults(state: Mapping[str, Any], shapes: Mapping[str, Shape]) -> list[str]:
    """What is wrong, the first of each kind and how many more."""
    missing = [k for k in shapes if k not in state]
    unexpected = [str(k) for k in state if k not in shapes]
    misshapen = [
        f"{k} ({_shape_of(state[k])}, must be {shape})"
        for k, shape in shapes.items()
        if k in state and not _fits(state[k], shape)
    ]
    kinds = (("missing", missing), ("unexpected", unexpected), ("misshapen", misshapen))
    return [
        f"{kind} {found[0]}" + (f" and {len(found) - 1} more" if len(found) > 1 else "")
        for kind, found in kinds
        if found
    ]


def _fits(value: object, shape: Shape) -> bool:
    """Equal but for ones: releases keep 1x1 convolutions as matrices or as 4-D, and timm keeps
    EfficientViM's layer norms as vectors."""
    return isinstance(value, Tensor) and _squeezed(tuple(value.shape)) == _squeezed(shape)


def _squeezed(shape: Shape) -> Shape:
    return tuple(size for size in shape if size != 1)


def _shape_of(value: object) -> str:
    return str(tuple(value.shape)) if isinstance(value, Tensor) else type(value).__name__

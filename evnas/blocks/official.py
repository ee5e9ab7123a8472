"""Released checkpoints in and out: official state dict -> our model, and back, bit for bit."""

import argparse
import re
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from evnas.arch.catalog import entry
from evnas.blocks.backbone import Backbone, build
from evnas.blocks.fill import fill
from evnas.blocks.naming import official_keys
from evnas.blocks.tensor_file import first_line, must_be_intact
from evnas.blocks.unwrap import unwrapped
from evnas.errors import DataError, SpecError

PLAIN: tuple[Any, ...] = (
    argparse.Namespace,
    (OrderedDict, "yacs.config.CfgNode"),
    (np.float64(0).__reduce__()[0], "numpy._core.multiarray.scalar"),
    (np.float64(0).__reduce__()[0], "numpy.core.multiarray.scalar"),
    np.dtype,
    *(type(np.dtype(kind)) for kind in ("float32", "float64", "int32", "int64", "bool")),
)
"""What training code saves beside tensors: its settings, and accuracies as NumPy's scalars. They
are data; yacs' nodes are read as mappings, and yacs itself is never called."""


def load_official(name: str, state: Mapping[str, Any] | str | Path) -> nn.Module:
    """A published architecture with its released weights, in eval mode.

    Args:
        name: a name or alias of the catalogue, such as `efficientvim_m2_dist`.
        state: the official state dict, or a file that holds it, as `load_state` takes it. Files
            are read with `weights_only=True`: no code of theirs runs.

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
    fill(model, unwrapped(held), where=f"{source} is not {found.name}")
    return model.eval()


def load_state(
    model: nn.Module, state: Mapping[str, Any], *, new_classifier: bool = False
) -> tuple[str, ...]:
    """Fill a model with a state dict under official names or under ours, in place.

    What training code wraps around a state dict is taken off (`evnas.blocks.unwrap`). A
    `FeatureBackbone` takes what it has of a whole model's; weights for three colours are adapted
    to a stem for more or fewer, as timm does.

    Args:
        model: a `Backbone` or `FeatureBackbone` that `build` made.
        state: the state dict, or the checkpoint that holds it.
        new_classifier: leave the classifiers of `state` out, and the model's own as they are.

    Returns:
        Names in `state`, unwrapped, of what was left out.

    Raises:
        SpecError: the names are not ours, and the architecture has no official ones.
        DataError: keys or shapes that are not this architecture's.
    """
    where = "the state dict does not fit the model"
    return fill(model, unwrapped(state), where=where, new_classifier=new_classifier)


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
        DataError: it is missing, damaged, or holds other than tensors and plain data.
    """
    must_be_intact(path)
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
    if isinstance(error, OSError):
        return first_line(error).rstrip(".")
    return f"a file that torch.save did not write, or other objects ({type(error).__name__})"

"""A training between two epochs, on disk: what a killed sweep or a next rung goes on from."""

import dataclasses
import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from evnas.blocks.tensor_file import load_tensors
from evnas.errors import DataError
from evnas.proxy.budget import ProxyBudget
from evnas.proxy.data import ProxyData

FREE_TO_CHANGE = frozenset({"limit_s", "held_out_images"})
"""Fields of the budget that do not change the training."""


def identity(
    model: nn.Module, data: ProxyData, budget: ProxyBudget, *, seed: int
) -> dict[str, Any]:
    """What must be the same for a training to go on: plain data."""
    shapes = [(name, tuple(value.shape)) for name, value in model.state_dict().items()]
    found = {
        f"budget.{name}": value
        for name, value in dataclasses.asdict(budget).items()
        if name not in FREE_TO_CHANGE and (name, value) != ("parts", 1)  # older ones lack it
    }
    model_digest = hashlib.sha256(repr(shapes).encode()).hexdigest()[:12]
    return {**found, "data": data.fingerprint, "model": model_digest, "seed": seed}


def save(path: Path, state: Mapping[str, Any]) -> None:
    """Write all or nothing: a kill leaves the file before or the file after."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    torch.save(dict(state), partial)
    os.replace(partial, path)


def load(path: Path, expected: Mapping[str, Any], *, device: torch.device) -> dict[str, Any]:
    """The state saved at `path`.

    Raises:
        DataError: it is no checkpoint, or one of another training.
    """
    state: dict[str, Any] = load_tensors(
        path,
        device=device,
        fault=lambda why: (
            f"{path} must be a checkpoint of a training, it cannot be read ({why}); delete it"
        ),
    )
    found = state.get("identity")
    if not isinstance(found, Mapping):
        raise DataError(
            f"{path} must be a checkpoint of a training, it says not of which; delete it"
        )
    for name, value in expected.items():
        if found.get(name) != value:
            raise DataError(
                f"{path} is the checkpoint of another training: {name} is {found.get(name)!r} "
                f"there and {value!r} here; delete it or name another path"
            )
    return state

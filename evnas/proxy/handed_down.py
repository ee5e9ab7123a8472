"""Weights that a trained parent hands down to a child of another shape, and the files of them.

What has the same name is copied as far as both reach along every axis: larger dims are sliced,
smaller ones padded with the child's fresh weights. Where several things lie along one axis (the
scan's dt, B and C in one projection), each is copied to its own place: modules that have such
parameters say so by a method `sections`, from a parameter's name to (axis, name -> size).
"""

import itertools
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from evnas.blocks.tensor_file import first_line, load_tensors
from evnas.errors import DataError

Sections = Mapping[str, tuple[int, Mapping[str, int]]]


def hand_down(parent: nn.Module, child: nn.Module) -> float:
    """Copy what both have, in place.

    Args:
        parent, child: two backbones, each of its own architecture.

    Returns:
        Share of the child's parameters that were copied, 0 to 1.
    """
    theirs, mine = sections_of(parent), sections_of(child)
    source, target = parent.state_dict(), child.state_dict()
    learnt = {name for name, _ in child.named_parameters()}
    copied = 0
    with torch.no_grad():
        for name, value in target.items():
            if name not in source or source[name].ndim != value.ndim:
                continue
            for there, here in _places(source[name], value, theirs.get(name), mine.get(name)):
                value[here].copy_(source[name][there])
                copied += value[here].numel() if name in learnt else 0
    return copied / max(1, sum(p.numel() for p in child.parameters()))


def sections_of(model: nn.Module) -> dict[str, tuple[int, Mapping[str, int]]]:
    """Whole name of a parameter -> (axis, name -> size), of all modules that say it."""
    found: dict[str, tuple[int, Mapping[str, int]]] = {}
    for name, module in model.named_modules():
        say = getattr(module, "sections", None)
        if callable(say):
            own: Sections = say()
            found |= {f"{name}.{of}" if name else of: part for of, part in own.items()}
    return found


Place = tuple[slice, ...]


def _places(
    source: Tensor,
    target: Tensor,
    theirs: tuple[int, Mapping[str, int]] | None,
    mine: tuple[int, Mapping[str, int]] | None,
) -> Iterator[tuple[Place, Place]]:
    """Where each piece lies in the parent's tensor and in the child's."""
    common = [slice(0, min(s)) for s in zip(source.shape, target.shape, strict=True)]
    if theirs is None or mine is None or theirs[0] != mine[0]:
        if theirs is None and mine is None:  # else it is not the same thing along the axis
            yield tuple(common), tuple(common)
        return
    axis = mine[0]
    starts = {name: start for name, start, _ in _laid(theirs[1])}
    for name, start, size in _laid(mine[1]):
        if name in starts:
            both = min(size, theirs[1][name])
            there, here = list(common), list(common)
            there[axis] = slice(starts[name], starts[name] + both)
            here[axis] = slice(start, start + both)
            yield tuple(there), tuple(here)


def _laid(sizes: Mapping[str, int]) -> Iterator[tuple[str, int, int]]:
    """(name, start, size) of sections that lie one behind the other."""
    ends = itertools.accumulate(sizes.values())
    for (name, size), end in zip(sizes.items(), ends, strict=True):
        yield name, end - size, size


@dataclass(frozen=True, slots=True, kw_only=True)
class Lineage:
    """Through which trainings weights have come."""

    digests: tuple[str, ...] = ()
    """The architectures that they were trained in, the first one from scratch."""
    presentations: float = 0.0
    """Image presentations of all those trainings together."""

    def then(self, digest: str, presentations: float) -> "Lineage":
        """One training more."""
        return Lineage(
            digests=(*self.digests, digest), presentations=self.presentations + presentations
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """What a trained candidate hands down."""

    arch: Mapping[str, Any]
    """`ArchSpec.to_dict()`."""
    state: Mapping[str, Tensor]
    lineage: Lineage

    def save(self, path: Path) -> None:
        """Write all or nothing: a kill leaves the file before or the file after."""
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
        raw = {"arch": dict(self.arch), "state": dict(self.state), "lineage": asdict(self.lineage)}
        torch.save(raw, partial)
        os.replace(partial, path)

    @classmethod
    def load(cls, path: Path, *, whose: str) -> "Weights":
        """What was saved, on the CPU.

        Args:
            path: the file.
            whose: for the message, such as `parent 1f718ccb763e`.

        Raises:
            DataError: it is not there, or is no such file.
        """

        def fault(why: str) -> str:
            return (
                f"{path} must hold the weights of {whose}, which are handed down, and cannot be "
                f"read ({why}); start the study again with --fresh"
            )

        raw = load_tensors(path, device="cpu", fault=fault)
        try:
            lineage = Lineage(
                digests=tuple(raw["lineage"]["digests"]),
                presentations=raw["lineage"]["presentations"],
            )
            return cls(arch=raw["arch"], state=raw["state"], lineage=lineage)
        except (KeyError, TypeError) as e:
            raise DataError(fault(first_line(e))) from e


def weights_file(folder: Path, digest: str, seed: int) -> Path:
    """Where a candidate's weights lie."""
    return folder / f"{digest}-seed{seed}.pt"

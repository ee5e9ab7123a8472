"""Checkpoints that say what they hold, written whole or not at all.

A **weights file** (`best.pt`, `best_ema.pt`) holds a model and all that is needed to use it. A
**checkpoint** (`checkpoints/epoch_0012.pt`) holds that and what the training goes on with. Both
are tensors and plain data: they are read with `weights_only=True`, and no code of theirs runs.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from evnas.arch.spec import ArchSpec
from evnas.blocks.backbone import build
from evnas.blocks.official import read_checkpoint
from evnas.blocks.tensor_file import first_line, must_be_intact
from evnas.errors import DataError, SpecError
from evnas.files import drafts_in, whole

FORMAT = 1
FOLDER = "checkpoints"
BEST = {"best_ema.pt": "ema_top1_percent", "best.pt": "top1_percent"}
"""Weights files of a training's folder, each with the metric that made it the best."""
_NAME = re.compile(r"epoch_(\d+)(?:_step_(\d+))?\.pt")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedWeights:
    """What a weights file or a checkpoint holds of a model."""

    path: Path
    arch: ArchSpec
    recipe: Mapping[str, Any]
    recipe_name: str
    epoch: int
    """Epochs finished when it was written."""
    metrics: Mapping[str, float]
    """The last point of the curve."""
    weights: Mapping[str, Tensor] | None
    """Raw; None in `best_ema.pt`."""
    weights_ema: Mapping[str, Tensor] | None
    """The moving average; None in `best.pt` and in trainings without one."""
    classes: tuple[str, ...]
    resolution: int
    """Side in pixels of the images in training."""
    crop_fraction: float
    interpolation: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    origin: Mapping[str, Any] = field(default_factory=dict)
    """Study, trial and label that the architecture came from; empty where it was named."""

    def state_dict(self, *, ema: bool | None = None) -> Mapping[str, Tensor]:
        """Weights under our names.

        Args:
            ema: the average's, or the raw ones; None for the average's where there are any.

        Raises:
            DataError: those that are asked for are not in the file.
        """
        chosen = self.weights_ema if ema or (ema is None and self.weights_ema) else self.weights
        if chosen is None:
            wanted = "a moving average" if ema else "raw weights"
            raise DataError(f"{self.path} must hold {wanted}, it does not")
        return chosen

    def model(self, *, ema: bool | None = None) -> nn.Module:
        """A `Backbone` with these weights, in evaluation mode. Raises DataError as above."""
        model = build(self.arch)
        try:
            model.load_state_dict(self.state_dict(ema=ema))
        except RuntimeError as e:
            raise DataError(
                f"{self.path} must hold weights of its architecture: {first_line(e)}"
            ) from e
        return model.eval()


def load_checkpoint(path: Path | str) -> TrainedWeights:
    """What a weights file, a checkpoint or a training's folder holds.

    Args:
        path: a file; or the folder of a training: the better of its best weights by held-out
            top-1, the average's where they are equal. In a short training the average lags.

    Raises:
        DataError: there is none, it is damaged, or it was not written by `evnas train`.
    """
    path = Path(path)
    if path.is_dir():
        return _better_of(path)
    return _loaded(path)


def _better_of(folder: Path) -> TrainedWeights:
    found = [_loaded(folder / name) for name in BEST if (folder / name).is_file()]
    if not found:
        raise DataError(f"{folder} must hold {' or '.join(BEST)}, it holds neither")
    return max(found, key=lambda held: held.metrics.get(BEST[held.path.name], 0.0))


def _loaded(path: Path) -> TrainedWeights:
    held = read_checkpoint(path)
    if held.get("format") != FORMAT or "arch" not in held:
        raise DataError(
            f"{path} must be a file that evnas train wrote, which says its architecture; load "
            "other weights by their architecture's name (--official, --weights)"
        )
    return _trained(path, held)


def _trained(path: Path, held: Mapping[str, Any]) -> TrainedWeights:
    try:
        return TrainedWeights(
            path=path,
            arch=ArchSpec.from_dict(held["arch"]),
            recipe=held["recipe"],
            recipe_name=held["recipe_name"],
            epoch=held["epoch"],
            metrics=held["metrics"],
            weights=held.get("model"),
            weights_ema=held.get("model_ema"),
            classes=tuple(held["classes"]),
            resolution=held["resolution"],
            crop_fraction=held["crop_fraction"],
            interpolation=held["interpolation"],
            mean=tuple(held["mean"]),
            std=tuple(held["std"]),
            origin=held["origin"],
        )
    except (KeyError, TypeError, SpecError) as e:
        raise DataError(f"{path} must say what its weights are of, got {e}") from e


def save(path: Path, content: Mapping[str, Any]) -> None:
    """Write all or nothing, and onto the disk: a kill or a power cut leaves the file before.

    Raises:
        StoreError: there is no room for it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole(path) as draft, draft.open("wb") as file:
        try:
            torch.save(dict(content), file)
        except RuntimeError as e:
            reason = e.__context__
            if isinstance(reason, OSError):  # torch's writer speaks of positions in place of it
                raise reason from None
            raise


def checkpoint_name(epoch: int, step: int) -> str:
    """The file of `epoch` finished epochs and `step` steps of the next."""
    return f"epoch_{epoch:04d}.pt" if step == 0 else f"epoch_{epoch:04d}_step_{step:06d}.pt"


def checkpoints_in(output: Path) -> list[Path]:
    """A training's checkpoints, the newest first."""
    found = []
    for path in (output / FOLDER).glob("epoch_*.pt"):
        name = _NAME.fullmatch(path.name)
        if name:
            found.append(((int(name[1]), int(name[2] or 0)), path))
    return [path for _, path in sorted(found, reverse=True)]


def keep_newest(output: Path, keep: int) -> None:
    """Delete all but the newest checkpoints, and what killed writers left behind."""
    for path in checkpoints_in(output)[keep:]:
        path.unlink(missing_ok=True)
    for path in drafts_in(output / FOLDER):
        path.unlink(missing_ok=True)


def newest_whole(output: Path, tell: Callable[[str], None]) -> tuple[Path, dict[str, Any]] | None:
    """The newest checkpoint that can be read, and what it holds; None where there is none.

    Args:
        tell: hears of each that is damaged.

    Raises:
        DataError: there are checkpoints, and none can be read.
    """
    damaged = []
    for path in checkpoints_in(output):
        try:
            held = _whole(path)
        except DataError as e:
            damaged.append(str(e))
            tell(f"{e}; the one before is taken")
            continue
        return path, held
    if damaged:
        raise DataError(
            f"{output / FOLDER} must hold a checkpoint that can be read, all {len(damaged)} are "
            "damaged; delete them to begin again"
        )
    return None


def _whole(path: Path) -> dict[str, Any]:
    must_be_intact(path, ours=True)
    held = dict(read_checkpoint(path))
    if held.get("format") != FORMAT or "progress" not in held:
        raise DataError(f"{path} must be a checkpoint of a training, it lacks what one goes on by")
    return held

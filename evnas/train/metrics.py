"""A training's curve on disk: JSON, CSV, JSON lines, and TensorBoard or W&B where installed."""

import csv
import importlib.util
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from evnas.errors import SpecError
from evnas.files import write_whole

Row = Mapping[str, float]


def write_curve(output: Path, curve: Sequence[Row], costs: Sequence[Row]) -> None:
    """`curve.json`, what repeats to the last bit; `metrics.csv` and `metrics.jsonl` with what each
    epoch cost beside it."""
    rows = [{**point, **cost} for point, cost in zip(curve, costs, strict=True)]
    write_whole(output / "curve.json", json.dumps(list(curve), indent=1) + "\n")
    write_whole(output / "metrics.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    columns = list(dict.fromkeys(key for row in rows for key in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_whole(output / "metrics.csv", text.getvalue())


class Sink(Protocol):
    """Where else the curve goes."""

    def write(self, epoch: int, row: Row) -> None:
        """One epoch, from 1."""
        ...

    def close(self) -> None:
        """Nothing comes any more."""
        ...


def sinks(
    output: Path, *, tensorboard: bool, wandb: bool, settings: Mapping[str, Any]
) -> list[Sink]:
    """Those that were asked for. Raises SpecError for one that is not installed."""
    found: list[Sink] = []
    if tensorboard:
        found.append(_TensorBoard(output / "tensorboard"))
    if wandb:
        found.append(_Wandb(output, settings))
    return found


def must_be_installed(*, tensorboard: bool, wandb: bool) -> None:
    """Raise SpecError for a sink that was asked for and is not installed."""
    if tensorboard and not (_has("tensorboard") or _has("tensorboardX")):
        raise SpecError("--tensorboard needs tensorboard, which is not installed: "
                        "pip install tensorboard")  # fmt: skip
    if wandb and not _has("wandb"):
        raise SpecError("--wandb needs wandb, which is not installed: pip install wandb")


def _has(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


class _TensorBoard:
    def __init__(self, folder: Path) -> None:
        must_be_installed(tensorboard=True, wandb=False)
        place = "torch.utils.tensorboard" if _has("tensorboard") else "tensorboardX"
        writer = importlib.import_module(place).SummaryWriter
        self._writer: Any = writer(str(folder))

    def write(self, epoch: int, row: Row) -> None:
        for name, value in row.items():
            if name != "epoch":
                self._writer.add_scalar(name, value, epoch)
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()


class _Wandb:
    def __init__(self, output: Path, settings: Mapping[str, Any]) -> None:
        must_be_installed(tensorboard=False, wandb=True)
        wandb: Any = importlib.import_module("wandb")
        self._run: Any = wandb.init(
            project="evnas",
            name=output.name,
            dir=str(output),
            config=dict(settings),
            mode="offline",  # nothing leaves the machine; `wandb sync` sends it
        )

    def write(self, epoch: int, row: Row) -> None:
        self._run.log(dict(row), step=epoch)

    def close(self) -> None:
        self._run.finish()

"""A study of made-up trials whose front is known."""

from pathlib import Path
from typing import Any

from evnas.arch.catalog import entry
from evnas.arch.paths import edit
from evnas.record import Measurement, Record
from evnas.store import Store

TINY = edit(
    entry("efficientvim_m1").arch,
    {"stages[*].dim": [16, 24, 32], "stages[*].depth": 1, "stages[*].mixer.states": 4},
)
TARGET = "cpu-torch-64-b1-float32"
SWEEP: dict[str, Any] = {
    "name": "made",
    "objectives": [
        {"metric": f"latency_ms@{TARGET}", "goal": "min"},
        {"metric": "top1_percent", "goal": "max"},
    ],
    "targets": [{"resolution": 64}],
}
FRONT = {"3": (1.0, 50.0), "0": (2.0, 64.0), "5": (6.0, 70.0), "2": (9.0, 71.0)}
"""Label -> latency in ms and top-1 in percent, fastest first; 0 lies farthest below the line."""
BEHIND = {"1": (7.0, 60.0), "4": (9.5, 70.5)}


def arch_of(label: str) -> Any:
    """Another architecture for each trial."""
    return edit(TINY, {"stages[0].dim": 16 + 8 * int(label)})


def made_study(
    folder: Path, points: dict[str, tuple[float, float]] | None = None, **sweep: Any
) -> Path:
    """A study with these trials, and a peer of timm that is better than all."""
    points = {**BEHIND, **FRONT} if points is None else points
    with Store.create(folder / "study.db", sweep=SWEEP | sweep, environment={}) as store:
        for label in sorted(points):
            for record in _records(label, arch_of(label), *points[label]):
                store.append(record)
        for record in _records("peer", None, 0.1, 99.0):
            store.append(record)
    return folder


def _records(label: str, arch: Any, latency_ms: float, top1: float) -> list[Record]:
    plain = {"timm": "resnet18"} if arch is None else arch.to_dict()
    digest = "timm" if arch is None else arch.digest
    about: dict[str, Any] = {"label": label, "digest": digest, "arch": plain}
    return [
        Record(
            **about,
            phase="speed",
            status="complete",
            target=TARGET,
            values={"latency_ms": latency_ms},
            measurements={"latency_ms": Measurement("latency_ms", (latency_ms,) * 3)},
        ),
        Record(
            **about,
            phase="proxy",
            status="complete",
            budget=100.0,
            values={"top1_percent": top1, "held_out_images": 1000.0},
        ),
    ]

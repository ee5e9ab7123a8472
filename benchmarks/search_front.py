"""Which members of a front beat printed models: `python benchmarks/search_front.py FOLDER`.

FOLDER holds `front.json` of a search by predicted top-1 and measured throughput. With `--measure`
every member and EfficientViM-M2 are timed first, in alternation with EfficientViM-M1, by `evnas
bench` on the runtime that is fastest here, and FOLDER gets `speeds.json`. Without, what is there
is printed: a row a member, with the probability that its predicted top-1 is no lower than that of
a printed model (the same recipe, joint draws), and who is faster than it at 90 % or more.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from evnas.arch.catalog import entry
from evnas.arch.spec import ArchSpec
from evnas.phases.base import Workshop
from evnas.phases.predict import PREDICT, PREDICTED, PredictTask
from evnas.phases.work import Work
from evnas.record import Measurement
from evnas.search.evaluate import silent

ANCHORS = {"M1": "efficientvim_m1", "M2": "efficientvim_m2"}
RECIPE, SEEDS, RESOLUTION = "EfficientViM", 2, 224
SURE = 0.9
Interval = tuple[float, float, float]
"""Low, middle, high."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A member beside the printed models."""

    label: str
    origin: str
    ratio: Interval
    """Throughput over M1's."""
    top1: Interval
    no_lower: Mapping[str, float]
    """Printed model -> probability that the member's predicted top-1 is no lower."""

    def markdown(self) -> str:
        """A row of the table."""
        low, mid, high = self.ratio
        worst, percent, best = self.top1
        chances = " | ".join(f"{self.no_lower[name]:.2f}" for name in ANCHORS)
        return (
            f"| {self.label} | {mid:.2f} [{low:.2f}, {high:.2f}] | "
            f"{percent:.1f} [{worst:.1f}, {best:.1f}] | {chances} | {self.origin} |"
        )


def predicted(arch: Mapping[str, Any], workshop: Workshop) -> tuple[Interval, np.ndarray]:
    """Predicted top-1 in percent, and its joint draws."""
    task = PredictTask(resolution=RESOLUTION, seeds=SEEDS, recipe=RECIPE, held_out=())
    work = Work(
        label="", digest=ArchSpec.from_dict(arch).digest, arch=arch, phase="predict", task=task
    )
    found = PREDICT.evaluate(work, workshop, silent)
    low, mid, high = (
        found.values[f"predicted_top1{part}_percent"] for part in ("_low", "", "_high")
    )
    return (low, mid, high), np.asarray(found.rest["details"]["draws"][PREDICTED])


def measure(folder: Path, members: Sequence[Mapping[str, Any]], batch_size: int) -> None:
    """Time all, and keep what the tables need."""
    archs = folder / "archs"
    archs.mkdir(exist_ok=True)
    names = []
    for member in members:
        file = archs / f"{member['trial']}.json"
        file.write_text(json.dumps(member["arch"]), encoding="utf-8")
        names.append(str(file))
    command = [
        sys.executable, "-m", "evnas", "bench", *ANCHORS.values(), *names, "--runtime", "best",
        "--batch-size", str(batch_size), "--budget-s", "10", "--json",
    ]  # fmt: skip
    rows = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)["rows"]
    kept = [
        {
            "name": Path(row["name"]).stem,
            "latency_ms": row["values"]["latency_ms"],
            "runtime": row["details"]["conditions"]["runtime"]["name"],
            "warnings": row["details"]["conditions"]["warnings"],
            "throughput_ratio": row["measurements"].get("throughput_ratio", {}).get("samples", []),
        }
        for row in rows
    ]
    text = {"date": date.today().isoformat(), "batch_size": batch_size, "rows": kept}
    (folder / "speeds.json").write_text(json.dumps(text, indent=1), encoding="utf-8")
    for file in archs.iterdir():
        file.unlink()
    archs.rmdir()


def rows_of(folder: Path) -> tuple[list[Row], dict[str, Interval]]:
    """The members, and the printed models' throughput over M1's."""
    members = json.loads((folder / "front.json").read_text(encoding="utf-8"))["members"]
    speeds = json.loads((folder / "speeds.json").read_text(encoding="utf-8"))["rows"]
    ratios = {row["name"]: _interval(row["throughput_ratio"]) for row in speeds}
    workshop = Workshop()
    printed = {
        short: predicted(entry(name).arch.to_dict(), workshop)[1]
        for short, name in ANCHORS.items()
    }
    found = []
    for member in members:
        top1, draws = predicted(member["arch"], workshop)
        chances = {name: float((draws >= other).mean()) for name, other in printed.items()}
        ratio = ratios[str(member["trial"])]
        found.append(
            Row(label=member["trial"], origin=member["origin"], ratio=ratio, top1=top1,
                no_lower=chances)
        )  # fmt: skip
    return found, {"M1": (1.0, 1.0, 1.0), "M2": ratios[ANCHORS["M2"]]}


def _interval(samples: Sequence[float]) -> Interval:
    if not samples:
        return (1.0, 1.0, 1.0)
    found = Measurement("throughput_ratio", tuple(samples)).interval()
    return (found.low, found.mid, found.high)


def main() -> None:
    """Measure where it is asked for, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--measure", action="store_true")
    parser.add_argument("--batch-size", type=int, default=8)
    given = parser.parse_args()
    if given.measure:
        members = json.loads((given.folder / "front.json").read_text(encoding="utf-8"))["members"]
        measure(given.folder, members, given.batch_size)
    rows, printed = rows_of(given.folder)
    print(
        "| trial | throughput over M1 [95 %] | predicted top-1, % [90 %] | P(no lower than M1) "
        "| than M2 | |"
    )
    print("|---|---|---|---|---|---|")
    for row in rows:
        print(row.markdown())
    for name, ratio in printed.items():
        better = [r.label for r in rows if r.ratio[0] > ratio[2] and r.no_lower[name] >= SURE]
        print(f"\nfaster than {name} ({ratio[1]:.2f}) and no lower with {SURE:.0%}: "
              f"{', '.join(better) or 'none'}")  # fmt: skip


if __name__ == "__main__":
    main()

"""Which members of a front beat printed models: `python benchmarks/search_front.py FOLDER`.

FOLDER holds `front.json` and `sweep.resolved.yaml` of a search by predicted top-1 and measured
throughput. With `--measure` every member and EfficientViM-M2 are timed first, in alternation with
EfficientViM-M1, by `evnas bench` on the runtime that is fastest here, and FOLDER gets
`speeds.json`. `predicted.json` holds what is predicted of each, with joint draws; it is made where
it is missing, or with `--predict`. What is printed comes from these four files: who could be on
the front, a table, what speed costs along it, and who is faster than a printed model at no lower
predicted top-1 with 90 % probability. `--write` puts it into docs/guide/search.md.
"""

import argparse
import json
import statistics
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from arch_columns import blocks_of, millions_of, mixer_of, stages_of
from numpy.typing import NDArray

from evnas.arch.catalog import entry
from evnas.arch.spec import ArchSpec
from evnas.files import write_whole
from evnas.measure.counting.flops import count
from evnas.phases.base import Workshop
from evnas.phases.predict import PREDICT, PREDICTED, PredictTask
from evnas.phases.work import Work
from evnas.record import Measurement
from evnas.search.evaluate import silent
from evnas.space.space import SearchSpace
from evnas.sweep.constraints import first_broken, resolved_constraints
from evnas.sweep.search_spec import SearchSpec
from evnas.sweep.sweep import load_sweep

sys.path.append(str(Path(__file__).parent / "training_study"))

from page_section import folded, write_section

PAGE = Path(__file__).parents[1] / "docs/guide/search.md"
SECTION = "figures of the front"
ANCHORS = {"M1": "efficientvim_m1", "M2": "efficientvim_m2"}
RECIPE, SEEDS, RESOLUTION = "EfficientViM", 2, 224
SURE = 0.9
TENTH = 1.1
"""A tenth more speed, as a ratio."""
Interval = tuple[float, float, float]
"""Low, middle, high."""
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """Predicted top-1 in percent between its 90 % bounds, and its joint draws."""

    top1: Interval
    draws: Floats
    """The i-th of all architectures belong together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A member, or a printed model, beside the printed models."""

    label: str
    arch: ArchSpec
    ratio: Interval
    """Throughput over M1's, between 95 % bounds."""
    predicted: Prediction
    no_lower: Mapping[str, float]
    """Printed model -> probability that this one's predicted top-1 is no lower."""

    def markdown(self) -> str:
        """This row in the table."""
        low, mid, high = self.ratio
        worst, percent, best = self.predicted.top1
        speed = "1" if self.label == "M1" else f"{mid:.2f} [{low:.2f}, {high:.2f}]"
        chances = " | ".join("" if self.label in ANCHORS else f"{self.no_lower[name]:.2f}"
                             for name in ANCHORS)  # fmt: skip
        return (
            f"| {self.label} | {stages_of(self.arch)} | {millions_of(self.arch):.1f} | {speed} | "
            f"{percent:.1f} [{worst:.1f}, {best:.1f}] | {chances} |"
        )


def predicted(arch: ArchSpec, workshop: Workshop) -> Prediction:
    """What the search's predictor says of an architecture."""
    task = PredictTask(resolution=RESOLUTION, seeds=SEEDS, recipe=RECIPE, held_out=())
    work = Work(label="", digest=arch.digest, arch=arch.to_dict(), phase="predict", task=task)
    found = PREDICT.evaluate(work, workshop, silent)
    low, mid, high = (
        found.values[f"predicted_top1{part}_percent"] for part in ("_low", "", "_high")
    )
    draws = np.asarray(found.rest["details"]["draws"][PREDICTED], dtype=np.float64)
    return Prediction(top1=(low, mid, high), draws=draws)


def archs_of(folder: Path) -> dict[str, ArchSpec]:
    """The printed models by their names, then the members by their trials."""
    printed = {name: entry(name).arch for name in ANCHORS.values()}
    return printed | {m["trial"]: ArchSpec.from_dict(m["arch"]) for m in members_of(folder)}


def members_of(folder: Path) -> list[dict[str, Any]]:
    """The front's members, as the search wrote them."""
    found: list[dict[str, Any]] = read(folder / "front.json")["members"]
    return found


def read(file: Path) -> dict[str, Any]:
    """A JSON file."""
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return found


def predict(folder: Path) -> None:
    """Predict all, and keep it: about a second of CPU an architecture."""
    workshop = Workshop()
    kept = {}
    for name, arch in archs_of(folder).items():
        found = predicted(arch, workshop)
        kept[name] = {
            "top1": [round(bound, 4) for bound in found.top1],
            "draws": [round(float(draw), 3) for draw in found.draws],
        }
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(each)}" for name, each in kept.items())
    write_whole(folder / "predicted.json", f"{{\n{lines}\n}}\n")


def measure(folder: Path, batch_size: int) -> None:
    """Time all, and keep what the tables need."""
    archs = folder / "archs"
    archs.mkdir(exist_ok=True)
    names = []
    for member in members_of(folder):
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


def rows_of(folder: Path) -> tuple[list[Row], dict[str, Row]]:
    """The members, and the printed models."""
    ratios = {row["name"]: _interval(row["throughput_ratio"])
              for row in read(folder / "speeds.json")["rows"]}  # fmt: skip
    kept = {
        name: Prediction(top1=tuple(each["top1"]), draws=np.asarray(each["draws"]))
        for name, each in read(folder / "predicted.json").items()
    }
    rows = {}
    for name, arch in archs_of(folder).items():
        ours = kept[name].draws
        chances = {short: float((ours >= kept[of].draws).mean()) for short, of in ANCHORS.items()}
        rows[name] = Row(label=name, arch=arch, ratio=ratios[name], predicted=kept[name],
                         no_lower=chances)  # fmt: skip
    printed = {short: _named(rows.pop(name), short) for short, name in ANCHORS.items()}
    return list(rows.values()), printed


def _named(row: Row, label: str) -> Row:
    return Row(label=label, arch=row.arch, ratio=row.ratio, predicted=row.predicted,
               no_lower=row.no_lower)  # fmt: skip


def _interval(samples: Sequence[float]) -> Interval:
    if not samples:
        return (1.0, 1.0, 1.0)
    found = Measurement("throughput_ratio", tuple(samples)).interval()
    return (found.low, found.mid, found.high)


def report(folder: Path) -> str:
    """All that the page says of the front."""
    rows, printed = rows_of(folder)
    speeds = read(folder / "speeds.json")
    return "\n\n".join(
        [
            " ".join([_candidates(read(folder / "front.json")), *_kept_out(folder, printed)]),
            f"Throughput is of {speeds['date']}, batch {speeds['batch_size']}, in alternation "
            f"with M1. Of the {len(rows)} members these have the highest prediction within their "
            "tenth of M1's throughput (0.4 to 0.5 times, 0.5 to 0.6 times and so on); stages are "
            "given as blocks and mixer:",
            table(rows, printed),
            cost_of_speed(rows),
            _mixers(rows),
            " ".join(_faster(rows, name, row) for name, row in printed.items()),
        ]
    )


def _candidates(front: Mapping[str, Any]) -> str:
    """How many there were, and what became of them."""
    others = front["not_on_front"].values()
    broken = Counter(each["reason"].split(":")[0] for each in others
                     if each.get("ended") == "infeasible")  # fmt: skip
    beaten = sum("dominated_by" in each for each in others)
    failed = len(others) - beaten - broken.total()
    by = ", ".join(f"{n} `{text}`" for text, n in broken.most_common())
    also = f", {failed} ended otherwise" if failed else ""
    members = len(front["members"])
    return (
        f"Of {members + len(others):,} candidates {broken.total()} break a constraint ({by}: the "
        f"first that each breaks), {beaten} are beaten by another{also}, and {members} are the "
        "front."
    )


def _kept_out(folder: Path, printed: Mapping[str, Row]) -> Iterator[str]:
    """A sentence for each printed model that the search could not have proposed or kept."""
    sweep = load_sweep(folder / "sweep.resolved.yaml")
    assert isinstance(sweep.spec, SearchSpec)
    space = SearchSpace.from_spec(sweep.spec.space, sweep.base)
    constraints = resolved_constraints(
        sweep.spec.constraints, [target.spelt() for target in sweep.spec.targets]
    )
    for name, row in printed.items():
        cost = count(row.arch, RESOLUTION)
        known = {
            "params_m": round(cost.params / 1e6, 3),
            "macs_g": round(cost.macs["exact"] / 1e9, 3),
            PREDICTED: row.predicted.top1[1],
        }
        where = space.encode(row.arch)
        reasons = [where] if isinstance(where, str) else []
        if broken := first_broken(constraints, row.arch.to_dict(), known):
            constraint, value = broken.split(": ")
            reasons.append(f"it breaks `{constraint}` ({value})")
        if reasons:
            yield f"{name} could not be among them: {', and '.join(reasons)}."


def table(rows: Sequence[Row], printed: Mapping[str, Row]) -> str:
    """The best predicted member within each tenth of speed, and the printed models, the fastest
    first."""
    best: dict[int, Row] = {}
    for row in rows:
        tenth = int(10 * row.ratio[1])
        if tenth not in best or row.predicted.top1[1] > best[tenth].predicted.top1[1]:
            best[tenth] = row
    shown = sorted([*best.values(), *printed.values()], key=lambda row: -row.ratio[1])
    chances = " | ".join(f"P(no lower than {name})" for name in printed)
    return "\n".join(
        [
            "| trial | stages | params, M | throughput over M1 [95 %] | "
            f"predicted top-1, % [90 %] | {chances} |",
            "| --- | --- | --- | --- | --- " + "| --- " * len(printed) + "|",
            *(row.markdown() for row in shown),
        ]
    )


def cost_of_speed(rows: Sequence[Row]) -> str:
    """Points of predicted top-1 that a tenth more speed costs, of all and on both sides of M1."""
    slow = [row for row in rows if row.ratio[1] < 1]
    fast = [row for row in rows if row.ratio[1] >= 1]
    low, mid, high = points_of_a_tenth(rows)
    parts = [
        f"{points_of_a_tenth(part)[1]:.2f} {where}"
        for part, where in ((slow, f"among the {len(slow)} slower than M1"),
                            (fast, f"among the {len(fast)} others"))
        if len(part) > 2
    ]  # fmt: skip
    halves = f"; {', '.join(parts)}" if parts else ""
    return (
        f"Along the front a tenth more throughput (times {TENTH}) costs {mid:.2f} [{low:.2f}, "
        f"{high:.2f}] points of predicted top-1 (least squares on the logarithm of the "
        f"throughput, {len(rows)} members; 90 % by the joint draws of their predictions){halves}."
    )


def points_of_a_tenth(rows: Sequence[Row]) -> Interval:
    """By least squares of predicted top-1 on the logarithm of the speed; a loss is positive.

    The bounds, of 90 %, come from the joint draws of these members alone: they know nothing of
    who else might have been found.
    """
    speeds = np.log([row.ratio[1] for row in rows])
    apart = speeds - speeds.mean()
    weights = -np.log(TENTH) * apart / float(apart @ apart)
    mid = float(weights @ np.array([row.predicted.top1[1] for row in rows]))
    draws = weights @ np.array([row.predicted.draws for row in rows])
    low, high = np.percentile(draws, [5, 95])
    return float(low), mid, float(high)


def _mixers(rows: Sequence[Row]) -> str:
    """Which mixers stand where, and how deep members are."""
    stages = []
    for i in range(max(len(row.arch.stages) for row in rows)):
        kinds = Counter(mixer_of(row.arch.stages[i]) for row in rows if i < len(row.arch.stages))
        stages.append(f"stage {i + 1}: " + ", ".join(f"{n} {k}" for k, n in kinds.most_common()))
    blocks = [blocks_of(row.arch) for row in rows]
    return (
        f"Mixers of the {len(rows)} by stage ({'; '.join(stages)}). They have {min(blocks)} to "
        f"{max(blocks)} blocks, {statistics.median(blocks):g} in the median."
    )


def _faster(rows: Sequence[Row], name: str, printed: Row) -> str:
    """Who beats a printed model in both, by the medians, and surely."""
    medians = [
        row.label
        for row in rows
        if row.ratio[1] > printed.ratio[1] and row.predicted.top1[1] > printed.predicted.top1[1]
    ]
    surely = [r.label for r in rows if r.ratio[0] > printed.ratio[2] and r.no_lower[name] >= SURE]
    return (
        f"Faster than {name} ({printed.ratio[1]:.2f}) and predicted higher, by the medians: "
        f"{', '.join(medians) or 'none'}; faster by the intervals, and no lower in predicted "
        f"top-1 with {100 * SURE:g} % probability: {', '.join(surely) or 'none'}."
    )


def main() -> None:
    """Measure and predict where it is asked for, and print what the page says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--measure", action="store_true")
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--predict", action="store_true", help="predict again")
    parser.add_argument("--write", action="store_true", help="into docs/guide/search.md")
    given = parser.parse_args()
    if given.measure:
        measure(given.folder, given.batch_size)
    if given.predict or not (given.folder / "predicted.json").exists():
        predict(given.folder)
    text = report(given.folder)
    print(text)
    if given.write:
        write_section(PAGE, SECTION, folded(text))


if __name__ == "__main__":
    main()

"""May a search be believed? `python benchmarks/search_check.py STUDY --out FILE.json`.

A search exploits its predictor's errors; only trainings that it did not steer can show how much.
Of a study with predicted top-1 and measured speed this takes the three candidates with the highest
prediction among those at least as fast as EfficientViM-M1, M1 itself, and three drawn at random
from the candidates of their speed (the seed is written down). The predicted order is written to
FILE before anything is trained; then each is trained alike, as the training study does it, seed
by seed. FILE gains a training at a time: stop it whenever you like, the same command goes on;
`--report` trains nothing and prints what there is, `--write` puts it into docs/guide/search.md.
"""

import argparse
import json
import math
import random
import statistics
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from arch_columns import blocks_of, millions_of, stages_of
from numpy.typing import NDArray
from scipy import stats

from evnas.arch.catalog import entry
from evnas.arch.spec import ArchSpec
from evnas.errors import EvnasError, SpecError
from evnas.predict.published_signals import published_signals
from evnas.record import Record
from evnas.stats.rank_correlation import Agreement, kendall
from evnas.store import Store
from evnas.sweep.parts import PredictSpec
from evnas.sweep.sweep import Sweep, sweep_of

sys.path.append(str(Path(__file__).parent / "training_study"))

from cells import CURVES, FEW, MANY, USUAL_DATA, Line, lines_in
from page_section import folded, write_section

PAGE = Path(__file__).parents[1] / "docs/guide/search.md"
SECTION = "figures of the check"
PREDICTED = "predicted_top1_percent"
LOW, HIGH = "predicted_top1_low_percent", "predicted_top1_high_percent"
SPEED = "throughput_ratio"
"""Over the sweep's base, in alternation with it."""
ANCHOR = "efficientvim_m1"
BEST, DRAWN = "best", "drawn"
EACH = 3
"""Of the best, and of those that are drawn."""
BAND = 0.05
"""Two are of equal speed up to this share."""
LEAST_SEEDS, LEAST_ROWS = 3, 8
"""Seeds behind an interval; printed architectures behind the worth of a trained point."""
DRAWS = 4_000

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A candidate of the study, with what the search knew of it."""

    label: str
    digest: str
    arch: Mapping[str, Any]
    predicted: float
    """Top-1 in percent."""
    low: float
    high: float
    draws: tuple[float, ...]
    """Joint: the i-th of all candidates belong together."""
    speed: float
    """`throughput_ratio`."""
    role: str = ""
    """`best`, `drawn`, or `efficientvim_m1`."""


@dataclass(slots=True, kw_only=True)
class Check:
    """What is written: who was chosen, what was predicted of them, and the trainings."""

    study: str
    target: str
    """That speeds are of."""
    draw_seed: int
    band: float
    """What was meant by equal speed, as a share."""
    presentations: int
    data: str
    notes: list[str]
    chosen: list[Known]
    """The highest prediction first: this order was written before any training."""
    lines: list[Line] = field(default_factory=list)

    @property
    def settings(self) -> tuple[object, ...]:
        """What a file must agree in with the command that goes on with it."""
        return self.study, self.draw_seed, self.presentations, self.data

    def write(self, file: Path) -> None:
        """All or nothing."""
        file.parent.mkdir(parents=True, exist_ok=True)
        whole = file.with_suffix(".part")
        whole.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")
        whole.replace(file)

    @classmethod
    def read(cls, file: Path) -> "Check":
        """The inverse of `write`."""
        raw = json.loads(file.read_text(encoding="utf-8"))
        chosen = [Known(**{**each, "draws": tuple(each["draws"])}) for each in raw["chosen"]]
        return cls(**{**raw, "chosen": chosen})

    def top1_of(self, label: str) -> dict[int, float]:
        """Seed -> trained top-1 in percent."""
        return {
            line["seed"]: line["values"]["top1_percent"]
            for line in self.lines
            if line["label"] == label and line["status"] == "complete"
        }


def candidates(study: Path, target: str = "") -> tuple[list[Known], str]:
    """All candidates with prediction and speed, and the target that speeds are of.

    Args:
        study: a study's folder.
        target: beginning of the target's id; "" takes the first that has speeds.

    Raises:
        StoreError: the study cannot be read.
        SpecError: it has no predictions, no speeds, or the target is none of its own.
    """
    by_label: dict[str, list[Record]] = {}
    with Store.read(study / "study.db") as store:
        for _, record in store.records():
            if record.label.isdigit():
                by_label.setdefault(record.label, []).append(record)
    every = [record for records in by_label.values() for record in records]
    targets = dict.fromkeys(r.target for r in every if SPEED in r.measurements)
    fitting = [one for one in targets if one.startswith(target)]
    if not fitting:
        known = ", ".join(targets) or "none"
        raise SpecError(f"{study} must have speeds of target {target or 'any'}, it has {known}")
    found = [
        one
        for label, records in by_label.items()
        if all(record.status == "complete" for record in records)
        and (one := _known(label, records, fitting[0])) is not None
    ]
    if not found:
        raise SpecError(
            f"{study} must have candidates with {PREDICTED} and {SPEED}, none has both"
        )
    return found, fitting[0]


def _known(label: str, records: Sequence[Record], target: str) -> Known | None:
    values: dict[str, float] = {}
    draws: tuple[float, ...] = ()
    samples: list[float] = []
    for record in records:
        values |= record.values
        draws = tuple(record.details.get("draws", {}).get(PREDICTED, draws))
        if record.target == target and SPEED in record.measurements:
            samples += record.measurements[SPEED].samples
    if PREDICTED not in values or not samples:
        return None
    return Known(
        label=label,
        digest=records[0].digest,
        arch=records[0].arch,
        predicted=values[PREDICTED],
        low=values[LOW],
        high=values[HIGH],
        draws=draws,
        speed=statistics.median(samples),
    )


def choice(
    known: Sequence[Known], anchor: Known, *, draw_seed: int
) -> tuple[list[Known], float, list[str]]:
    """Who is trained, the highest prediction first; the band of equal speed; notes.

    Raises:
        SpecError: there are fewer candidates than are to be trained.
    """
    others = [one for one in known if one.digest != anchor.digest]
    if len(others) < 2 * EACH:
        raise SpecError(f"the check needs {2 * EACH} candidates beside M1, got {len(others)}")
    notes = []
    fast = [one for one in others if one.speed >= anchor.speed]
    if len(fast) < EACH:
        notes.append(f"only {len(fast)} candidates are as fast as M1; slower ones stand in")
        fast = sorted(others, key=lambda one: -one.speed)[:EACH]
    best = sorted(fast, key=lambda one: (-one.predicted, int(one.label)))[:EACH]
    rest = [one for one in others if one not in best]
    band = BAND
    while len(pool := [one for one in rest if _is_near(one, best, band)]) < EACH:
        band *= 2
    if band > BAND:
        notes.append(f"too few candidates within {100 * BAND:g} % of the speed of the best, so "
                     f"those within {100 * band:g} % were drawn from")  # fmt: skip
    drawn = random.Random(f"search check {draw_seed}").sample(
        sorted(pool, key=lambda one: int(one.label)), EACH
    )
    taken = [*_as(best, BEST), *_as(drawn, DRAWN), anchor]
    return sorted(taken, key=lambda one: -one.predicted), band, notes


def _is_near(one: Known, best: Sequence[Known], band: float) -> bool:
    return any(abs(math.log(one.speed / other.speed)) <= math.log1p(band) for other in best)


def _as(known: Sequence[Known], role: str) -> list[Known]:
    return [Known(**{**asdict(one), "role": role}) for one in known]


def anchor_of(study: Path, known: Sequence[Known]) -> Known:
    """M1 as the study knows it; else predicted again, where the study's speeds are over it.

    Raises:
        SpecError: it is neither a candidate nor the base.
    """
    digest = entry(ANCHOR).arch.digest
    for one in known:
        if one.digest == digest:
            return _as([one], ANCHOR)[0]
    with Store.read(study / "study.db") as store:
        sweep = sweep_of(store.meta("sweep"))
    if sweep.base.digest != digest:
        raise SpecError(f"{study} must have {ANCHOR} as its base or among its candidates, so that "
                        "its speed is known")  # fmt: skip
    return predicted_anchor(sweep)


def predicted_anchor(sweep: Sweep) -> Known:
    """M1 with its prediction, by the same predictor that the search asked."""
    from evnas.phases.base import Workshop
    from evnas.phases.predict import PREDICT, PredictTask
    from evnas.phases.work import Work

    arch, asked = entry(ANCHOR).arch, sweep.spec.predict or PredictSpec()
    task = PredictTask(
        recipe=asked.recipe, seeds=asked.seeds, resolution=sweep.spec.resolution
    )  # fmt: skip
    work = Work(
        label=ANCHOR, digest=arch.digest, arch=arch.to_dict(), phase="predict", task=task
    )  # fmt: skip
    found = PREDICT.evaluate(work, Workshop(), lambda *_: None)
    return Known(
        label=ANCHOR,
        digest=arch.digest,
        arch=arch.to_dict(),
        predicted=found.values[PREDICTED],
        low=found.values[LOW],
        high=found.values[HIGH],
        draws=tuple(found.rest["details"]["draws"][PREDICTED]),
        speed=1.0,
        role=ANCHOR,
    )


def begun(given: argparse.Namespace) -> Check:
    """The file's check, or a new one, written before anything is trained.

    Raises:
        SpecError: the file is of another study or of other settings.
    """
    name = given.study.resolve().name
    asked = (name, given.draw_seed, given.presentations, given.data)
    if given.out.exists():
        check = Check.read(given.out)
        if check.settings != asked:
            raise SpecError(f"{given.out} must be of (study, draw seed, presentations, data) "
                            f"{asked}, it is of {check.settings}; name another --out")  # fmt: skip
        return check
    known, target = candidates(given.study, given.target)
    anchor = anchor_of(given.study, known)
    chosen, band, notes = choice(known, anchor, draw_seed=given.draw_seed)
    check = Check(
        study=name, target=target, draw_seed=given.draw_seed, band=band,
        presentations=given.presentations, data=given.data, notes=notes, chosen=chosen,
    )  # fmt: skip
    check.write(given.out)
    return check


def train_missing(check: Check, file: Path, *, seeds: int, most: int) -> None:
    """Train what is missing, all candidates with one seed before the next seed."""
    from train import proxy_of, training_of

    from evnas.phases.base import Workshop

    workshop = Workshop()
    there = {(line["label"], line["seed"]) for line in check.lines}
    missing = [
        (one, seed)
        for seed in range(seeds)
        for one in check.chosen
        if (one.label, seed) not in there
    ]
    for done, (one, seed) in enumerate(missing[:most], start=1):
        arch = ArchSpec.from_dict(one.arch)
        proxy = proxy_of(arch, check.presentations, check.data)
        found = training_of(arch, proxy, label=one.label, seed=seed, workshop=workshop)
        check.lines.append({"label": one.label, **found})
        check.write(file)
        top1 = found["values"].get("top1_percent", math.nan)
        print(f"{done} of {len(missing)}: {one.role} {one.label} seed {seed} {top1:.1f} % "
              f"in {found['seconds']} s", flush=True)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Gain:
    """How much better one group is than another, in points of top-1, between 95 % bounds."""

    low: float
    mid: float
    high: float

    @property
    def is_sure(self) -> bool:
        """Whether its sign is known."""
        return self.low > 0 or self.high < 0

    def __str__(self) -> str:
        return f"{self.mid:+.2f} [{self.low:+.2f}, {self.high:+.2f}]"


def predicted_gain(ours: Sequence[Known], theirs: Sequence[Known]) -> tuple[Gain, Floats]:
    """Mean of one group's predictions less the other's, and its joint draws."""
    draws = _mean_draws(ours) - _mean_draws(theirs)
    mid = statistics.mean(o.predicted for o in ours) - statistics.mean(t.predicted for t in theirs)
    low, high = np.percentile(draws, [2.5, 97.5])
    return Gain(low=float(low), mid=mid, high=float(high)), draws


def _mean_draws(group: Sequence[Known]) -> Floats:
    return np.asarray(np.mean([one.draws for one in group], axis=0), dtype=np.float64)


def trained_gain(check: Check, ours: Sequence[Known], theirs: Sequence[Known]) -> Gain | None:
    """The same of trained top-1, over seeds that all of both groups have; the interval is
    Student's over seeds. None with fewer than three."""
    both = [check.top1_of(one.label) for one in (*ours, *theirs)]
    seeds = sorted(set.intersection(*(set(one) for one in both)))
    if len(seeds) < LEAST_SEEDS:
        return None
    each = [
        statistics.mean(check.top1_of(o.label)[seed] for o in ours)
        - statistics.mean(check.top1_of(t.label)[seed] for t in theirs)
        for seed in seeds
    ]
    mid, error = statistics.mean(each), statistics.stdev(each) / math.sqrt(len(each))
    half = float(stats.t.ppf(0.975, len(each) - 1)) * error
    return Gain(low=mid - half, mid=mid, high=mid + half)


@dataclass(frozen=True, slots=True, kw_only=True)
class Worth:
    """How many points of printed top-1 a trained point is worth, within papers."""

    rows: int
    """Printed architectures that were trained alike."""
    draws: Floats | None
    """Over draws of these rows; None with fewer than eight."""


def worth_of_a_point(lines: Sequence[Line], *, presentations: int, data: str) -> Worth:
    """From the training study's rows that were trained as long on the same images; rows are drawn
    with replacement."""
    printed = {row.printed.name: row.printed for row in published_signals()}
    trained = printed_tops(lines, presentations=presentations, data=data)
    names = list(trained)
    if len(names) < LEAST_ROWS:
        return Worth(rows=len(names), draws=None)
    x = np.array([statistics.mean(trained[name]) for name in names])
    y = np.array([printed[name].top1_percent for name in names])
    of = np.array([printed[name].recipe for name in names])
    picks = np.random.default_rng(0).integers(len(names), size=(DRAWS, len(names)))
    slopes = np.array([_slope(x[pick], y[pick], of[pick]) for pick in picks])
    finite = np.asarray(slopes[np.isfinite(slopes)])
    return Worth(rows=len(names), draws=finite if len(finite) else None)


def printed_tops(
    lines: Sequence[Line], *, presentations: int, data: str
) -> dict[str, list[float]]:
    """Printed architectures trained so: name -> top-1 in percent of each seed."""
    printed = {row.printed.name for row in published_signals()}
    trained: dict[str, list[float]] = {}
    for line in lines:
        same = line["presentations"] == presentations and line.get("data", USUAL_DATA) == data
        if same and line["status"] == "complete" and line["name"] in printed:
            trained.setdefault(line["name"], []).append(line["values"]["top1_percent"])
    return trained


def _slope(x: Floats, y: Floats, of: NDArray[np.str_]) -> float:
    """Least squares of y on x, each less its group's mean."""
    dx, dy = x.copy(), y.copy()
    for group in set(of.tolist()):
        inside = of == group
        dx[inside] -= x[inside].mean()
        dy[inside] -= y[inside].mean()
    square = float(dx @ dx)
    return float(dx @ dy) / square if square > 0 else math.nan


def share_of_error(predicted: Floats, trained: Gain, worth: Floats, seeds: int) -> Gain:
    """Share of the predicted gain that training does not bear out, with what is known of all
    three: prediction, seeds, and what a trained point is worth."""
    rng = np.random.default_rng(1)
    quantile = float(stats.t.ppf(0.975, seeds - 1))
    error = (trained.high - trained.mid) / quantile
    real = rng.choice(worth, DRAWS) * (trained.mid + error * rng.standard_t(seeds - 1, DRAWS))
    low, high = np.percentile(1 - real / rng.choice(predicted, DRAWS), [2.5, 97.5])
    mid = 1 - float(np.median(worth)) * trained.mid / float(predicted.mean())
    return Gain(low=float(low), mid=mid, high=float(high))


def report(check: Check, curves: Sequence[Line]) -> str:
    """What was predicted, what was trained, and how far they agree."""
    parts = [
        f"Study {check.study}, speed on {check.target}; {check.presentations:,} presentations of "
        f"{check.data} each; drawn with seed {check.draw_seed} among candidates within "
        f"{100 * check.band:g} % of the speed of the best. Stages are given as blocks and mixer; "
        "± is the standard deviation over seeds; intervals are of 95 % where no other level "
        "stands beside them.",
        *check.notes,
        _table(check),
        _order(check),
        *_blocks(check, curves),
        *_trained_again(check, curves),
        *_clock(check),
    ]
    groups = {role: [one for one in check.chosen if one.role == role] for role in
              (BEST, DRAWN, ANCHOR)}  # fmt: skip
    worth = worth_of_a_point(curves, presentations=check.presentations, data=check.data)
    for ours, theirs in ((BEST, DRAWN), (BEST, ANCHOR)):
        parts.append(_about_gain(check, groups, ours, theirs, worth))
    return "\n\n".join(parts)


def _table(check: Check) -> str:
    lines = [
        "| order | candidate | | stages | params, M | speed | predicted top-1 [90 %] "
        "| trained top-1 | by seed |",
        "| --- " * 9 + "|",
    ]
    for place, one in enumerate(check.chosen, start=1):
        by_seed = check.top1_of(one.label)
        tops = [by_seed[seed] for seed in sorted(by_seed)]
        spread = f" ± {statistics.stdev(tops):.2f}" if len(tops) > 1 else ""
        top1 = f"{statistics.mean(tops):.2f}{spread}" if tops else "missing"
        arch = ArchSpec.from_dict(one.arch)
        lines.append(
            f"| {place} | {one.label} | {one.role} | {stages_of(arch)} | {millions_of(arch):.1f} "
            f"| {one.speed:.2f} | {one.predicted:.2f} [{one.low:.1f}, {one.high:.1f}] | {top1} "
            f"| {', '.join(f'{top:.2f}' for top in tops)} |"
        )
    return "\n".join(lines)


def _means(check: Check, without: Collection[int] = ()) -> list[float | None]:
    """Trained top-1 of each candidate over its seeds, some of them left out."""
    kept = [
        [top for seed, top in check.top1_of(one.label).items() if seed not in without]
        for one in check.chosen
    ]
    return [statistics.mean(tops) if tops else None for tops in kept]


def _order(check: Check) -> str:
    predicted = [one.predicted for one in check.chosen]
    agreement = kendall(predicted, _means(check))
    if agreement is None:
        return "Order: cannot tell, fewer than three candidates are trained."
    seeds = sorted({seed for one in check.chosen for seed in check.top1_of(one.label)})
    later = kendall(predicted, _means(check, seeds[:1])) if len(seeds) > 2 else None
    also = ""
    if later is not None:
        also = f" Without seed {seeds[0]}: tau {_spelt(later)}: {_verdict(later)}."
    return (
        f"Predicted against trained order: tau {_spelt(agreement)} over {agreement.n} candidates: "
        f"{_verdict(agreement)}.{also}"
    )


def _verdict(agreement: Agreement) -> str:
    if agreement.low <= 0 <= agreement.high:
        return "cannot tell"
    return "the orders agree" if agreement.low > 0 else "the orders disagree"


def _spelt(found: Agreement) -> str:
    return f"{found.tau:+.2f} [{found.low:+.2f}, {found.high:+.2f}]"


def _blocks(check: Check, curves: Sequence[Line]) -> Iterator[str]:
    """Whether depth orders the candidates, and printed architectures: a short training may favour
    shallow nets."""
    archs = [ArchSpec.from_dict(one.arch) for one in check.chosen]
    tops, predicted = _means(check), [one.predicted for one in check.chosen]
    said = []
    for what, values in (
        ("blocks", [float(blocks_of(arch)) for arch in archs]),
        ("parameters", [millions_of(arch) for arch in archs]),
    ):
        trained, beside = kendall(values, tops), kendall(values, predicted)
        if trained is not None and beside is not None:
            said.append(f"the number of {what} {_spelt(trained)} with trained top-1, "
                        f"{_spelt(beside)} with predicted top-1")  # fmt: skip
    if said:
        yield f"Tau over the same candidates: {'; '.join(said)}."
    yield from _blocks_of_printed(curves, check.data)


def _blocks_of_printed(curves: Sequence[Line], data: str) -> Iterator[str]:
    """The same of what the training study trained with few presentations."""
    trained = printed_tops(curves, presentations=FEW, data=data)
    rows = [row.printed for row in published_signals() if row.printed.name in trained]
    archs = [(row, row.candidate.arch) for row in rows if row.candidate.arch is not None]
    blocks = [float(blocks_of(arch)) for _, arch in archs]
    tops = [statistics.mean(trained[row.name]) for row, _ in archs]
    with_trained = kendall(blocks, tops)
    with_print = kendall(blocks, [row.top1_percent for row, _ in archs])
    if len(archs) >= LEAST_ROWS and with_trained is not None and with_print is not None:
        papers = len({row.recipe for row, _ in archs})
        yield (
            f"Tau over the {len(archs)} printed architectures, of {papers} papers, that the "
            f"training study trained with {FEW:,} presentations: the number of blocks "
            f"{_spelt(with_trained)} with trained top-1, {_spelt(with_print)} with printed top-1."
        )


def _trained_again(check: Check, curves: Sequence[Line]) -> Iterator[str]:
    """What the training study found where it trained a candidate alike, with the same seed."""
    for one in check.chosen:
        ours = check.top1_of(one.label)
        theirs = {
            line["seed"]: line["values"]["top1_percent"]
            for line in curves
            if line.get("digest") == one.digest
            and line["presentations"] == check.presentations
            and line.get("data", USUAL_DATA) == check.data
            and line["status"] == "complete"
        }
        both = sorted(ours.keys() & theirs.keys())
        if both:
            pairs = "; ".join(f"seed {s}: {ours[s]:.2f} here, {theirs[s]:.2f} there" for s in both)
            name = one.role if one.role == ANCHOR else one.label
            yield f"The training study trained {name} alike, with the same seeds: {pairs}."


def _clock(check: Check) -> Iterator[str]:
    """Seconds of the clock, which are no cost where others use the machine."""
    taken = [line["seconds"] for line in check.lines if line["status"] == "complete"]
    if taken:
        yield (
            f"By the clock a training took {min(taken):,.0f} to {max(taken):,.0f} s, "
            f"{statistics.median(taken):,.0f} s in the median of {len(taken)}."
        )


def _about_gain(
    check: Check,
    groups: Mapping[str, Sequence[Known]],
    ours: str,
    theirs: str,
    worth: Worth,
) -> str:
    predicted, draws = predicted_gain(groups[ours], groups[theirs])
    trained = trained_gain(check, groups[ours], groups[theirs])
    head = (
        f"**{ours} over {theirs}**: predicted {predicted} points of ImageNet top-1, above 0 in "
        f"{100 * float((draws > 0).mean()):.0f} % of the joint draws"
    )
    if trained is None:
        return f"{head}; trained: missing, {LEAST_SEEDS} seeds of all are needed."
    head += f"; trained {trained} points of {check.data}: {_which(trained, ours)}"
    reasons = _why_no_share(predicted, worth)
    if reasons or worth.draws is None:
        return (
            f"{head}. How much of the predicted gain was the predictor's error cannot be told: "
            f"{'; and '.join(reasons)}."
        )
    seeds = min(len(check.top1_of(one.label)) for one in (*groups[ours], *groups[theirs]))
    share = share_of_error(draws, trained, worth.draws, seeds)
    low, high = np.percentile(worth.draws, [2.5, 97.5])
    doubt = "" if share.low > 0 or share.high < 1 else ": cannot tell"
    return (
        f"{head}. A trained point is worth {np.median(worth.draws):.2f} [{low:.2f}, {high:.2f}] "
        f"points of printed top-1 within papers, so {100 * share.mid:.0f} % "
        f"[{100 * share.low:.0f} %, {100 * share.high:.0f} %] of the predicted gain was the "
        f"predictor's error{doubt}."
    )


def _which(trained: Gain, ours: str) -> str:
    """What a trained gain says, in words."""
    if not trained.is_sure:
        return "cannot tell which are better"
    return f"the {ours} are {'better' if trained.low > 0 else 'worse'}"


def _why_no_share(predicted: Gain, worth: Worth) -> list[str]:
    """Why no share of the predicted gain can be called the predictor's error: the reason that
    more seeds or a surer prediction would leave stands first."""
    reasons = []
    if worth.draws is None:
        reasons.append(
            "what a trained point is worth in printed points is not known (of the printed "
            f"architectures {worth.rows} were trained so, at least {LEAST_ROWS} are needed)"
        )
    if not predicted.is_sure:
        reasons.append("the predicted gain's own 95 % interval holds 0")
    return reasons


def arguments() -> argparse.ArgumentParser:
    """The options of the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("study", type=Path, help="a study's folder")
    parser.add_argument("--out", type=Path, required=True, help="JSON, gone on with if there")
    parser.add_argument("--target", default="", help="beginning of the id that speeds are of")
    parser.add_argument("--seeds", type=int, default=LEAST_SEEDS)
    parser.add_argument("--presentations", type=int, default=MANY)
    parser.add_argument("--data", default=USUAL_DATA)
    parser.add_argument("--draw-seed", type=int, default=0)
    parser.add_argument("--most", type=int, default=10**6, help="trainings of this run")
    parser.add_argument("--report", action="store_true", help="train nothing")
    parser.add_argument("--write", action="store_true", help="into docs/guide/search.md")
    return parser


def main() -> None:
    """Choose, predict, train what is missing, and say what was found."""
    given = arguments().parse_args()
    try:
        check = begun(given)
    except EvnasError as e:
        print(f"error: {e}", file=sys.stderr)
        sys.exit(2)
    if not given.report:
        train_missing(check, given.out, seeds=given.seeds, most=given.most)
    text = report(check, lines_in(CURVES))
    print(text)
    if given.write:
        write_section(PAGE, SECTION, folded(text))


if __name__ == "__main__":
    main()

"""What a check of a search says: order predicted and trained, gains, and what explains them."""

import math
import statistics
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from arch_columns import blocks_of, millions_of, stages_of
from checked_search import ANCHOR, BEST, DRAWN, LEAST_SEEDS, Check, Known, tops_in
from numpy.typing import NDArray
from scipy import stats

from evnas.arch.spec import ArchSpec
from evnas.predict.published_signals import published_signals
from evnas.stats.rank_correlation import Agreement, kendall

sys.path.append(str(Path(__file__).parent / "training_study"))

from cells import FEW, USUAL_DATA, Line

LEAST_ROWS = 8
"""Printed architectures behind the worth of a trained point."""
DRAWS = 4_000

Floats = NDArray[np.float64]


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
        *_first_and_later(check),
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


def _means(check: Check) -> list[float | None]:
    """Trained top-1 of each candidate over its seeds."""
    kept = [check.top1_of(one.label).values() for one in check.chosen]
    return [statistics.mean(tops) if tops else None for tops in kept]


def _order(check: Check) -> str:
    predicted = [one.predicted for one in check.chosen]
    agreement = kendall(predicted, _means(check))
    if agreement is None:
        return "Order: cannot tell, fewer than three candidates are trained."
    return (
        f"Predicted against trained order: tau {_spelt(agreement)} over {agreement.n} candidates: "
        f"{_verdict(agreement)}.{_by_seed(check)}"
    )


def _by_seed(check: Check) -> str:
    """The orders of single seeds, where there are several."""
    predicted = [one.predicted for one in check.chosen]
    seeds = sorted({seed for one in check.chosen for seed in check.top1_of(one.label)})
    each = []
    for seed in seeds:
        tops = [check.top1_of(one.label).get(seed) for one in check.chosen]
        found = kendall(predicted, tops)
        if found is not None and found.n == len(check.chosen):
            each.append(f"{found.tau:+.2f} with seed {seed}")
    return f" Each seed alone: {', '.join(each)}." if len(each) > 1 else ""


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


def _first_and_later(check: Check) -> Iterator[str]:
    """What an earlier program found in the same trainings."""
    pairs = [
        (one.label, seed, top, check.top1_of(one.label)[seed])
        for one in check.chosen
        for seed, top in tops_in(check.first, one.label).items()
    ]
    if pairs:
        said = "; ".join(f"{label} seed {seed}: {first:.2f} then {later:.2f}"
                         for label, seed, first, later in pairs)  # fmt: skip
        apart = statistics.median(abs(later - first) for _, _, first, later in pairs)
        yield (
            f"Trained twice, with one seed by an earlier program and by this one: {said}; "
            f"{apart:.2f} points apart in the median."
        )


def _trained_again(check: Check, curves: Sequence[Line]) -> Iterator[str]:
    """What the training study found where it trained a candidate alike, with the same seed."""
    for one in check.chosen:
        ours = check.top1_of(one.label)
        same = [line["seconds"] for line in check.lines if line["label"] == one.label]
        theirs = {
            line["seed"]: line["values"]["top1_percent"]
            for line in curves
            if line.get("digest") == one.digest
            and line["presentations"] == check.presentations
            and line.get("data", USUAL_DATA) == check.data
            and line["status"] == "complete"
            and line.get("seconds") not in same  # that training itself, taken over
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

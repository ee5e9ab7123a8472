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
import math
import random
import statistics
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from checked_search import ANCHOR, BEST, DRAWN, LEAST_SEEDS, Check, Known
from search_check_report import report

from evnas.arch.catalog import entry
from evnas.arch.spec import ArchSpec
from evnas.errors import EvnasError, SpecError
from evnas.record import Record
from evnas.store import Store
from evnas.sweep.parts import PredictSpec
from evnas.sweep.sweep import Sweep, sweep_of

sys.path.append(str(Path(__file__).parent / "training_study"))

from cells import CURVES, MANY, USUAL_DATA, lines_in
from page_section import folded, write_section

PAGE = Path(__file__).parents[1] / "docs/guide/search.md"
SECTION = "figures of the check"
PREDICTED = "predicted_top1_percent"
LOW, HIGH = "predicted_top1_low_percent", "predicted_top1_high_percent"
SPEED = "throughput_ratio"
"""Over the sweep's base, in alternation with it."""
EACH = 3
"""Of the best, and of those that are drawn."""
BAND = 0.05
"""Two are of equal speed up to this share."""


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

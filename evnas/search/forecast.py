"""What a sweep would run and for how long, from its counts and a few seconds of trial training."""

import statistics
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from evnas.measure.timing.device_lock import OnWait, unsaid
from evnas.phases.base import Goal, Seen
from evnas.phases.work import Work
from evnas.record import Record, mixed_machines
from evnas.search.evaluate import Evaluator, only_waits, silent
from evnas.search.prepare import Prepared, PreparedAblation, PreparedSearch, prepared
from evnas.search.state.begun import as_begun, on_this_machine
from evnas.search.state.images import images_of
from evnas.search.terminal.view import clock
from evnas.store import Store
from evnas.sweep.candidate import Candidate
from evnas.sweep.sweep import Sweep
from evnas.tables import PHASES, phase_order
from evnas.words import counted

FAR_APART = 3.0
"""Times that trainings took and are expected to take differ so much that it is said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One piece of work ahead, or done."""

    label: str
    phase: str
    target: str
    seed: int
    seconds: float
    """Expected; 0 when done."""
    done: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """All of a sweep's work with what it is expected to take."""

    study: str
    steps: Sequence[Step]
    throughput_img_s: float | None
    """Images that the reference trains a second, as calibrated; None without a proxy."""
    notes: Sequence[str] = ()
    """Sentences about the sweep's targets and trainings."""
    training_images: int = 0
    """How many there are; 0 where nothing is trained."""

    @property
    def seconds(self) -> float:
        """Expected time of what is left."""
        return sum(step.seconds for step in self.steps)

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "study": self.study,
            "trials": len({(s.label, s.seed) for s in self.steps if PHASES.get(s.phase).trains})
            or len({s.label for s in self.steps}),
            "seconds": self.seconds,
            "calibrated_train_throughput_img_s": self.throughput_img_s,
            "notes": list(self.notes),
            "steps": [
                {
                    "row": s.label,
                    "phase": s.phase,
                    "target": s.target,
                    "seed": s.seed,
                    "seconds": s.seconds,
                    "done": s.done,
                }
                for s in self.steps
            ],
        }

    def text(self) -> str:
        """A line a phase, and the sum."""
        lines = []
        for phase in phase_order():
            steps = [s for s in self.steps if s.phase == phase]
            if not steps:
                continue
            done = sum(s.done for s in steps)
            rows = _shortened(list(dict.fromkeys(s.label for s in steps)))
            ahead = clock(sum(s.seconds for s in steps))
            lines.append(f"{phase}: {len(steps)} to do, {done} done, {ahead} ahead ({rows})")
        trials = self.to_dict()["trials"]
        whole = f"{counted(trials, 'trial')}, about {clock(self.seconds)} for all"
        return "\n".join([*lines, whole, *self.notes])


def _shortened(labels: Sequence[str]) -> str:
    return ", ".join(labels if len(labels) <= 30 else [*labels[:3], "...", labels[-1]])


def forecast(
    sweep: Sweep, *, results: Path, rows: Collection[str] = (), say: OnWait = unsaid
) -> Forecast:
    """Count all rows, train the reference for a few batches, and add up.

    Args:
        results: studies' folder; what a study there holds is not ahead.
        rows: of a table these alone would be worked on, and the reference; () is all.
        say: hears who is waited for, where another process holds the device.

    Raises:
        MeasurementError: a target asks for what is not here.
        DataError: the images are not there, or cannot be understood.
    """
    evaluator = Evaluator()
    path = results / sweep.spec.name / "study.db"
    sweep, _ = as_begun(on_this_machine(sweep), path)
    run = prepared(sweep)
    if rows:
        run = run.only(rows)
    if run.looks_at_images:
        run = run.with_images(images_of(sweep, path))
    if isinstance(run, PreparedAblation):
        found = _of_rows(run, evaluator, path, say)
    else:
        found = _of_search(run, evaluator, path, say)
    records = _records(path)
    endings = _about_endings(found.steps, run.sweep, _earlier(records))
    notes = [
        *run.notes(),
        *_about_machines(run, path),
        *_about_pace(found, run, records),
        *endings,
    ]
    return replace(found, notes=notes, training_images=run.training_images)


def _of_rows(run: PreparedAblation, evaluator: Evaluator, path: Path, say: OnWait) -> Forecast:
    """An ablation: each row at its own cost."""
    sweep, setting = run.sweep, run.setting
    goal = Goal(seeds=sweep.spec.seeds, budget=run.full_budget)
    works: dict[object, Work] = {}
    for row in run.rows:
        for work in setting.works(row, goal):
            shared = PHASES.get(work.phase).by_digest
            works.setdefault(("" if shared else row.label, work.digest, work.key[2:]), work)
    ahead = sorted(works.values(), key=lambda work: _place(work))
    counts = {w.label: evaluator.run(w, silent).record for w in ahead if w.phase == "count"}
    cost = {
        label: record.values.get("macs_exact", 0.0) / setting.reference_macs
        for label, record in counts.items()
    }
    seen = _rehearsed(ahead, evaluator, say)
    records = _records(path)
    done, earlier = {record.key for record in records}, _earlier(records)
    steps = [
        Step(
            label=work.label,
            phase=work.phase,
            target=work.target,
            seed=work.seed,
            seconds=(
                0.0
                if work.key in done
                else _seconds(work, counts[work.label], cost[work.label], seen, earlier)
            ),
            done=work.key in done,
        )
        for work in ahead
    ]
    return Forecast(study=sweep.spec.name, steps=steps, throughput_img_s=_train_rate(seen))


def _place(work: Work) -> tuple[int, int, int]:
    """Where a piece of work comes: phases, then targets or seeds."""
    return phase_order().index(work.phase), work.task.place, work.seed


def _of_search(run: PreparedSearch, evaluator: Evaluator, path: Path, say: OnWait) -> Forecast:
    """A search's trials at the cost of its base, within the minutes that its budget has."""
    sweep = run.sweep
    budget = run.spec.budget
    base = Candidate(label="base", arch=sweep.base, published="")
    works = list(run.setting.works(base, Goal(budget=run.full_budget)))
    seen = _rehearsed(works, evaluator, say)
    counted = evaluator.run(works[0], silent).record
    earlier = _earlier(_records(path))
    each = [(work, _seconds(work, counted, 1.0, seen, earlier)) for work in works]
    limits = [m * 60 for m in (budget.minutes, budget.device_minutes) if m is not None]
    a_trial = sum(seconds for _, seconds in each)
    trials = budget.trials or (round(min(limits) / a_trial) if limits else 1)
    whole = min([trials * a_trial, *limits])
    share = whole / (trials * a_trial)
    steps = [
        Step(
            label=str(number),
            phase=work.phase,
            target=work.target,
            seed=0,
            seconds=seconds * share,
            done=False,
        )
        for number in range(1, trials + 1)
        for work, seconds in each
    ]
    return Forecast(study=sweep.spec.name, steps=steps, throughput_img_s=_train_rate(seen))


def _rehearsed(works: Sequence[Work], evaluator: Evaluator, say: OnWait) -> dict[str, Record]:
    """Phase -> the second rehearsal of its first work, of phases that have one."""
    found: dict[str, Record] = {}
    for work in works:
        trial = PHASES.get(work.phase).rehearsal(work)
        if trial is not None and work.phase not in found:
            twice = [evaluator.run(trial, only_waits(say)).record for _ in range(2)]
            found[work.phase] = twice[-1]
    return found


Earlier = Mapping[tuple[str, str], float]
"""(phase, target) -> median seconds of what came to an end."""


def _seconds(
    work: Work, counted: Record, share: float, seen: Mapping[str, Record], earlier: Earlier
) -> float:
    """What a piece of work takes; `share` is its MACs over the reference's."""
    about = Seen(
        counted=counted,
        share=share,
        rehearsed=seen.get(work.phase),
        earlier_s=earlier.get((work.phase, work.target)),
    )
    return PHASES.get(work.phase).expected_s(work, about)


def _train_rate(seen: Mapping[str, Record]) -> float | None:
    """Images a second that the reference trains; None where nothing is trained."""
    trained = [record for phase, record in seen.items() if PHASES.get(phase).trains]
    return float(trained[0].values.get("train_throughput_img_s", 1.0)) if trained else None


def _earlier(records: Sequence[Record]) -> Earlier:
    found: dict[tuple[str, str], list[float]] = {}
    for record in records:
        if record.status == "complete":
            found.setdefault((record.phase, record.target), []).append(record.seconds)
    return {key: statistics.median(seconds) for key, seconds in found.items()}


def _about_endings(steps: Sequence[Step], sweep: Sweep, earlier: Earlier) -> list[str]:
    """That a target which nothing was timed on yet may take less than is counted."""
    ends = any(target.uncertainty_percent is not None for target in sweep.spec.targets)
    whole = any(
        not step.done
        and PHASES.get(step.phase).per_target
        and (step.phase, step.target) not in earlier
        for step in steps
    )
    if not (ends and whole):
        return []
    return [
        "a speed counts with its whole budget_s here, and ends earlier where it is sure enough"
    ]


def _about_pace(found: Forecast, run: Prepared, records: Sequence[Record]) -> list[str]:
    """That rows are expected to take far more, or less, than their own seeds took before."""
    if not isinstance(run, PreparedAblation):
        return []  # a search's steps are cut to its minutes
    before: dict[str, list[float]] = {}
    for record in records:
        trained = record.status == "complete" and PHASES.get(record.phase).trains
        if trained and record.budget == run.full_budget:
            before.setdefault(record.label, []).append(record.seconds)
    ahead = {
        step.label: step.seconds
        for step in found.steps
        if not step.done and PHASES.get(step.phase).trains and step.label in before
    }
    if not ahead:
        return []  # other rows cost more or less by themselves
    now = statistics.median(ahead.values())
    then = statistics.median(statistics.median(before[label]) for label in ahead)
    if max(now, then) < FAR_APART * min(now, then):
        return []
    return [
        f"a training of a row took {clock(then)} so far, and another of it is expected to take "
        f"{clock(now)} here and now: this is another machine, or one that is busier or idler"
    ]


def _about_machines(run: Prepared, path: Path) -> list[str]:
    """Sentences about speeds in the store that are of several machines, or of another."""
    records = _records(path)
    return mixed_machines(records) + run.about_machines(records)


def _records(path: Path) -> list[Record]:
    if not path.exists():
        return []
    with Store.read(path) as store:
        return [record for _, record in store.records()]

"""What a sweep would run and for how long, from its counts and a few seconds of trial training."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from evnas.record import Phase, Record, mixed_machines
from evnas.search import plan
from evnas.search.begin import one_and_the_same, target_ids
from evnas.search.evaluate import Evaluator
from evnas.search.live import clock
from evnas.search.loop import Ask
from evnas.search.machines import taken_elsewhere
from evnas.search.session import prepare
from evnas.search.work import Work
from evnas.store import Store
from evnas.sweep import Sweep

AROUND_SPEED_S = 2.0
"""Building a model and finding its peak memory, beside the budget of its measurement."""
AROUND_PROXY_S = 0.5
FORWARD_SHARE = 1 / 3
"""A forward's cost over that of a training step: forward and backward are three forwards."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One piece of work ahead, or done."""

    label: str
    phase: Phase
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
    """Sentences about the sweep's targets."""

    @property
    def seconds(self) -> float:
        """Expected time of what is left."""
        return sum(step.seconds for step in self.steps)

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "study": self.study,
            "trials": len({(s.label, s.seed) for s in self.steps if s.phase == "proxy"})
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
        for phase in plan.PHASES:
            steps = [s for s in self.steps if s.phase == phase]
            if not steps:
                continue
            done = sum(s.done for s in steps)
            rows = _shortened(list(dict.fromkeys(s.label for s in steps)))
            ahead = clock(sum(s.seconds for s in steps))
            lines.append(f"{phase}: {len(steps)} to do, {done} done, {ahead} ahead ({rows})")
        trials = self.to_dict()["trials"]
        whole = f"{trials} trials, about {clock(self.seconds)} for all"
        return "\n".join([*lines, whole, *self.notes])


def _shortened(labels: Sequence[str]) -> str:
    return ", ".join(labels if len(labels) <= 30 else [*labels[:3], "...", labels[-1]])


def forecast(sweep: Sweep, *, results: Path) -> Forecast:
    """Count all rows, train the reference for a few batches, and add up.

    Args:
        results: studies' folder; what a study there holds is not ahead.

    Raises:
        MeasurementError: a target asks for what is not here.
    """
    evaluator = Evaluator()
    path = results / sweep.spec.name / "study.db"
    if sweep.spec.search is not None:
        found = _of_search(sweep, evaluator)
        return replace(found, notes=[*found.notes, *_about_machines(sweep, path)])
    counting = plan.counts(sweep)
    counts = {w.label: evaluator.run(w, _silent).record for w in counting}
    macs = {label: r.values.get("macs_exact", 0.0) for label, r in counts.items()}
    reference = macs[sweep.reference.label]
    proxies = plan.proxies(sweep)
    rate = _trial_training(evaluator, proxies[0]) if proxies else None
    done = {record.key for record in _records(path)}
    steps = []
    for work in [*counting, *plan.speeds(sweep, reference), *proxies]:
        seconds = _seconds(work, counts[work.label], macs[work.label] / reference, rate)
        stands = work.key in done
        steps.append(
            Step(
                label=work.label,
                phase=work.phase,
                target=work.target,
                seed=work.seed,
                seconds=0.0 if stands else seconds,
                done=stands,
            )
        )
    return Forecast(
        study=sweep.spec.name,
        steps=steps,
        throughput_img_s=rate,
        notes=one_and_the_same(target_ids(sweep)) + _about_machines(sweep, path),
    )


def _of_search(sweep: Sweep, evaluator: Evaluator) -> Forecast:
    """A search's trials at the cost of its base, within the minutes that its budget has."""
    session = prepare(sweep)
    budget = session.spec.budget
    base = Ask(label="base", arch=sweep.base, phase="count")
    works = [
        session.work(base),
        *(
            session.work(replace(base, phase="speed", target=target))
            for target in dict.fromkeys(t.id for t in session.targets)
        ),
    ]
    rate = None
    if session.trains:
        works.append(session.work(replace(base, phase="proxy", budget=session.full_budget)))
        rate = _trial_training(evaluator, works[-1])
    counted = evaluator.run(works[0], _silent).record
    each = [(work, _seconds(work, counted, 1.0, rate)) for work in works]
    if session.scores:
        scoring = session.work(replace(base, phase="score"))
        each.append((scoring, _trial_scoring(evaluator, scoring)))
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
    return Forecast(
        study=sweep.spec.name,
        steps=steps,
        throughput_img_s=rate,
        notes=one_and_the_same([t.id for t in session.targets]),
    )


def _seconds(work: Work, counted: Record, cost: float, rate: float | None) -> float:
    """What a piece of work takes; `cost` is its MACs over the reference's."""
    if work.phase == "count":
        return counted.seconds
    if work.speed is not None:
        return float(work.speed["budget_s"]) + AROUND_SPEED_S
    assert work.proxy is not None
    assert rate is not None
    points = work.proxy["epochs"] * work.proxy["points_per_epoch"] - 1
    held_out: float = min(2000, work.proxy["held_out_images"])
    held_out += points * work.proxy["curve_images"]
    return AROUND_PROXY_S + (work.budget + FORWARD_SHARE * held_out) * cost / rate


def _trial_training(evaluator: Evaluator, work: Work) -> float:
    """Images a second that the reference trains, after a first batch that nobody counts."""
    proxy = dict(work.proxy or {})
    size = proxy["batch_size"]
    short = proxy | {
        "epochs": 1,
        "images_per_epoch": 4 * size,
        "points_per_epoch": 1,
        "curve_images": size,
        "held_out_images": size,
    }
    rates = []
    for _ in range(2):
        calibration = Work(
            label=work.label, digest=work.digest, arch=work.arch, phase="proxy", proxy=short
        )
        record = evaluator.run(calibration, _silent).record
        rates.append(float(record.values.get("train_throughput_img_s", 1.0)))
    return rates[-1]


def _trial_scoring(evaluator: Evaluator, work: Work) -> float:
    """Seconds of the second scoring of the base: the first loads the data too."""
    return [evaluator.run(work, _silent).record.seconds for _ in range(2)][-1]


def _about_machines(sweep: Sweep, path: Path) -> list[str]:
    """Sentences about speeds in the store that are of several machines, or of another."""
    records = _records(path)
    mixed = mixed_machines(records)
    if sweep.spec.engine.kind != "local":  # of a cluster any node may time
        return mixed
    return mixed + taken_elsewhere(records, searching=sweep.spec.search is not None)


def _records(path: Path) -> list[Record]:
    if not path.exists():
        return []
    with Store.read(path) as store:
        return [record for _, record in store.records()]


def _silent(fraction: float, text: str) -> None:
    """Progress that nobody watches."""

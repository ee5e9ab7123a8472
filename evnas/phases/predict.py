"""`predict`: ImageNet top-1 from printed results, in seconds and without any training."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from evnas.errors import MeasurementError
from evnas.phases.base import Phase, Quantity, Setting
from evnas.phases.task import Found, Goal, Need, OnProgress, Task, Workshop
from evnas.phases.work import Work
from evnas.record import Record
from evnas.sweep.candidate import Candidate
from evnas.sweep.parts import PredictSpec

PREDICTED = "predicted_top1_percent"
LOW, HIGH = "predicted_top1_low_percent", "predicted_top1_high_percent"


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictTask(Task):
    """Predict a candidate's top-1."""

    resolution: int = 224
    """Side of the images that it is counted for."""
    seeds: int = 2
    """Initialisations behind the signals."""
    recipe: str = ""
    """Whose way of training is meant; "" is one that nobody has seen."""
    held_out: tuple[str, ...] = ()
    """Papers and recipes whose printed rows the predictor does not know."""


class Predict(Phase):
    """Predicted top-1 with its 90 % interval, from counts and signals of the untrained model."""

    name = "predict"
    guess_s = 2.0
    needs_alike = True
    quantities = (
        Quantity(PREDICTED, "Top-1 (predicted)", "%", "max", ends=(LOW, HIGH), ends_hold=0.9),
        Quantity(LOW, "Top-1 (predicted), low of 90 %", "%", "max"),
        Quantity(HIGH, "Top-1 (predicted), high of 90 %", "%", "max"),
    )

    def needed(self, setting: Setting, candidate: Candidate, goal: Goal) -> Iterator[Need]:
        """Once, where the sweep says `predict`, or an objective or constraint names the figure."""
        if setting.predict is not None or any(q.name in setting.wanted for q in self.quantities):
            yield Need()

    def task(self, setting: Setting, candidate: Candidate, need: Need) -> PredictTask:
        """Beside printed rows, with the row's own paper and recipe held out."""
        from evnas.predict.printed import held_out_beside

        asked = setting.predict or PredictSpec().model_dump(mode="json")
        paper = setting.paper
        held_out = held_out_beside(paper, candidate.digest) if paper else ()
        return PredictTask(
            resolution=setting.counted_at(candidate),
            seeds=asked["seeds"],
            recipe=asked["recipe"],
            held_out=held_out,
        )

    def evaluate(self, work: Work, workshop: Workshop, on_progress: OnProgress) -> Found:
        """The prediction; what it is made from, and its joint draws, among the details."""
        from evnas.measure.timing.device_lock import device_lock_for
        from evnas.predict.predictor import Predictor

        task = work.task
        assert isinstance(task, PredictTask)
        start = time.perf_counter()
        key = ",".join(task.held_out)
        predictor = workshop.kept("predictor", key, lambda: Predictor.shipped(task.held_out))
        with device_lock_for("cpu", lambda text: on_progress(0.0, text)).working():
            inputs = _inputs(work.arch, task)
        found = predictor.predict(inputs, recipe=task.recipe, name=work.digest)
        details = {
            "inputs": inputs,
            "outside": found.outside,
            "draws": {PREDICTED: [round(d, 3) for d in found.draws]},
            "recipe": task.recipe,
            "held_out": list(task.held_out),
            "seeds": task.seeds,
        }
        values = {PREDICTED: found.mid, LOW: found.low, HIGH: found.high}
        busy_s = time.perf_counter() - start
        return Found(values=values, rest={"details": details}, busy_s=busy_s)

    def words(self, record: Record) -> str:
        """The figure, its interval, and whether it extrapolates."""
        mid, low, high = (record.values[name] for name in (PREDICTED, LOW, HIGH))
        outside = record.details.get("outside")
        return f"{mid:.1f} % [{low:.1f}, {high:.1f}] predicted" + (
            ", outside what is known" if outside else ""
        )


def _inputs(arch: Mapping[str, Any], task: PredictTask) -> dict[str, float]:
    """What the predictor asks for, of one candidate: counts, and signals meaned over seeds.

    Raises:
        MeasurementError: a signal is not finite, or the model has no mixer.
    """
    from evnas.measure.models import model_for
    from evnas.phases.count import counts_of
    from evnas.predict.predictor import SIGNALS
    from evnas.proxy.scores.scored import scored
    from evnas.proxy.seeding import seeded
    from evnas.proxy.signal_images import SIDE, signal_images

    counts = counts_of(arch, task.resolution)
    sums = dict.fromkeys(SIGNALS, 0.0)
    for seed in range(task.seeds):
        with seeded(seed, "init"):
            model = model_for(arch, resolution=SIDE)
        found = scored(SIGNALS, model, *signal_images(), seed=seed)
        if found.reasons:
            raise MeasurementError("; ".join(found.reasons.values()))
        sums = {name: sums[name] + found.values[name] / task.seeds for name in SIGNALS}
    counted = {"params": float(counts.params), "macs_exact": float(counts.macs["exact"])}
    return counted | sums


PREDICT = Predict()

"""`score`: training-free scores, on the images and in the form that the proxy trains."""

import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from evnas.errors import MeasurementError
from evnas.phases.base import (
    Found,
    Goal,
    Need,
    OnProgress,
    Phase,
    Quantity,
    Setting,
    Task,
    Workshop,
)
from evnas.phases.proxy import device_of, loaded
from evnas.phases.work import Work
from evnas.record import Record
from evnas.sweep.candidate import Candidate
from evnas.tables import SCORES


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreTask(Task):
    """Score an untrained model."""

    proxy: Mapping[str, Any]
    """`ProxySpec` as plain data: the model's width, and its images."""
    scores: tuple[str, ...]
    """Of `evnas.tables.SCORES`."""

    @property
    def device(self) -> str:
        """The proxy's."""
        return str(self.proxy["device"])


class Score(Phase):
    """Scores of the untrained model on one batch of training images."""

    name = "score"
    guess_s = 5.0
    needs = "proxy"

    @property
    def quantities(self) -> tuple[Quantity, ...]:  # type: ignore[override] # they grow with a table
        """A quantity a score; `params` is counted."""
        names = [name for name in SCORES if name != "params"]
        return tuple(Quantity(n, n.replace("_", " ").capitalize(), goal="max") for n in names)

    def needed(self, setting: Setting, candidate: Candidate, goal: Goal) -> Iterator[Need]:
        """Once, where an objective or constraint names a score."""
        if setting.scores:
            yield Need()

    def task(self, setting: Setting, candidate: Candidate, need: Need) -> ScoreTask:
        """All wanted scores at once: they share the model."""
        assert setting.proxy is not None
        return ScoreTask(proxy=setting.proxy, scores=setting.scores)

    def evaluate(self, work: Work, workshop: Workshop, on_progress: OnProgress) -> Found:
        """A value a score.

        Raises:
            MeasurementError: a score is not finite, or not defined for this model.
        """
        from evnas.measure.timing.device_lock import device_lock_for

        task = work.task
        assert isinstance(task, ScoreTask)
        start = time.perf_counter()
        device = device_of(task.proxy)
        data = loaded(task.proxy, device, workshop)
        with device_lock_for(device).working():
            values = _scored(work, task, data)
        return Found(values=values, busy_s=time.perf_counter() - start)

    def words(self, record: Record) -> str:
        """Each score by name."""
        return ", ".join(f"{name} {value:.4g}" for name, value in record.values.items())

    def lacking(self, metric: str) -> str:
        """The model that is scored is the proxy's."""
        return f"{metric!r} needs {metric}, a score of the proxy's model; say proxy: {{}}"


def _scored(work: Work, task: ScoreTask, data: Any) -> dict[str, float]:
    import torch

    from evnas.measure.models import proxy_model
    from evnas.proxy.augment import training_batch
    from evnas.proxy.seeding import seeded

    proxy = task.proxy
    with seeded(work.seed, "init"):
        model = proxy_model(work.arch, proxy, classes=len(data.classes))
    model = model.to(data.train.images.device)
    indices = torch.arange(min(proxy["batch_size"], len(data.train)))
    views = torch.Generator().manual_seed(work.seed)
    images, labels = training_batch(data, indices, resolution=proxy["resolution"], generator=views)
    found = {}
    for name in task.scores:
        try:
            found[name] = float(SCORES.get(name)(model, images, labels))
        except ValueError as e:  # such as naswot's, of a model without activations
            raise MeasurementError(str(e)) from None
        if not math.isfinite(found[name]):
            raise MeasurementError(f"{name} of this candidate is {found[name]}")
    return found


SCORE = Score()

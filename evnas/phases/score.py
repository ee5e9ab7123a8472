"""`score`: training-free scores, of the form and on the images that the proxy trains, or of the
whole model where nothing is trained."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from evnas.phases.base import Phase, Quantity, Setting
from evnas.phases.proxy import device_of, loaded
from evnas.phases.task import Found, Goal, Need, OnProgress, Seen, Task, Workshop
from evnas.phases.work import Work
from evnas.record import Record
from evnas.sweep.candidate import Candidate
from evnas.tables import SCORES, scores_among


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreTask(Task):
    """Score an untrained model."""

    proxy: Mapping[str, Any] | None
    """`ProxySpec` as plain data: the model's width, and its images; None scores the whole model
    on a few images of `evnas.proxy.signal_images`."""
    scores: tuple[str, ...]
    """Of `evnas.tables.SCORES`."""
    side: int = 96
    """Pixels of the images that a whole model is scored on."""
    images: int = 16
    """How many they are."""

    @property
    def device(self) -> str:
        """The proxy's."""
        return "cpu" if self.proxy is None else str(self.proxy["device"])


class Score(Phase):
    """Scores of the untrained model on one batch of training images."""

    name = "score"
    per_seed = True
    guess_s = 5.0
    needs_alike = True

    @property
    def quantities(self) -> tuple[Quantity, ...]:  # type: ignore[override] # they grow with a table
        """A quantity a score; `params` is counted."""
        names = scores_among(SCORES)
        return tuple(Quantity(n, n.replace("_", " ").capitalize(), goal="max") for n in names)

    def needed(self, setting: Setting, candidate: Candidate, goal: Goal) -> Iterator[Need]:
        """Once, where an objective or constraint names a score."""
        if scores_among(setting.wanted):
            yield Need()

    def task(self, setting: Setting, candidate: Candidate, need: Need) -> ScoreTask:
        """All wanted scores at once: they share the model."""
        return ScoreTask(proxy=setting.proxy, scores=scores_among(setting.wanted))

    def evaluate(self, work: Work, workshop: Workshop, on_progress: OnProgress) -> Found:
        """A value a score; `failed` where one is not finite or not defined for this model."""
        from evnas.measure.timing.device_lock import device_lock_for
        from evnas.proxy.scores.scored import scored

        task = work.task
        assert isinstance(task, ScoreTask)
        start = time.perf_counter()
        device = "cpu" if task.proxy is None else device_of(task.proxy)
        untrained = (
            _whole(work, task) if task.proxy is None else _reduced(work, task.proxy, workshop)
        )
        with device_lock_for(device, lambda text: on_progress(0.0, text)).working():
            found = scored(task.scores, *untrained, seed=work.seed)
        busy_s = time.perf_counter() - start
        if found.reasons:
            error = "; ".join(found.reasons.values())
            return Found(status="failed", error=error, values=found.values, busy_s=busy_s)
        return Found(values=found.values, busy_s=busy_s)

    def rehearsal(self, work: Work) -> Work:
        """The base itself: its first scoring loads the data too."""
        return work

    def expected_s(self, work: Work, seen: Seen) -> float:
        """That of the base."""
        return self.guess_s if seen.rehearsed is None else seen.rehearsed.seconds

    def words(self, record: Record) -> str:
        """Each score by name."""
        return ", ".join(f"{name} {value:.4g}" for name, value in record.values.items())


Untrained = tuple[Any, Any, Any]
"""A model with fresh parameters, images (B, 3, H, W) and labels (B,)."""


def _reduced(work: Work, proxy: Mapping[str, Any], workshop: Workshop) -> Untrained:
    """As the proxy trains it."""
    import torch

    from evnas.measure.models import proxy_model
    from evnas.proxy.augment import training_batch
    from evnas.proxy.seeding import seeded

    data = loaded(proxy, device_of(proxy), workshop)
    with seeded(work.seed, "init"):
        model = proxy_model(work.arch, proxy, classes=len(data.classes))
    model = model.to(data.train.images.device)
    indices = torch.arange(min(proxy["batch_size"], len(data.train)))
    views = torch.Generator().manual_seed(work.seed)
    images, labels = training_batch(data, indices, resolution=proxy["resolution"], generator=views)
    return model, images, labels


def _whole(work: Work, task: ScoreTask) -> Untrained:
    """The model itself, on a few small images."""
    from evnas.measure.models import model_for
    from evnas.proxy.seeding import seeded
    from evnas.proxy.signal_images import signal_images

    with seeded(work.seed, "init"):
        model = model_for(work.arch, resolution=task.side)
    return model, *signal_images(task.side, task.images)


SCORE = Score()

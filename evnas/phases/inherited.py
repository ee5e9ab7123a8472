"""`inherited`: the proxy's training from weights that a parent hands down. Experimental.

A candidate that evolution bred starts from its parent's weights, any other from those of the
sweep's base, which is trained as long from scratch first. What comes out is a quantity of its own,
`inherited_top1_percent`: a figure of weights that were trained longer is none of a training from
scratch, so no table, front or comparison can take one for the other. A sweep asks for it by naming
it as an objective; docs/reference/proxy.md says whether that pays.
"""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evnas.arch.spec import ArchSpec
from evnas.phases.base import Quantity, Setting
from evnas.phases.proxy import (
    TrainingPhase,
    TrainingTask,
    batch_in_parts,
    data_for,
    details_of,
    fresh_model,
    trained,
)
from evnas.phases.task import Found, Goal, Need, OnProgress, Workshop
from evnas.phases.work import Work
from evnas.record import Record
from evnas.sweep.candidate import Candidate

TOP1, LOSS = "inherited_top1_percent", "inherited_loss"
BASE = "base"
"""In place of a parent's digest."""
FROM = "from-"
"""What the target of its records begins with; the parent's digest follows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InheritedTask(TrainingTask):
    """Train a model that starts from a parent's weights."""

    parent: str
    """Its digest, or `base`."""
    base: Mapping[str, Any]
    """`ArchSpec.to_dict()` of the sweep's base."""
    weights: str
    """The folder of weights that are handed down; "" keeps none."""

    def noted(self) -> dict[str, Any]:
        """Whose weights it began with."""
        return {"inherited_from": self.parent}


class Inherited(TrainingPhase):
    """Held-out top-1 and training loss of a training that began with a parent's weights."""

    name = "inherited"
    trains_whole = True
    guess_s = 61.0
    caution = (
        "inherited_top1_percent is experimental: it has not been shown to rank candidates better "
        "than training them from scratch at equal cost. Its trainings begin with a parent's "
        "weights, the base's where a candidate has no parent, so it compares with no top1_percent"
    )
    quantities = (
        Quantity(TOP1, "Top-1 (proxy, inherited, experimental)", "%", "max"),
        Quantity(LOSS, "Loss (proxy, inherited, experimental)", "", "min"),
    )

    def needed(self, setting: Setting, candidate: Candidate, goal: Goal) -> Iterator[Need]:
        """Once a seed, where an objective or constraint names one of its quantities."""
        if any(q.name in setting.wanted for q in self.quantities):
            for seed in goal.seeds if goal.budget else ():
                target = f"{FROM}{goal.parent or BASE}"
                yield Need(seed=seed, budget=goal.budget, target=target)

    def task(self, setting: Setting, candidate: Candidate, need: Need) -> InheritedTask:
        """From the parent that the need's target names."""
        assert setting.proxy is not None
        return InheritedTask(
            proxy=setting.proxy,
            parent=need.target.removeprefix(FROM),
            base=setting.base,
            weights=setting.weights,
        )

    def evaluate(self, work: Work, workshop: Workshop, on_progress: OnProgress) -> Found:
        """`inherited_top1_percent`, `inherited_loss`, the curve, and through which trainings the
        weights came."""
        from evnas.proxy.handed_down import Weights, hand_down, weights_file

        task = work.task
        assert isinstance(task, InheritedTask)
        start = time.perf_counter()
        data = data_for(task.proxy, workshop)
        classes = len(data.classes)
        handed = _handed_down(work, task, data, workshop)
        parent = fresh_model(handed.arch, task.proxy, seed=work.seed, classes=classes)
        parent.load_state_dict(handed.state)
        model = fresh_model(work.arch, task.proxy, seed=work.seed, classes=classes)
        share = hand_down(parent, model)
        result = trained(model, data, task.proxy, seed=work.seed, on_progress=on_progress)
        if task.weights and result.status == "complete":
            state = {name: value.cpu() for name, value in model.state_dict().items()}
            lineage = handed.lineage.then(work.digest, result.images)
            kept = Weights(arch=work.arch, state=state, lineage=lineage)
            kept.save(weights_file(Path(task.weights), work.digest, work.seed))
        others = {name: v for name, v in result.values().items() if name != "top1_percent"}
        details = {
            **details_of(result, model, data),
            **others,
            "lineage": list(handed.lineage.digests),
            "presentations_before": handed.lineage.presentations,
            "share_handed_down": share,
        }
        return Found(
            status=result.status,
            error=result.error,
            values=_renamed(result),
            rest={"curve": tuple(p.to_dict() for p in result.curve), "details": details},
            busy_s=min(result.seconds, time.perf_counter() - start),
        )

    def words(self, record: Record) -> str:
        """Top-1, and from whom."""
        parent = record.details.get("inherited_from", "its parent")
        return f"top-1 {record.values[TOP1]:.1f} % on weights of {parent}{batch_in_parts(record)}"


def _handed_down(work: Work, task: InheritedTask, data: Any, workshop: Workshop) -> Any:
    """The `Weights` to begin with: the parent's file, or those of the base, which are trained
    where nobody kept them. That training is the same whoever does it."""
    from evnas.proxy.handed_down import Weights, weights_file

    folder = Path(task.weights)
    if task.parent != BASE:
        file = weights_file(folder, task.parent, work.seed)
        return Weights.load(file, whose=f"parent {task.parent}")
    file = weights_file(folder, BASE, work.seed)
    if task.weights and file.exists():
        return Weights.load(file, whose="the base")
    key = f"{task.base} {task.proxy} {work.seed}"
    found = workshop.kept("base weights", key, lambda: _base_trained(work, task, data))
    if task.weights:
        found.save(file)
    return found


def _base_trained(work: Work, task: InheritedTask, data: Any) -> Any:
    """`Weights` of the base, from scratch.

    Raises:
        DataError: its training did not come to an end.
    """
    from evnas.errors import DataError
    from evnas.proxy.handed_down import Lineage, Weights

    model = fresh_model(task.base, task.proxy, seed=work.seed, classes=len(data.classes))
    result = trained(model, data, task.proxy, seed=work.seed, on_progress=lambda *_: None)
    if result.status != "complete":
        raise DataError(
            f"the base must be trained before its weights can be handed down, its training ended "
            f"as {result.status} ({result.error}); lower proxy.lr or take another base"
        )
    state = {name: value.cpu() for name, value in model.state_dict().items()}
    digest = ArchSpec.from_dict(task.base).digest
    return Weights(arch=task.base, state=state, lineage=Lineage().then(digest, result.images))


def _renamed(result: Any) -> dict[str, float]:
    """Top-1 and loss under names of their own; a diverged training has neither."""
    if not result.curve or result.status == "diverged":
        return {}
    return {TOP1: result.curve[-1].top1_percent, LOSS: result.curve[-1].loss}


INHERITED = Inherited()

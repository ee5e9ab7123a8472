"""`proxy`: a short training on real images, the same for every candidate."""

import platform
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from evnas.errors import DataError
from evnas.phases.base import Phase, Quantity, Setting
from evnas.phases.task import Found, Goal, Need, OnProgress, Seen, Task, Workshop
from evnas.phases.work import Work
from evnas.record import Record
from evnas.sweep.candidate import Candidate
from evnas.sweep.parts import steps_an_epoch
from evnas.tables import PHASES, found_by
from evnas.words import counted

LEAST_PART = 2
"""Images at once of a training: a batch norm needs two."""
AROUND_S = 0.5
"""Of a training, beside its images."""
FORWARD_SHARE = 1 / 3
"""A forward's cost over that of a training step: forward and backward are three forwards."""
BUDGET_FIELDS = (
    *("epochs", "images_per_epoch", "resolution", "batch_size", "lr", "precision"),
    *("points_per_epoch", "curve_images", "held_out_images"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingTask(Task):
    """Train a model on the proxy's images."""

    proxy: Mapping[str, Any]
    """`ProxySpec` as plain data, and under `images` which they are, where that is known."""

    @property
    def device(self) -> str:
        """The proxy's."""
        return str(self.proxy["device"])


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxyTask(TrainingTask):
    """Train a model from scratch, or go on with its training."""

    until_epoch: int | None = None
    """Break off after so many epochs of the schedule, a rung; None runs it all."""
    checkpoint: str = ""
    """The file that a next rung goes on from; "" keeps none."""


class TrainingPhase(Phase):
    """A short training, whatever the weights that it begins with."""

    per_seed = True
    trains = True
    needs_alike = True
    needs = "proxy"

    def rehearsal(self, work: Work) -> Work:
        """Four batches from scratch, which cost what any others do; the first time loads the data
        too."""
        return rehearsal_of(work, _proxy_of(work))

    def expected_s(self, work: Work, seen: Seen) -> float:
        """Images trained and held out, at the rate of the reference."""
        return self.guess_s if seen.rehearsed is None else training_s(work, _proxy_of(work), seen)

    def lacking(self, metric: str) -> str:
        """A proxy, which is `{}` at its shortest."""
        return f"{metric!r} needs a training; say proxy: {{}}"


class Proxy(TrainingPhase):
    """Held-out top-1 and training loss after a short training, with its curve."""

    name = "proxy"
    status_column = "top1"
    guess_s = 60.0
    by_digest = True
    quantities = (
        Quantity("top1_percent", "Top-1 (proxy)", "%", "max"),
        Quantity("loss", "Loss (proxy)", "", "min"),
    )

    def needed(self, setting: Setting, candidate: Candidate, goal: Goal) -> Iterator[Need]:
        """Once a seed, where anything is to be trained from scratch."""
        if self._is_wanted(setting):
            for seed in goal.seeds if goal.budget else ():
                yield Need(seed=seed, budget=goal.budget)

    def _is_wanted(self, setting: Setting) -> bool:
        """Rows are trained; a search's candidates, unless only another kind of training is
        wanted of them."""
        known = found_by()
        trained = {q for q in setting.wanted if q in known and PHASES.get(known[q]).trains}
        return not trained or any(q.name in trained for q in self.quantities)

    def task(self, setting: Setting, candidate: Candidate, need: Need) -> ProxyTask:
        """Whole, or to the rung that the need's budget is."""
        assert setting.proxy is not None
        until_epoch, checkpoint = setting.rung(candidate, need)
        return ProxyTask(proxy=setting.proxy, until_epoch=until_epoch, checkpoint=checkpoint)

    def evaluate(self, work: Work, workshop: Workshop, on_progress: OnProgress) -> Found:
        """`top1_percent`, `loss` and the curve; a loss that is not finite ends as `diverged`."""
        task = work.task
        assert isinstance(task, ProxyTask)
        data = data_for(task.proxy, workshop)
        model = fresh_model(work.arch, task.proxy, seed=work.seed, classes=len(data.classes))
        start = time.perf_counter()
        result = trained(
            model,
            data,
            task.proxy,
            seed=work.seed,
            on_progress=on_progress,
            until_epoch=task.until_epoch,
            checkpoint=Path(task.checkpoint) if task.checkpoint else None,
        )
        here_s = time.perf_counter() - start  # the result's own counts earlier rungs too
        details = details_of(result, model, data)
        return Found(
            status=result.status,
            error=result.error,
            values=result.values() | _last_loss(result),
            rest={"curve": tuple(p.to_dict() for p in result.curve), "details": details},
            busy_s=min(result.seconds, here_s),
        )

    def shown(self, record: Record) -> dict[str, str]:
        """Top-1 alone."""
        return {"top1": f"{record.values['top1_percent']:.1f}"}

    def words(self, record: Record) -> str:
        """Top-1, and in how many parts a step's images went where they did not fit."""
        return f"top-1 {record.values['top1_percent']:.1f} %{batch_in_parts(record)}"

    def again(self, timed: Sequence[str], seed: int, budget: float) -> Iterator[Need]:
        """A whole training."""
        if budget:
            yield Need(seed=seed, budget=budget)


def _proxy_of(work: Work) -> Mapping[str, Any]:
    assert isinstance(work.task, TrainingTask)
    return work.task.proxy


def device_of(proxy: Mapping[str, Any]) -> str:
    """The device that a proxy trains on, with `auto` settled."""
    from evnas.measure.target import Target

    return Target(device=proxy["device"]).resolved().device


def loaded(proxy: Mapping[str, Any], device: str, workshop: Workshop) -> Any:
    """The proxy's images on a device; those of every data set are kept.

    Raises:
        DataError: they are not here, or not those that the study knows.
    """
    from evnas.proxy.data import load_data
    from evnas.proxy.image_file import READING

    side, reading = proxy["resolution"], proxy.get("images", {}).get("reading", READING)

    def load() -> Any:
        _must_be_known(proxy)
        return load_data(proxy["data"], resolution=side, device=device, reading=reading)

    name = f"{proxy['data']} {side} {device} read as {reading}"
    return workshop.kept(f"data {name}", name, load)


def _must_be_known(proxy: Mapping[str, Any]) -> None:
    """This machine's images are the driver's: another node's folder may hold others."""
    if not proxy.get("images"):
        return
    from evnas.proxy.fingerprint import KnownImages, known_images

    known = KnownImages.from_dict(proxy["images"])
    if known_images(proxy["data"], before=known).fingerprint != known.fingerprint:
        raise DataError(
            f"{proxy['data']} must hold the images of the study on every machine, on "
            f"{platform.node()} it holds others; copy them there, and start the study again"
        )


def data_for(proxy: Mapping[str, Any], workshop: Workshop) -> Any:
    """The proxy's images on its device, with the memory free that a training needs."""
    from evnas.phases.speed import REFERENCE

    workshop.drop(REFERENCE)  # the training has better use for its memory
    return loaded(proxy, device_of(proxy), workshop)


def fresh_model(
    arch: Mapping[str, Any], proxy: Mapping[str, Any], *, seed: int, classes: int
) -> Any:
    """The form that the proxy trains, with its first weights."""
    from evnas.measure.models import proxy_model
    from evnas.proxy.seeding import seeded

    with seeded(seed, "init"):
        return proxy_model(arch, proxy, classes=classes)


def trained(
    model: Any,
    data: Any,
    proxy: Mapping[str, Any],
    *,
    seed: int,
    on_progress: OnProgress,
    until_epoch: int | None = None,
    checkpoint: Path | None = None,
) -> Any:
    """The `ProxyResult` of a training by the proxy's budget, in place; other arguments as in
    `evnas.proxy.training.train`. Where memory ends and the proxy halves its batch, it begins again
    with the images of a step in twice as many parts."""
    from evnas.measure.timing.device_lock import device_lock_for
    from evnas.proxy import budget as budgets
    from evnas.proxy.hooks import Hooks
    from evnas.proxy.training import train

    done = 0.0

    def tell(at: budgets.TrainingProgress) -> None:
        nonlocal done
        done = at.step / at.total
        on_progress(done, f"loss {at.loss:.2f}, {at.throughput_img_s:.0f} img/s")

    def waits(sentence: str) -> None:
        on_progress(done, sentence)

    budget = budgets.ProxyBudget(**{n: proxy[n] for n in BUDGET_FIELDS if n in proxy})

    def in_parts(parts: int) -> Any:
        return train(
            model,
            data,
            replace(budget, parts=parts),
            seed=seed,
            until_epoch=until_epoch,
            checkpoint=checkpoint_of(checkpoint, parts),
            hooks=Hooks(
                device_lock=device_lock_for(device_of(proxy), waits).working, on_progress=tell
            ),
        )

    if not proxy.get("halve_batch"):
        return in_parts(1)
    choices = [2**k for k in range(20) if k == 0 or budget.batch_size // 2**k >= LEAST_PART]
    begun = [n for n in choices if n > 1 and _is_there(checkpoint_of(checkpoint, n))]
    first = _kept_weights(model)
    for parts in choices[choices.index(max(begun, default=1)) :]:
        result = in_parts(parts)
        if result.status != "oom":
            break
        on_progress(0.0, f"out of memory with the batch in {counted(parts, 'part')}")
        model.zero_grad(set_to_none=True)
        model.load_state_dict(first)
    return result


def _kept_weights(model: Any) -> dict[str, Any]:
    """A copy of a model's first weights, on the CPU."""
    return {name: value.detach().cpu().clone() for name, value in model.state_dict().items()}


def checkpoint_of(checkpoint: Path | None, parts: int) -> Path | None:
    """The checkpoint of a training whose steps go in so many parts: it has its own curve."""
    if checkpoint is None or parts == 1:
        return checkpoint
    return checkpoint.with_name(f"{checkpoint.stem}-parts{parts}{checkpoint.suffix}")


def _is_there(checkpoint: Path | None) -> bool:
    return checkpoint is not None and checkpoint.exists()


def details_of(result: Any, model: Any, data: Any) -> dict[str, Any]:
    """What a training's record holds beside its values."""
    from evnas.measure.timing.machine import machine_here

    return {
        **result.details,
        "conditions": {"processor": machine_here(result.details["device"]).processor},
        "correct_hex": result.correct_hex,
        "proxy_params": sum(p.numel() for p in model.parameters()),
        "classes": len(data.classes),
    }


def batch_in_parts(record: Record) -> str:
    """What is said of a training whose batch did not fit into memory; "" where it did."""
    parts = record.details.get("batch_parts", 1)
    return "" if parts == 1 else f" (out of memory: the batch in {parts} parts)"


def rehearsal_of(work: Work, proxy: Mapping[str, Any]) -> Work:
    """Four batches from scratch."""
    size = proxy["batch_size"]
    short = dict(proxy) | {
        "epochs": 1,
        "images_per_epoch": 4 * size,
        "points_per_epoch": 1,
        "curve_images": size,
        "held_out_images": size,
    }
    task = ProxyTask(proxy=short)
    return replace(work, phase=Proxy.name, task=task, seed=0, budget=0.0, target="")


def training_s(work: Work, proxy: Mapping[str, Any], seen: Seen) -> float:
    """Seconds of a training, at the rate that the reference was rehearsed at."""
    assert seen.rehearsed is not None
    points = proxy["epochs"] * proxy["points_per_epoch"] - 1
    held_out: float = min(2000, proxy["held_out_images"])
    held_out += points * proxy["curve_images"]
    images = _shown(work.budget, proxy) + FORWARD_SHARE * held_out
    rate = seen.rehearsed.values.get("train_throughput_img_s", 1.0)
    return AROUND_S + images * seen.share / rate


def _shown(budget: float, proxy: Mapping[str, Any]) -> float:
    """Of so many presentations those that come: an epoch is at most all training images."""
    size, asked = proxy["batch_size"], proxy["images_per_epoch"]
    there = proxy.get("images", {}).get("training", 0) or asked
    return budget * steps_an_epoch(asked, size, there) / steps_an_epoch(asked, size, asked)


def _last_loss(result: Any) -> dict[str, float]:
    """The mean training loss behind the curve's last point."""
    if not result.curve or result.status == "diverged":
        return {}
    return {"loss": result.curve[-1].loss}


PROXY = Proxy()

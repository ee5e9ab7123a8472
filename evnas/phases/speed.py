"""`speed`: samples of one target, in alternation with the reference."""

import gc
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from evnas.phases.base import Phase, Quantity, Setting
from evnas.phases.task import Found, Goal, Need, OnProgress, Seen, Task, Workshop
from evnas.phases.work import Work
from evnas.record import Record
from evnas.runtime import Pictures
from evnas.sweep.candidate import Candidate
from evnas.tables import RUNTIMES, chooses, quantity_of

AROUND_S = 2.0
"""Building a model and finding its peak memory, beside the budget of its measurement."""
TIMED = ("throughput_img_s", "latency_ms", "throughput_ratio")
"""Quantities with samples of their own."""
ENERGY = "energy_mj_per_image"
"""Of what counts its energy alone: see `evnas.measure.timing.energy`."""
CALIBRATION_IMAGES = 32
HELD_OUT_IMAGES = 128
"""At least, behind the agreement of a runtime in int8."""
USUAL_DATA = "fashion-mnist-12k"
"""Behind int8 where a sweep has no images of its own."""
REFERENCE = "reference model"
"""The workshop's slot for the prepared reference and the labels that it was timed with: from the
second on it is warm."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeedTask(Task):
    """Time a model on one target."""

    target: Mapping[str, Any]
    """Fields of `evnas.measure.target.Target`, settled."""
    budget_s: float
    """Wall time of warm-up and rounds at most."""
    uncertainty_percent: float | None = None
    """It ends when the interval reaches no further from the median; None uses the budget up."""
    narrow: tuple[str, ...] = ()
    """What that is asked of, see `EndRule`."""
    command: Mapping[str, Any] | None = None
    """Fields of `CommandTarget`, where a command times it."""
    limits: tuple[Mapping[str, Any], ...] = ()
    """Fields of `Limit`s beyond which it ends too."""
    resolution: int = 224
    """Side of the images that are timed."""
    target_index: int = 0
    """Which of the sweep's targets it is; rows may change its resolution and batch."""
    reference: Mapping[str, Any] | None = None
    """The architecture timed in alternation; None times the candidate alone."""
    among: tuple[str, ...] = ()
    """Runtimes that `best` chooses among; none means all that are here."""
    halve_batch: bool = False
    """Whether half the batch is timed where it does not fit into memory, and half of that."""
    data: Any = USUAL_DATA
    """What a runtime in int8 is calibrated with and held against, as `proxy.data` has it."""

    @property
    def device(self) -> str:
        """The target's; a command's own device is reached from the CPU."""
        return "cpu" if self.command is not None else str(self.target["device"])

    @property
    def place(self) -> int:
        """The target's in the sweep."""
        return self.target_index

    def noted(self) -> dict[str, Any]:
        """The target, and its place in the sweep."""
        return {"target_index": self.target_index, "target": dict(self.target)}


class SpeedPhase(Phase):
    """Latency and throughput, with their samples, and peak memory."""

    name = "speed"
    per_target = True
    status_column = "throughput_img_s"
    guess_s = 10.0
    needs_alike = True
    needs = "targets"
    quantities = (
        Quantity("throughput_img_s", "Throughput", "images/s", "max"),
        Quantity("latency_ms", "Latency of a batch", "ms", "min"),
        Quantity("peak_mib", "Peak memory", "MiB", "min"),
        Quantity("throughput_ratio", "Throughput, ratio to base", "", "max"),
        Quantity(ENERGY, "Energy of an image", "mJ", "min"),
    )

    def needed(self, setting: Setting, candidate: Candidate, goal: Goal) -> Iterator[Need]:
        """Once a target."""
        for target in setting.targets_of(candidate):
            yield Need(target=target)

    def task(self, setting: Setting, candidate: Candidate, need: Need) -> SpeedTask:
        """In alternation with the reference, unless it is the reference."""
        on = setting.targets_of(candidate)[need.target]
        return SpeedTask(
            target=on.fields,
            budget_s=on.budget_s,
            uncertainty_percent=on.uncertainty_percent,
            command=on.command,
            narrow=tuple(name for name in TIMED if name in setting.wanted),
            resolution=on.resolution,
            target_index=on.index,
            reference=setting.alternates_with(candidate),
            among=setting.among,
            halve_batch=on.halve_batch,
            data=USUAL_DATA if setting.proxy is None else setting.proxy["data"],
        )

    def evaluate(self, work: Work, workshop: Workshop, on_progress: OnProgress) -> Found:
        """Medians as values, raw samples as measurements, conditions among the details."""
        from evnas.measure.target import Target
        from evnas.measure.timing.device_lock import device_lock_for
        from evnas.measure.timing.machine import machine_here

        task = work.task
        assert isinstance(task, SpeedTask)
        target = Target(**task.target)
        start = time.perf_counter()

        def waits(sentence: str) -> None:
            on_progress(0.0, sentence)

        if task.command is not None:
            return _by_command(work.arch, task, target, workshop, start, waits)
        device_lock = device_lock_for(target.host_device, waits)
        speed, halved = _fitting(work, task, target, workshop, device_lock)
        split = {} if speed.breakdown is None else {"breakdown": asdict(speed.breakdown)}
        found = {} if speed.peak_mib is None else {"peak_mib": speed.peak_mib}
        if speed.energy is not None:
            found[ENERGY] = speed.energy.mj_per_image
        medians = {n: speed.measurements[n].median for n in ("throughput_img_s", "latency_ms")}
        ran = speed.conditions["runtime"]
        processor = ran.get("device_name") or machine_here(target.host_device).processor
        details = {
            "conditions": {**speed.conditions, "processor": processor},
            "resolution": task.resolution,
            "implementations": dict(speed.implementations),
            **split,
            **halved,
        }
        return Found(
            values=medians | found,
            rest={"measurements": speed.measurements, "details": details},
            busy_s=time.perf_counter() - start,
        )

    def within(self, task: Task, limits: Sequence[Mapping[str, Any]]) -> SpeedTask:
        """Timing ends where a quantity surely lies beyond a limit."""
        assert isinstance(task, SpeedTask)
        return replace(task, limits=tuple(limits))

    def expected_s(self, work: Work, seen: Seen) -> float:
        """As long as those before it on the target, which may have ended early; of the first the
        whole budget, and what is around it."""
        assert isinstance(work.task, SpeedTask)
        if seen.earlier_s is not None:
            return seen.earlier_s
        return work.task.budget_s + AROUND_S

    def shown(self, record: Record) -> dict[str, str]:
        """Images a second, and what that is of the reference's."""
        ratio = record.measurements.get("throughput_ratio")
        share = f"{ratio.median:.3f}" if ratio else "1"
        return {
            "throughput_img_s": f"{record.values['throughput_img_s']:.1f}",
            "ratio": share,
        }

    def words(self, record: Record) -> str:
        """Images a second, and what that is of the reference's."""
        shown = self.shown(record)
        text = f"{shown['throughput_img_s']} images/s, {shown['ratio']} of the reference"
        runtime = taken_by(record)
        return f"{text}, in {runtime}" if runtime else text

    def again(self, timed: Sequence[str], seed: int, budget: float) -> Iterator[Need]:
        """Every target once more."""
        for target in timed:
            yield Need(seed=seed, target=target)

    def lacking(self, metric: str) -> str:
        """A target, which is `{}` at its shortest."""
        name = quantity_of(metric)
        return f"{name} needs a target, and targets is empty; say targets: [{{}}]"


def _fitting(
    work: Work, task: SpeedTask, target: Any, workshop: Workshop, device_lock: Any
) -> tuple[Any, dict[str, Any]]:
    """The `Speed` at the target's batch, or at the largest half of it that fits where the task
    halves it; then also `batch_halved` for the record's details.

    Raises:
        OutOfMemory: the smallest batch that is tried does not fit.
    """
    from evnas.measure.target import LEAST_TRAINING_BATCH

    least = LEAST_TRAINING_BATCH if target.mode == "training" else 1
    asked, on, refused = target.batch_size, target, dict[str, str]()
    while True:
        last = not task.halve_batch or on.batch_size // 2 < least
        found = _timed(work, task, on, workshop, device_lock, last=last)
        if not isinstance(found, str):
            break
        refused[str(on.batch_size)] = found
        _freed(workshop)
        on = replace(on, batch_size=on.batch_size // 2)
    if not refused:
        return found, {}
    about = {"asked": asked, "timed": on.batch_size, "refused": refused}
    return found, {"batch_halved": about}


def _timed(
    work: Work, task: SpeedTask, on: Any, workshop: Workshop, device_lock: Any, *, last: bool
) -> Any:
    """The `Speed` on a target; why it does not fit into memory, where that is not the last word.

    The error is not handed on: its traceback would keep all that was allocated.
    """
    from evnas.measure.timing.protocol import OutOfMemory, is_out_of_memory
    from evnas.measure.timing.speed import measure_speed

    try:
        reference = task.reference
        name = f"{on.id} {sorted(reference.items())}" if reference is not None else ""
        workshop.make_room(REFERENCE, name)  # of another batch or side, it may be what is missing
        subject = ready_model(work.arch, task, on, workshop, device_lock)
        base: Any = None
        timed_with: list[str] = []
        if reference is not None:
            base, timed_with = workshop.kept(
                REFERENCE,
                name,
                lambda: (ready_model(reference, task, on, workshop, device_lock), []),
            )
        speed = measure_speed(
            subject,
            base,
            protocol=_protocol(task),
            device_lock=device_lock,
            base_is_warm=bool(timed_with),
        )
        timed_with.append(work.label)
    except Exception as error:
        if last or not (isinstance(error, OutOfMemory) or is_out_of_memory(error)):
            raise
        return next(iter(str(error).splitlines()), "") or "out of memory"
    return speed


def _freed(workshop: Workshop) -> None:
    """Give back what an attempt took that did not fit."""
    import torch

    workshop.drop(REFERENCE)
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def taken_by(record: Record) -> str:
    """The runtime that `best` took for a speed; "" where the target names its own."""
    conditions = record.details.get("conditions") or {}
    ran = conditions.get("runtime") or {}
    return str(ran["name"]) if "best" in ran else ""


def ready_model(
    arch: Mapping[str, Any],
    task: SpeedTask,
    target: Any,
    workshop: Workshop,
    device_lock: Any = None,
) -> Any:
    """An architecture as a `TimedModel`, in the target's runtime or in the one that `best` takes.

    What `best` knows of a family is of the reference, where that is of it.

    Args:
        device_lock: a `DeviceLock`; the target's own, which tells nobody of a wait, unless given.
    """
    from evnas.measure.timing.speed import prepare

    def on(arch: Mapping[str, Any]) -> Any:
        return lambda target: prepare(
            model_on(arch, target), target, lambda: _pictures(task, target, workshop), device_lock
        )

    if not chooses(target.runtime):
        return on(arch)(target)
    from evnas.measure.best import family_of, surveyed, taken  # only this runtime needs it

    family = family_of(arch)
    reference = task.reference
    like = reference if reference is not None and family_of(reference) == family else arch
    survey = workshop.kept(
        f"survey of {family}",
        f"{target.id} {task.among}",
        lambda: surveyed(family, target, on(like), among=task.among, device_lock=device_lock),
    )
    return taken(survey, target, on(arch), device_lock=device_lock)


def _by_command(
    arch: Mapping[str, Any],
    task: SpeedTask,
    target: Any,
    workshop: Workshop,
    start: float,
    on_wait: Callable[[str], None],
) -> Found:
    """The same of a target whose command is handed the model's file."""
    from evnas.measure.command.model_file import model_file
    from evnas.measure.command.speed import CommandTarget, lock_of, measure_by_command

    assert task.command is not None
    command = CommandTarget(**task.command)
    subject = model_file(model_on(arch, target), target)
    base, reference = None, task.reference
    if reference is not None:
        name = f"{target.id} {sorted(reference.items())}"
        base = workshop.kept(
            REFERENCE, name, lambda: model_file(model_on(reference, target), target)
        )
    speed = measure_by_command(
        subject,
        base,
        command,
        protocol=_protocol(task),
        device_lock=lock_of(command, on_wait),
        one_image=lambda: model_file(model_on(arch, target), target, batch=1),
    )
    medians = {n: speed.measurements[n].median for n in ("throughput_img_s", "latency_ms")}
    peak = {} if speed.peak_mib is None else {"peak_mib": speed.peak_mib}
    processor = speed.conditions["device_said"] or command.name
    details = {
        "conditions": {**speed.conditions, "processor": processor},
        "resolution": task.resolution,
        "implementations": {},
    }
    return Found(
        values=medians | peak,
        rest={"measurements": speed.measurements, "details": details},
        busy_s=time.perf_counter() - start,
    )


def _protocol(task: SpeedTask) -> Any:
    from evnas.measure.timing.ending import EndRule, Limit
    from evnas.measure.timing.protocol import Protocol

    percent = task.uncertainty_percent
    end = EndRule(
        uncertainty_fraction=None if percent is None else percent / 100,
        narrow=task.narrow,
        limits=tuple(Limit(**fields) for fields in task.limits),
    )
    return Protocol(budget_s=task.budget_s, end=end)


def _pictures(task: SpeedTask, target: Any, workshop: Workshop) -> Pictures:
    """Images of the sweep's data at the target's side, in whole batches."""
    from evnas.phases.proxy import loaded
    from evnas.proxy.augment import evaluation_batch, normalised

    side, batch = target.resolution, target.batch_size
    data = loaded({"data": task.data, "resolution": side}, "cpu", workshop)

    def whole(images: int) -> int:
        return int(batch * max(1, -(-images // batch)))

    return Pictures(
        name=data.name,
        calibration=normalised(data.train.images[: whole(CALIBRATION_IMAGES)], data, side),
        held_out=evaluation_batch(data, 0, whole(HELD_OUT_IMAGES), resolution=side),
    )


def model_on(arch: Mapping[str, Any], target: Any) -> Any:
    """The published form, or its deployed form, with parameters that a fixed seed draws."""
    from evnas.measure.models import model_for
    from evnas.proxy.seeding import seeded

    plain = not target.by_command and RUNTIMES.get(target.runtime).plain_operators
    impl: Any = "reference" if plain else "auto"
    with seeded(0, "speed"):
        model = model_for(arch, resolution=target.resolution, impl=impl).eval()
    if target.form == "plain":
        return model
    # only this form needs them
    from evnas.measure.runtimes.deployed_form import deployed_form, is_exported
    from evnas.measure.timing.device_lock import kept_from_measurements

    with kept_from_measurements("cpu" if is_exported(target) else target.host_device):
        return deployed_form(model, target)


SPEED = SpeedPhase()

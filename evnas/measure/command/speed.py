"""The measuring protocol on a command: each sample is the median of what one run of it printed.

What is checked: a batch that the answer states, that the printed times fit into the time that the
command ran for, and, as a warning, that a batch takes longer than one image. What cannot be: the
model's outputs, its precision and threads, and a batch that is neither stated nor shows in time.
"""

import shlex
import shutil
import statistics
import tempfile
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from evnas.errors import MeasurementError
from evnas.measure.command.answer import Answer, read_answer
from evnas.measure.command.process import output_of
from evnas.measure.stopwatch import Call, CpuStopwatch, Stopwatch
from evnas.measure.timing.device_lock import DeviceLock, OnWait, unsaid
from evnas.measure.timing.noise_monitor import Reading
from evnas.measure.timing.protocol import Protocol, time_alternating, time_forward
from evnas.record import Measurement
from evnas.sweep.parts import Parse

MODEL_FILE = "model.onnx"
TELLING_BATCH = 4
"""From here on a batch should take longer than one image."""
LEAST_SCALING = 1.3
"""Times of one image's latency that such a batch takes at least."""
CLOCK_SLACK = 1.05


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandTarget:
    """A command and how its answer is read."""

    name: str
    """Of the device behind it: that of its lock, and its part of the target's id."""
    command: str
    """With `{model}`, and perhaps `{batch}` and `{resolution}`, in its words."""
    parse: Parse = "json"
    timeout_s: float = 60.0

    def words(self, model: Path, *, batch: int, resolution: int) -> list[str]:
        """Program and arguments for one model."""
        values = {"{model}": str(model), "{batch}": str(batch), "{resolution}": str(resolution)}
        words = shlex.split(self.command)
        for place, value in values.items():
            words = [word.replace(place, value) for word in words]
        return words


class _TemporaryFolder:
    """A temporary folder that goes when nobody holds it any more."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="evnas-"))
        weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A model's file for the command, of one batch; kept as long as this is."""

    content: bytes
    batch: int
    resolution: int
    _folder: "_TemporaryFolder" = field(default_factory=lambda: _TemporaryFolder())

    @property
    def path(self) -> Path:
        """Where it lies."""
        path = self._folder.path / MODEL_FILE
        if not path.exists():
            path.write_bytes(self.content)
        return path


@dataclass(frozen=True, slots=True)
class CommandSpeed:
    """What was found by a command."""

    measurements: Mapping[str, Measurement]
    peak_mib: float | None
    """As the command said it."""
    conditions: Mapping[str, Any]


@dataclass(slots=True)
class _Timed:
    """A model that a command times; remembers what it was asked."""

    target: CommandTarget
    model: ModelFile
    answers: list[Answer] = field(default_factory=list)

    def __call__(self) -> float:
        """Seconds of one call, the median of those that one run of the command printed."""
        model = self.model
        words = self.target.words(model.path, batch=model.batch, resolution=model.resolution)
        text, seconds = output_of(words, timeout_s=self.target.timeout_s)
        answer = read_answer(text, self.target.parse)
        _must_fit(answer, model.batch, seconds)
        self.answers.append(answer)
        return statistics.median(answer.latencies_ms) / 1e3


class Runner(Stopwatch):
    """Takes the seconds that a command printed, and the wall clock between its runs."""

    def __init__(self, clock: CpuStopwatch) -> None:
        self.clock = clock

    def now(self) -> float:
        """Seconds on this machine's clock."""
        return self.clock.now()

    def time(self, call: Call, repeats: int) -> float:
        """What each call says of itself."""
        said = [call() for _ in range(repeats)]
        return sum(seconds for seconds in said if isinstance(seconds, float))


class _Unseen:
    """The noise of a device that only its command sees: samples that lie apart tell of it."""

    def read(self) -> Reading:
        return {}

    def spoiled(self, before: Reading, after: Reading) -> str:
        return ""


def lock_of(target: CommandTarget, on_wait: OnWait = unsaid) -> DeviceLock:
    """The lock of what a command measures on, which is not this machine."""
    return DeviceLock(f"command-{target.name}", on_wait=on_wait)


def measure_by_command(
    candidate: ModelFile,
    base: ModelFile | None,
    target: CommandTarget,
    *,
    protocol: Protocol,
    one_image: Callable[[], ModelFile] | None = None,
    device_lock: DeviceLock | None = None,
    device_lock_timeout_s: float = float("inf"),
    stopwatch: CpuStopwatch | None = None,
) -> CommandSpeed:
    """Time a model's file by a command, alone or in alternation with the base's.

    Args:
        protocol: its budget holds the command's runs, however long each takes to start.
        one_image: makes the same model's file for one image; a larger batch is then compared
            with it, where the command does not say what it took.
        device_lock: that of the command's device, unless given.
        device_lock_timeout_s: how long to wait for another measurement on it.

    Raises:
        MeasurementError: the command fails, hangs, prints what is no latency, or says that it
            took another batch; or its times do not fit into the time that it ran for.
    """
    # a command warms up by itself, and what it calls a latency is long enough as it is
    protocol = replace(
        protocol,
        warmup_fraction=0.0,
        window=1,
        least_warmup_calls=1,
        least_sample_s=0.0,
        settle_s=0.0,
    )
    mine = _Timed(target, candidate)
    theirs = None if base is None else _Timed(target, base)
    watched: dict[str, Any] = {
        "images": candidate.batch,
        "stopwatch": Runner(stopwatch or CpuStopwatch()),
        "watch": _Unseen(),
        "protocol": protocol,
    }
    with (device_lock or lock_of(target)).measuring(device_lock_timeout_s):
        if theirs is None:
            found = time_forward(mine, **watched)
        else:
            found = time_alternating(theirs, mine, **watched)
        doubt = _doubt(mine, one_image, found["latency_ms"].median)
    last = mine.answers[-1]
    conditions = {
        **_settled(found["latency_ms"].conditions, doubt),
        "command": target.command,
        "device_said": last.device,
        "batch_said": last.batch,
        "printed_latencies": [len(answer.latencies_ms) for answer in mine.answers],
        "outputs_checked": False,
    }
    return CommandSpeed(
        {name: replace(m, conditions=conditions) for name, m in found.items()},
        last.peak_mib,
        conditions,
    )


def _settled(conditions: Mapping[str, Any], doubt: str) -> dict[str, Any]:
    """Without the warning of a warm-up that is not ours, with a doubt about the batch."""
    warnings = [text for text in conditions["warnings"] if not text.startswith("the warm-up")]
    warnings += [doubt] if doubt else []
    return {**conditions, "warmup_settled": None, "warnings": warnings}


def _must_fit(answer: Answer, batch: int, seconds: float) -> None:
    if answer.batch is not None and answer.batch != batch:
        raise MeasurementError(
            f"the command says that it took batches of {answer.batch}, asked for were {batch}"
        )
    printed_s = sum(answer.latencies_ms) / 1e3
    if printed_s > CLOCK_SLACK * seconds:
        raise MeasurementError(
            f"the command printed latencies of {printed_s:.4g} s together and ran for "
            f"{seconds:.4g} s: they must be milliseconds of calls one after the other"
        )


def _doubt(timed: _Timed, one_image: Callable[[], ModelFile] | None, latency_ms: float) -> str:
    """A sentence where a batch takes hardly longer than one image."""
    batch = timed.model.batch
    if one_image is None or batch < TELLING_BATCH or timed.answers[-1].batch is not None:
        return ""
    one_ms = 1e3 * _Timed(timed.target, one_image())()
    if latency_ms >= LEAST_SCALING * one_ms:
        return ""
    return (
        f"a batch of {batch} took {latency_ms / one_ms:.2f} times as long as one image: the "
        "command may print times of an image, or take another batch; one that prints "
        '{"latency_ms": ..., "batch": ...} settles it'
    )

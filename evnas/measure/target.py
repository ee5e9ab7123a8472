"""What a speed is measured on: device, runtime, batch, resolution, precision, form and mode."""

from dataclasses import asdict, dataclass, replace
from typing import get_args

import torch

from evnas.errors import MeasurementError, nearest
from evnas.record import TargetFields
from evnas.runtime import BatchSize, Form, Mode, Precision
from evnas.sweep.parts import COMMAND, device_fault, is_openvino_device, training_fault
from evnas.tables import RUNTIMES

PRECISIONS: tuple[Precision, ...] = get_args(Precision)
FORMS: tuple[Form, ...] = get_args(Form)
MODES: tuple[Mode, ...] = get_args(Mode)

LARGEST_BATCH = {"cpu": 16, "cuda": 256}
"""The papers' own: EfficientViM Table E measures CPUs at 16 and GPUs at 256 images."""
LARGEST_CALL_MACS = {"cpu": 8e9, "cuda": 2e12}
"""What one forward may cost: about 0.2 s on two CPU cores, 0.1 s on a data-centre GPU."""
TRAINING_FORWARDS = 3
"""A training step's cost in forwards: the backward takes the products of two."""
LEAST_TRAINING_BATCH = 2
"""What `auto` takes at least in training: a batch norm of pooled maps refuses a single image."""
WHOLE_BUDGET_S = 8.0
"""Below, `auto` batches shrink with the time of a row, so that it still holds several rounds."""


class DeviceMissing(MeasurementError):
    """This machine does not have the device, or the runtime, that a target names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One way of running a model. `id` names it in the store."""

    device: str = "auto"
    """`auto` (the first CUDA device, else the CPU), `cpu`, `cuda`, `cuda:N`, or of the runtime
    `openvino` a name of its own, `GPU`, `GPU.1` or `NPU`."""
    runtime: str = "torch"
    """A name of `evnas.tables.RUNTIMES`."""
    resolution: int = 224
    """Side of the square input, in pixels."""
    batch_size: BatchSize = "auto"
    precision: Precision = "float32"
    """Below float32 the forward runs under autocast; weights, and their gradients in training,
    stay float32."""
    form: Form = "plain"
    """`deployed` folds batch norms into convolutions before the forward is timed."""
    mode: Mode = "inference"
    """What one call is: a forward, or in `training` a forward, loss and backward."""

    def __post_init__(self) -> None:
        if not self.by_command:
            _one_of("runtime", self.runtime, RUNTIMES.names())
        _one_of("precision", self.precision, PRECISIONS)
        _one_of("form", self.form, FORMS)
        _one_of("mode", self.mode, MODES)
        fault = "" if self.by_command else device_fault(device=self.device, runtime=self.runtime)
        if fault:
            raise MeasurementError(fault)
        fault = training_fault(runtime=self.runtime, form=self.form)
        if self.mode == "training" and fault:
            raise MeasurementError(fault)
        if self.resolution < 1:
            raise MeasurementError(f"resolution must be at least 1, got {self.resolution}")
        if self.batch_size != "auto" and self.batch_size < 1:
            raise MeasurementError(
                f"batch_size must be 'auto' or at least 1, got {self.batch_size!r}"
            )
        if not self.by_command and RUNTIMES.get(self.runtime).needs_cuda and self.device == "cpu":
            reason = f"runtime {self.runtime!r} needs a CUDA device, got device 'cpu'"
            raise MeasurementError(reason)

    @property
    def id(self) -> str:
        """That of its fields."""
        return self.fields.id

    @property
    def fields(self) -> TargetFields:
        """As a record holds it."""
        return TargetFields(**asdict(self))

    @property
    def by_command(self) -> bool:
        """Whether a command times it on a device of its own, which `device` names."""
        return self.runtime == COMMAND

    @property
    def device_type(self) -> str:
        """`cpu` or `cuda`, of a resolved target; a command's device is a kind of its own."""
        return self.device if self.by_command else torch.device(self.host_device).type

    @property
    def host_device(self) -> str:
        """Torch's device that images lie on and calls are made from: the CPU of OpenVINO's own."""
        return "cpu" if is_openvino_device(self.device) else self.device

    def resolved(self) -> "Target":
        """The same with `auto` and `cuda` replaced by the device that they mean here.

        Raises:
            DeviceMissing: the device or runtime asked for is not on this machine.
        """
        device = self.device
        if self.by_command:
            return self
        if device == "auto":
            device = "cuda:0" if torch.cuda.is_available() else "cpu"
        elif device == "cuda":
            device = "cuda:0"
        _check_installed(self.runtime)
        if is_openvino_device(device):
            _check_present_in_openvino(device)
        else:
            _check_present(device)
        return replace(self, device=device)

    def with_batch(self, macs: float, *, budget_s: float = WHOLE_BUDGET_S) -> "Target":
        """The same with `batch_size: auto` settled for a model of `macs` per image, forward."""
        if self.batch_size != "auto":
            return self
        if self.by_command:  # nobody knows what its device can take
            return replace(self, batch_size=1)
        if self.mode == "inference":
            return replace(self, batch_size=auto_batch(self.device_type, macs, budget_s=budget_s))
        batch = auto_batch(self.device_type, TRAINING_FORWARDS * macs, budget_s=budget_s)
        return replace(self, batch_size=max(LEAST_TRAINING_BATCH, batch))


def auto_batch(device_type: str, macs: float, *, budget_s: float = WHOLE_BUDGET_S) -> int:
    """The batch that `auto` means for a model of `macs` multiply-adds per image.

    The largest power of two that is neither above `LARGEST_BATCH` nor makes one forward cost
    more than `LARGEST_CALL_MACS`, or their share of a `budget_s` below `WHOLE_BUDGET_S`; 1 when
    no other does. It depends on the model's count alone,
    so the same sweep takes the same batch on the same kind of device, today and tomorrow. In an
    ablation the base's count decides for all rows.
    """
    if macs <= 0:
        raise ValueError(f"macs must be positive, got {macs}")
    batch = LARGEST_BATCH[device_type]
    most = LARGEST_CALL_MACS[device_type] * min(1.0, budget_s / WHOLE_BUDGET_S)
    while batch > 1 and batch * macs > most:
        batch //= 2
    return batch


def _one_of(field: str, got: str, known: tuple[str, ...]) -> None:
    if got not in known:
        raise MeasurementError(f"{field} must be one of {known}, got {got!r}{nearest(got, known)}")


def _check_present(device: str) -> None:
    try:
        wanted = torch.device(device)
    except RuntimeError as error:
        raise MeasurementError(
            f"device must be auto, cpu, cuda or cuda:N, got {device!r}"
        ) from error
    if wanted.type not in LARGEST_BATCH:
        raise MeasurementError(f"device must be auto, cpu, cuda or cuda:N, got {device!r}")
    if wanted.type == "cuda" and (wanted.index or 0) >= torch.cuda.device_count():
        raise DeviceMissing(
            f"device {device} is not here: this machine shows "
            f"{torch.cuda.device_count()} CUDA devices"
        )


def _check_present_in_openvino(device: str) -> None:
    import openvino  # an extra

    here = list(map(str, openvino.Core().available_devices))
    firsts = {name.partition(".")[0] for name in here}  # GPU is GPU.0 where it numbers them
    if device not in {*here, *firsts}:
        raise DeviceMissing(
            f"device {device} is not here: OpenVINO shows {' and '.join(here) or 'none'} on this "
            "machine"
        )


def _check_installed(runtime: str) -> None:
    reason = RUNTIMES.get(runtime).why_not if runtime in RUNTIMES else ""
    if reason:
        raise DeviceMissing(f"runtime {runtime} cannot run on this machine: {reason}")

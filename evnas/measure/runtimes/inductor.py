"""torch's compiler at its best: frozen weights and kernels tuned to the shape, or a package that
runs without Python's part of it."""

import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn
from torch._dynamo.exc import TorchDynamoException
from torch._inductor.exc import InductorError

from evnas.errors import MeasurementError
from evnas.measure.runtimes.compiler import no_word_of_cuda
from evnas.measure.runtimes.torch_eager import autocast, mixed_precision
from evnas.measure.target import Target
from evnas.runtime import Ready


def inductor(model: nn.Module, images: torch.Tensor, target: Target) -> Ready:
    """A call that runs `model` compiled for this very shape, weights being constants; it is
    compiled and tuned here, which takes half a minute and more.

    Raises:
        MeasurementError: it has no compiled form, or another precision than the target.
    """
    settings: dict[str, Any] = {"freezing": True, "max_autotune": True}
    run = cast(nn.Module, torch.compile(model, dynamic=False, options=settings))
    mixed = mixed_precision(model, target)

    def call() -> object:
        # under inference_mode weights are not frozen
        with torch.no_grad(), autocast(images, target, mixed=mixed):
            return run(images)

    with _own_faults(target):
        call()
    return Ready(run=call, facts={"settings": settings})


def aot_inductor(model: nn.Module, images: torch.Tensor, target: Target) -> Ready:
    """A call that runs `model` as a package that torch compiled ahead of time.

    Raises:
        MeasurementError: it has no exported or compiled form, or the precision is not float32.
    """
    if target.precision != "float32":
        raise MeasurementError(
            f"runtime {target.runtime!r} needs precision float32, got {target.precision!r}"
        )
    compiler: Any = torch._inductor
    gpu: int | None = images.device.index  # None of a CPU
    with tempfile.TemporaryDirectory() as folder, _own_faults(target):
        file = str(Path(folder, "model.pt2"))
        with torch.no_grad():
            program = torch.export.export(model, (images,))
            compiler.aoti_compile_and_package(
                program, package_path=file, inductor_configs={"freezing": True}
            )
        # unpacks it to a folder of its own, and its weights go to the GPU of that index
        package = compiler.aoti_load_package(file, device_index=-1 if gpu is None else gpu)

    def call() -> object:
        with torch.accelerator.device_index(gpu):  # it starts its kernels on the current GPU
            return package(images)

    return Ready(run=call, facts={"settings": {"freezing": True}})


@contextmanager
def _own_faults(target: Target) -> Iterator[None]:
    """What torch's compiler cannot do is said in one sentence; its warnings are of its inside."""
    try:
        with warnings.catch_warnings(), no_word_of_cuda():
            warnings.simplefilter("ignore")
            yield
    except (InductorError, TorchDynamoException) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise MeasurementError(
            f"the model has no form in runtime {target.runtime!r}: {reason}"
        ) from error

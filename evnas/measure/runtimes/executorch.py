"""ExecuTorch with XNNPACK, the way to phones, on this machine's CPU."""

import copy
import warnings
from typing import Any

import torch
from torch import nn

from evnas.errors import MeasurementError
from evnas.measure.runtimes.unrolled import must_be_short
from evnas.measure.target import Target
from evnas.runtime import Ready


def executorch(model: nn.Module, images: torch.Tensor, target: Target) -> Ready:
    """A call that runs `model`, lowered to XNNPACK where it has the operator, on a CPU.

    ExecuTorch decides its threads itself, one a physical core: the facts say None.

    Raises:
        MeasurementError: the target is no CPU in float32, an operator has no form there, or a scan
            is too long for it.
    """
    if images.device.type != "cpu" or target.precision != "float32":
        raise MeasurementError(
            f"runtime {target.runtime!r} needs device cpu and precision float32, got "
            f"{images.device} and {target.precision}"
        )
    must_be_short(model, images, "ExecuTorch")
    from executorch import version
    from executorch.runtime import Runtime

    lowered, runtime = _lowered(model, images), Runtime.get()
    program: Any = runtime.load_program(lowered)
    method = program.load_method("forward")
    held = [images.contiguous()]

    def call(alive: object = (lowered, runtime, program)) -> object:
        return method.execute(held)  # which reads what it was loaded from

    try:
        call()
    except RuntimeError as error:  # shapes are checked when it runs
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise MeasurementError(f"the model has no form in ExecuTorch: {reason}") from error
    return Ready(run=call, facts={"version": version.__version__, "threads": None})


def _lowered(model: nn.Module, images: torch.Tensor) -> bytes:
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower

    # XNNPACK orders weights itself and takes them in torch's usual order alone
    plain = copy.deepcopy(model).to(memory_format=torch.contiguous_format)
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of its inside
            program = torch.export.export(plain, (images.contiguous(),))
            edge = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()])
            lowered: bytes = edge.to_executorch().buffer
    except Exception as error:  # its passes raise bare Exceptions
        cause = error.__cause__ or error
        reason = next(iter(str(cause).splitlines()), type(cause).__name__)
        raise MeasurementError(f"the model has no form in ExecuTorch: {reason}") from error
    return lowered

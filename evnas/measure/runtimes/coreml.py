"""Core ML, on macOS."""

import platform
import warnings

import numpy as np
import torch
from torch import nn

from evnas.errors import MeasurementError
from evnas.measure.runtimes.unrolled import must_be_short
from evnas.measure.target import Target
from evnas.runtime import Ready


def coreml(model: nn.Module, images: torch.Tensor, target: Target) -> Ready:
    """A call that runs `model`, converted to Core ML, on all units of the machine.

    Raises:
        MeasurementError: an operator has no form there, a scan is too long for it, or the
            precision is bfloat16.
    """
    if target.precision == "bfloat16":
        raise MeasurementError(
            f"runtime {target.runtime!r} needs precision float32 or float16, got bfloat16"
        )
    must_be_short(model, images, "Core ML")
    import coremltools as ct

    precision = ct.precision.FLOAT32 if target.precision == "float32" else ct.precision.FLOAT16
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of its inside
            # a traced graph would hold sizes as tensors, which it cannot convert everywhere
            program = torch.export.export(model, (images,)).run_decompositions({})
            converted = ct.convert(
                program,
                inputs=[ct.TensorType(name="images", shape=tuple(images.shape))],
                outputs=[ct.TensorType(name="logits", dtype=np.float32)],
                compute_precision=precision,
                compute_units=ct.ComputeUnit.ALL,
            )
    except Exception as error:  # its passes raise whatever they stumble over
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise MeasurementError(f"the model has no form in Core ML: {reason}") from error
    held = {"images": images.contiguous().numpy()}

    def call() -> object:
        return converted.predict(held)["logits"]

    facts = {"version": ct.__version__, "precision": target.precision, "threads": None}
    return Ready(run=call, facts=facts)


def no_macos() -> str:
    """Why it is not measured here; "" on macOS."""
    return "" if platform.system() == "Darwin" else "Core ML runs models on macOS alone"

"""OpenVINO on the exported graph, on any of its devices; needs the extra `openvino`."""

from typing import Any

import torch
from torch import nn

from evnas.errors import MeasurementError
from evnas.measure.runtimes.onnx_export import export
from evnas.measure.target import Target
from evnas.runtime import Ready

HINTS = {"float32": "f32", "bfloat16": "bf16", "float16": "f16"}
"""OpenVINO's names of the precisions that a target may have."""


CPU = "CPU"


def openvino(model: nn.Module, images: torch.Tensor, target: Target) -> Ready:
    """A call that runs the exported `model` on `images` on a CPU, or another device of OpenVINO,
    in the target's precision.

    Raises:
        MeasurementError: the target is a CUDA device, an operator has no form in ONNX or OpenVINO,
            or the device does not compute in that precision.
    """
    asked = HINTS[target.precision]
    ready = _compiled(model, images, target, {"INFERENCE_PRECISION_HINT": asked})
    got = ready.facts["precision"]
    if got != asked:
        raise MeasurementError(
            f"runtime 'openvino' must compute in {target.precision} as the target says, and on "
            f"this {_device(target)} it computes in {got}; precision float32 runs everywhere"
        )
    return ready


def openvino_auto(model: nn.Module, images: torch.Tensor, target: Target) -> Ready:
    """The same in the precision that OpenVINO itself chooses for the device, which is recorded.

    Raises:
        MeasurementError: as for `openvino`, or the target asks for a precision.
    """
    if target.precision != "float32":
        raise MeasurementError(
            "runtime 'openvino_auto' chooses its precision itself, so the target's must be "
            f"float32, got {target.precision!r}; runtime openvino takes it"
        )
    return _compiled(model, images, target, {})


def _compiled(
    model: nn.Module, images: torch.Tensor, target: Target, hints: dict[str, str]
) -> Ready:
    if images.device.type != "cpu":
        raise MeasurementError(f"runtime {target.runtime!r} needs device cpu, got {images.device}")
    import openvino as ov  # an extra

    settings = {"PERFORMANCE_HINT": "LATENCY", **hints}  # one call at a time, as they are timed
    if _device(target) == CPU:
        settings["INFERENCE_NUM_THREADS"] = str(torch.get_num_threads())
    core = ov.Core()
    try:
        graph = core.read_model(export(model, images))
        compiled = core.compile_model(graph, _device(target), settings)
    except RuntimeError as error:  # an operator that it lacks, by name
        reason = " ".join(str(error).split())[:300]
        raise MeasurementError(f"the model has no form in OpenVINO: {reason}") from error
    request = compiled.create_infer_request()

    def load(others: torch.Tensor) -> None:
        request.set_input_tensor(ov.Tensor(others.contiguous().numpy().copy()))

    load(images)
    logits = request.get_output_tensor(0).data  # a view: each call writes there

    def run() -> object:
        request.infer()
        return logits

    facts = _facts(ov, compiled)
    if _device(target) == CPU:
        facts["threads"] = int(compiled.get_property("INFERENCE_NUM_THREADS"))
    else:
        facts["threads"] = 0  # of the CPU's
        facts["device_name"] = str(core.get_property(target.device, "FULL_DEVICE_NAME"))
    return Ready(run=run, facts=facts, load=load)


def _device(target: Target) -> str:
    """As OpenVINO calls it."""
    return CPU if target.device == target.host_device else target.device


def _facts(ov: Any, compiled: Any) -> dict[str, Any]:
    """What it says of itself once compiled, so what it took, not what was asked."""
    return {
        "version": ov.__version__.partition("-")[0],
        "precision": compiled.get_property("INFERENCE_PRECISION_HINT").to_string(),
        "streams": int(compiled.get_property("NUM_STREAMS")),
    }

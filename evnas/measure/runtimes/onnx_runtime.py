"""ONNX Runtime on the exported graph; needs the extra `onnx`."""

from typing import Any

import torch
from torch import nn

from evnas.errors import MeasurementError
from evnas.measure.runtimes.onnx_export import export
from evnas.measure.target import Target
from evnas.runtime import Ready

PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


def onnx_runtime(model: nn.Module, images: torch.Tensor, target: Target) -> Ready:
    """A call that runs the exported `model` on `images`, with as many threads as torch.

    Raises:
        MeasurementError: onnxruntime lacks the device, or an operator of the model has no ONNX
            form; or the precision is not float32.
    """
    if target.precision != "float32":
        raise MeasurementError(
            f"runtime {target.runtime!r} needs precision float32, got {target.precision!r}"
        )
    return on_session(export(model, images), images)


def session_of(graph: bytes, device: torch.device) -> Any:
    """A session of an ONNX model on a device, with as many threads as torch.

    Raises:
        MeasurementError: onnxruntime lacks the device, or an operator of the model.
    """
    import onnxruntime  # an extra
    from onnxruntime.capi.onnxruntime_pybind11_state import Fail, InvalidGraph, NotImplemented

    provider = PROVIDERS[device.type]
    if provider not in onnxruntime.get_available_providers():
        raise MeasurementError(
            f"onnxruntime has no {provider} here, only {onnxruntime.get_available_providers()}"
        )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    # else its threads spin on behind a run, against those of whatever runs next: on two cores
    # another session took twice its time
    options.add_session_config_entry("session.force_spinning_stop", "1")
    try:
        return onnxruntime.InferenceSession(graph, options, providers=[provider])
    except (Fail, InvalidGraph, NotImplemented) as error:
        reason = str(error).splitlines()[0]
        raise MeasurementError(f"the model has no form in ONNX Runtime: {reason}") from error


def on_session(graph: bytes, images: torch.Tensor) -> Ready:
    """A call that runs an ONNX model on `images`.

    Raises:
        MeasurementError: onnxruntime lacks the device, or an operator of the model.
    """
    import onnxruntime  # an extra

    session = session_of(graph, images.device)
    binding = session.io_binding()
    held: list[object] = []  # on a CPU the session reads this memory and does not own it

    def load(others: torch.Tensor) -> None:
        host = others.contiguous().cpu().numpy().copy()
        value = onnxruntime.OrtValue.ortvalue_from_numpy(host, images.device.type, 0)
        binding.bind_ortvalue_input("images", value)
        held[:] = [host, value]

    load(images)
    binding.bind_output("logits", images.device.type)

    def run() -> object:
        assert held
        session.run_with_iobinding(binding)
        return binding.get_outputs()

    facts = {
        "version": onnxruntime.__version__,
        "precision": "float32",
        "threads": session.get_session_options().intra_op_num_threads,
        "provider": session.get_providers()[0],
    }
    return Ready(run=run, facts=facts, load=load)

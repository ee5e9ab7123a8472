"""ONNX Runtime on the exported graph; needs the extra `onnx`."""

import torch
from torch import nn

from evnas.errors import MeasurementError
from evnas.measure.runtimes.onnx_export import export
from evnas.measure.stopwatch import Call
from evnas.measure.target import Target

PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


def onnx_runtime(model: nn.Module, images: torch.Tensor, target: Target) -> Call:
    """A call that runs the exported `model` on `images`, with as many threads as torch.

    Raises:
        MeasurementError: onnxruntime is missing, lacks the device, or an operator of the model
            has no ONNX form; or the precision is not float32.
    """
    if target.precision != "float32":
        raise MeasurementError(f"runtime 'onnx' needs precision float32, got {target.precision!r}")
    try:
        import onnxruntime
    except ImportError as error:
        raise MeasurementError(
            "runtime 'onnx' needs onnxruntime, which is not installed: pip install 'evnas[onnx]'"
        ) from error
    provider = PROVIDERS[images.device.type]
    if provider not in onnxruntime.get_available_providers():
        raise MeasurementError(
            f"onnxruntime has no {provider} here, only {onnxruntime.get_available_providers()}"
        )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    graph = export(model, images)
    session = onnxruntime.InferenceSession(graph, options, providers=[provider])
    binding = session.io_binding()
    host = images.contiguous().cpu().numpy()
    binding.bind_ortvalue_input(
        "images", onnxruntime.OrtValue.ortvalue_from_numpy(host, images.device.type, 0)
    )
    binding.bind_output("logits", images.device.type)

    def call() -> object:
        session.run_with_iobinding(binding)
        return binding.get_outputs()

    return call

"""ONNX Runtime on the exported graph; needs the extra `onnx`."""

import io
import warnings
from collections.abc import Mapping, Sequence

import torch
from torch import nn

from evnas.errors import MeasurementError
from evnas.measure.target import Target
from evnas.runtime import Ready

OPSET = 17
AXES = {0: "batch", 2: "height", 3: "width"}
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


def on_session(graph: bytes | str, images: torch.Tensor) -> Ready:
    """A call that runs an ONNX model, as bytes or a file, on `images`.

    Raises:
        MeasurementError: onnxruntime lacks the device, or an operator of the model.
    """
    import onnxruntime  # an extra
    from onnxruntime.capi.onnxruntime_pybind11_state import Fail, InvalidGraph, NotImplemented

    provider = PROVIDERS[images.device.type]
    if provider not in onnxruntime.get_available_providers():
        raise MeasurementError(
            f"onnxruntime has no {provider} here, only {onnxruntime.get_available_providers()}"
        )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    try:
        session = onnxruntime.InferenceSession(graph, options, providers=[provider])
    except (Fail, InvalidGraph, NotImplemented) as error:
        reason = str(error).splitlines()[0]
        raise MeasurementError(f"the model has no form in ONNX Runtime: {reason}") from error
    binding = session.io_binding()
    host = images.contiguous().cpu().numpy()
    binding.bind_ortvalue_input(
        "images", onnxruntime.OrtValue.ortvalue_from_numpy(host, images.device.type, 0)
    )
    binding.bind_output("logits", images.device.type)

    def run() -> object:
        session.run_with_iobinding(binding)
        return binding.get_outputs()

    facts = {
        "version": onnxruntime.__version__,
        "precision": "float32",
        "threads": session.get_session_options().intra_op_num_threads,
        "provider": session.get_providers()[0],
    }
    return Ready(run=run, facts=facts)


def export(
    model: nn.Module,
    images: torch.Tensor,
    *,
    dynamic: Sequence[int] = (),
    metadata: Mapping[str, str] | None = None,
) -> bytes:
    """The ONNX form of `model` for the shape of `images`.

    Args:
        dynamic: axes of the images that may have other sizes, of 0, 2 and 3.
        metadata: what the file says of itself.

    Raises:
        MeasurementError: an operator has no ONNX form.
    """
    file = io.BytesIO()
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # tracing warns of every constant shape: meant here
            torch.onnx.export(
                model,
                (images,),
                file,  # type: ignore[arg-type] # a file object is taken, the stub forgot it
                dynamo=False,
                opset_version=OPSET,
                input_names=["images"],
                output_names=["logits"],
                dynamic_axes={
                    "images": {axis: AXES[axis] for axis in dynamic},
                    "logits": {axis: AXES[axis] for axis in dynamic if axis == 0},
                },
            )
    except (torch.onnx.errors.OnnxExporterError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise MeasurementError(f"the model has no ONNX form: {reason}") from error
    return file.getvalue() + b"".join(_property(*item) for item in (metadata or {}).items())


def _property(key: str, value: str) -> bytes:
    """An entry of a model's metadata as protobuf has it, to be appended: repeated fields may stand
    anywhere. Field 14 of ModelProto holds messages of a key (1) and a value (2)."""
    message = _field(1, key.encode()) + _field(2, value.encode())
    return _field(14, message)


def _field(number: int, content: bytes) -> bytes:
    """A field of bytes, behind its number and its length as a varint."""
    size, length = len(content), b""
    while size > 0x7F:
        length += bytes([size & 0x7F | 0x80])
        size >>= 7
    return bytes([number << 3 | 2]) + length + bytes([size]) + content

"""The ONNX form of a model, for every runtime and file that takes one."""

import importlib.util
import io
import warnings
from collections.abc import Mapping, Sequence

import torch
from torch import nn

from evnas.errors import MeasurementError
from evnas.kernels.onnx_form.exporting import own_nodes

OPSET = 17
AXES = {0: "batch", 2: "height", 3: "width"}


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
        MeasurementError: the package onnx is missing, an operator has no ONNX form, or there is no
            image: torch's exporter divides by sizes, and would end the process by a signal.
    """
    if importlib.util.find_spec("onnx") is None:
        raise MeasurementError(
            "an ONNX form needs onnx, which is not installed: pip install 'evnas[onnx]'"
        )
    if images.shape[0] == 0:
        raise MeasurementError(
            "an ONNX form is traced with at least one image, got a batch of none; axis 0 in "
            "dynamic leaves the batch open"
        )
    file, sides = io.BytesIO(), not any(axis > 1 for axis in dynamic)
    try:
        with warnings.catch_warnings(), torch.no_grad(), own_nodes(sides_fixed=sides):
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
    content = _in_onnx_alone(file.getvalue())
    return content + b"".join(_property(*item) for item in (metadata or {}).items())


def _in_onnx_alone(content: bytes) -> bytes:
    """A model without nodes of our own."""
    import onnx  # of an extra

    from evnas.kernels.onnx_form.nodes import without_own_nodes

    model: bytes = without_own_nodes(onnx.load_from_string(content)).SerializeToString()
    return model


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

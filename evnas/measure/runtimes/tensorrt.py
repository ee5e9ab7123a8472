"""TensorRT on the exported graph, on an NVIDIA GPU."""

from typing import Any

import torch
from torch import nn

from evnas.errors import MeasurementError
from evnas.measure.runtimes.onnx_export import export
from evnas.measure.target import Target
from evnas.runtime import Ready


def tensorrt(model: nn.Module, images: torch.Tensor, target: Target) -> Ready:
    """A call that queues the built engine of `model` on the device's current stream.

    float32 is computed without TF32, as torch's own products are by default.

    Raises:
        MeasurementError: an operator has no form there, or the precision is bfloat16.
    """
    import tensorrt as trt

    if target.precision == "bfloat16":
        raise MeasurementError(
            f"runtime {target.runtime!r} needs precision float32 or float16, got bfloat16"
        )
    with torch.cuda.device(images.device):
        engine = _built(trt, export(model, images), half=target.precision == "float16")
        context = engine.create_execution_context()
    held = images.contiguous()
    shape = tuple(context.get_tensor_shape("logits"))
    logits = torch.empty(shape, device=images.device)
    context.set_tensor_address("images", held.data_ptr())
    context.set_tensor_address("logits", logits.data_ptr())

    def call() -> object:
        # `held` must outlive the call, since the engine knows its address alone
        context.execute_async_v3(torch.cuda.current_stream(held.device).cuda_stream)
        return logits

    return Ready(run=call, facts={"version": trt.__version__, "threads": None})


def _built(trt: Any, graph: bytes, *, half: bool) -> Any:
    logger = trt.Logger(trt.Logger.ERROR)
    builder = trt.Builder(logger)
    network = builder.create_network(0)
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(graph):
        reason = parser.get_error(0).desc() if parser.num_errors else "it cannot be read"
        raise MeasurementError(f"the model has no form in TensorRT: {reason}")
    config = builder.create_builder_config()
    config.clear_flag(trt.BuilderFlag.TF32)
    if half:
        config.set_flag(trt.BuilderFlag.FP16)
    serialized = builder.build_serialized_network(network, config)
    if serialized is None:
        raise MeasurementError("the model has no form in TensorRT: no engine could be built")
    return trt.Runtime(logger).deserialize_cuda_engine(serialized)

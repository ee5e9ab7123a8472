"""TensorRT on the exported graph, on an NVIDIA GPU; versions 10 and 11."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from evnas.errors import MeasurementError
from evnas.measure.runtimes.onnx_export import export
from evnas.measure.runtimes.onnx_float16 import in_float16
from evnas.measure.target import Target
from evnas.runtime import Ready


def tensorrt(model: nn.Module, images: torch.Tensor, target: Target) -> Ready:
    """A call that queues the built engine of `model` behind the device's current stream.

    The engine computes in the types of the graph, the only way that version 11 knows: float16 is
    a graph in float16, and float32 is computed without TF32, as torch's own products are.

    Raises:
        MeasurementError: an operator has no form there, the engine does not fit, or the precision
            is bfloat16.
    """
    import tensorrt as trt

    if target.precision == "bfloat16":
        raise MeasurementError(
            f"runtime {target.runtime!r} needs precision float32 or float16, got bfloat16"
        )
    graph = export(model, images)
    if target.precision == "float16":
        graph = in_float16(graph)
    with torch.cuda.device(images.device):
        engine = _built(trt, graph)
        context = _must(engine.create_execution_context(), "it found no memory to run in")
        # on the default stream it would wait for the device with each call
        own: Any = torch.cuda.Stream()  # type: ignore[no-untyped-call] # torch's own
    held = images.contiguous()
    logits = torch.empty(tuple(context.get_tensor_shape("logits")), device=images.device)
    _place(context, {"images": held, "logits": logits})

    def call(alive: object = engine) -> object:
        # `held` must outlive the call, since the engine knows its address alone
        current: Any = torch.cuda.current_stream(held.device)
        own.wait_stream(current)
        with torch.cuda.device(held.device):  # CUDA refuses another GPU's stream
            _must(context.execute_async_v3(own.cuda_stream), "a call could not be queued")
        current.wait_stream(own)
        return logits

    return Ready(run=call, facts={"version": trt.__version__, "threads": None})


def _place(context: Any, tensors: Mapping[str, torch.Tensor]) -> None:
    for name, tensor in tensors.items():
        _must(context.set_tensor_address(name, tensor.data_ptr()), f"it takes no {name}")


def _built(trt: Any, graph: bytes) -> Any:
    logger = trt.Logger(trt.Logger.ERROR)
    builder = trt.Builder(logger)
    # version 11 has no other networks, and ignores the flag
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(graph):
        raise _refusal(parser.get_error(0).desc() if parser.num_errors else "it cannot be read")
    config = builder.create_builder_config()
    config.clear_flag(trt.BuilderFlag.TF32)
    serialized = _must(builder.build_serialized_network(network, config), "no engine was built")
    return _must(trt.Runtime(logger).deserialize_cuda_engine(serialized), "its engine is not read")


def _must(given: Any, otherwise: str) -> Any:
    """What TensorRT gave: it answers None or False where it failed, and says why on stderr."""
    if given is None or given is False:
        raise _refusal(otherwise)
    return given


def _refusal(reason: str) -> MeasurementError:
    return MeasurementError(f"the model has no form in TensorRT: {reason}")

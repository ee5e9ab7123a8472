"""An ONNX model in float16, for runtimes that compute in the types of the graph they are given."""

import importlib.util
from typing import Any

from evnas.errors import MeasurementError


def in_float16(graph: bytes) -> bytes:
    """The same model with weights and maps in float16. Images and logits stay float32, and so do
    scans.

    Raises:
        MeasurementError: the package onnxruntime, whose converter does it, is missing.
    """
    if importlib.util.find_spec("onnxruntime") is None:
        raise MeasurementError(
            "an ONNX form in float16 needs onnxruntime, which is not installed: "
            "pip install 'evnas[onnx]'"
        )
    import onnx
    from onnxruntime.transformers.float16 import DEFAULT_OP_BLOCK_LIST, convert_float_to_float16

    from evnas.kernels.onnx_form.nodes import INNER

    model = onnx.load_from_string(graph)
    for node in model.graph.node:
        node.name = node.output[0]  # by which the converter is told what it leaves
    half = convert_float_to_float16(
        model,
        keep_io_types=True,
        op_block_list=[*DEFAULT_OP_BLOCK_LIST, "Scan"],
        node_block_list=[node.name for node in model.graph.node if INNER in node.name],
    )
    _without_casts_and_back(half.graph)
    content: bytes = half.SerializeToString()
    return content


def _without_casts_and_back(graph: Any) -> None:
    """What goes from one float32 node to another stays float32, in place: the converter rounds it
    in between, and casts it back once for each reader, under one name."""
    import onnx

    casts, kept = dict[str, Any](), []
    for node in graph.node:
        if node.op_type != "Cast":
            kept.append(node)
        elif node.output[0] not in casts:
            casts[node.output[0]] = node
            kept.append(node)

    def before(name: str, kind: int) -> str:
        """What a value was before it was cast to this; "" where it was not."""
        cast = casts.get(name)
        return cast.input[0] if cast is not None and cast.attribute[0].i == kind else ""

    for node in kept:
        for i, name in enumerate(node.input):
            half = before(name, onnx.TensorProto.FLOAT)
            if whole := before(half, onnx.TensorProto.FLOAT16):
                node.input[i] = whole
    del graph.node[:]
    graph.node.extend(kept)

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

    model = onnx.shape_inference.infer_shapes(onnx.load_from_string(graph))
    left = []
    for node in model.graph.node:
        node.name = node.output[0]  # by which the converter is told what it leaves
        if any(INNER in name for name in (*node.input, *node.output)):
            left.append(node.name)
    # it rounds each value whose type it is told, also between two nodes that it leaves
    rounded = [value for value in model.graph.value_info if INNER not in value.name]
    del model.graph.value_info[:]
    model.graph.value_info.extend(rounded)
    half = convert_float_to_float16(
        model,
        keep_io_types=True,
        disable_shape_infer=True,
        op_block_list=[*DEFAULT_OP_BLOCK_LIST, "Scan"],
        node_block_list=left,
    )
    _keep_one_of_each(half.graph)
    content: bytes = half.SerializeToString()
    return content


def _keep_one_of_each(graph: Any) -> None:
    """The converter casts a value as often as nodes that it leaves read it, under one name, which
    no graph may hold twice."""
    nodes = {node.name: node for node in graph.node}
    del graph.node[:]
    graph.node.extend(nodes.values())

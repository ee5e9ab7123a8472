"""An ONNX model in float16, for runtimes that compute in the types of the graph they are given."""

import importlib.util

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
    content: bytes = half.SerializeToString()
    return content

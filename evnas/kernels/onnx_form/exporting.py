"""Whether an ONNX graph is being traced, where operators take the form that such a graph holds."""

import torch


def exporting() -> bool:
    """Whether torch's ONNX exporter follows."""
    if torch.compiler.is_compiling() or torch._C._get_tracing_state() is None:
        return False  # in eager mode at next to no cost
    return torch.onnx.is_in_onnx_export()

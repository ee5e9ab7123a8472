"""One operator of a forward, as any runtime tells of it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class OperatorTime:
    """One operator of a graph in one forward."""

    name: str
    """Its place in the model, as in `/body/stages.0/blocks.1/mixer/MatMul`."""
    operator: str
    """Its type, as ONNX or the runtime calls it: `Conv`, `MatMul`, `Scan`."""
    ms: float
    flops: float | None = None
    """2 a multiply-add; None where nobody tells."""
    bytes: float | None = None
    """Read and written, each operand once."""
    depthwise: bool = False

"""What the operators become in an ONNX graph: a scan is one node that walks it, not its steps."""

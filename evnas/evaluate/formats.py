"""Which files are evaluated as they lie, and which are not at all; no torch."""

from pathlib import Path

from evnas.errors import DataError

ONNX = ".onnx"
PACKAGES = (".pt2",)
"""Of torch: exported programs, and what AOTInductor compiled."""


def must_not_run_code(file: Path) -> None:
    """Raises DataError for a file whose loading runs what whoever made it wrote.

    An AOTInductor package is machine code, and `torch.export.load` unpickles objects.
    """
    if file.suffix in PACKAGES:
        raise DataError(
            f"{file} must be weights or an {ONNX} file: loading a {file.suffix} package runs code "
            "that it brings; evaluate the weights that it was exported from, by --runtime "
            "aot_inductor for what is compiled"
        )

"""An ONNX file as it lies on disk, run by ONNX Runtime on the CPU."""

import importlib.util
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from evnas.errors import DataError, MeasurementError
from evnas.measure.runtimes.onnx_runtime import session_of

PLAIN_TEXTS = ("producer", "digest", "weights", "form")
"""What a file says of itself as it stands; everything else is JSON."""


class ExportedFile:
    """A session of a file that takes one input of images (B, 3, H, W) and gives logits first.

    Raises:
        DataError: the file is no such model.
        MeasurementError: onnxruntime is missing.
    """

    def __init__(self, file: Path, device: str = "cpu") -> None:
        if importlib.util.find_spec("onnxruntime") is None:
            raise MeasurementError(
                f"{file} needs onnxruntime, which is not installed: pip install 'evnas[onnx]'"
            )
        try:
            content = file.read_bytes()
        except OSError as e:
            raise DataError(f"{file} must be a file that can be read ({e.strerror})") from e
        try:
            self.session = session_of(content, torch.device(device))
        except MeasurementError:
            raise
        except Exception as e:  # onnxruntime raises a class of its own for each kind of damage
            reason = str(e).strip().splitlines()[0]
            raise DataError(f"{file} must be an ONNX model, it cannot be loaded: {reason}") from e
        self.file = file
        inputs = self.session.get_inputs()
        if len(inputs) != 1 or len(inputs[0].shape) != 4:
            shapes = ", ".join(str(one.shape) for one in inputs)
            raise DataError(f"{file} must take one input (B, 3, H, W), it takes {shapes}")
        self.input = inputs[0].name
        self.shape: list[int | None] = [
            size if isinstance(size, int) else None for size in inputs[0].shape
        ]
        """Sizes of the input; None where any will do."""

    @property
    def batch_size(self) -> int | None:
        """Images a call takes; None where it takes any number."""
        return self.shape[0]

    def said(self) -> dict[str, Any]:
        """What the file says of itself."""
        return dict(_parsed(self.session.get_modelmeta().custom_metadata_map))

    def must_take(self, resolution: int) -> None:
        """Raises DataError where its images have another side than `resolution`."""
        sides = [size for size in self.shape[2:] if size not in (None, resolution)]
        if sides:
            raise DataError(
                f"{self.file} takes images of {self.shape[2]}x{self.shape[3]}, not of "
                f"{resolution}x{resolution}; export it with --dynamic-sides or --resolution "
                f"{resolution}"
            )

    def __call__(self, images: Tensor) -> tuple[Tensor, float]:
        """Images (B', 3, H, W), B' at most the batch -> logits (B', classes), seconds."""
        missing = (self.batch_size or len(images)) - len(images)
        padding = images[:1].expand(missing, -1, -1, -1)
        whole = torch.cat([images, padding]) if missing else images
        host = whole.contiguous().numpy()
        start = time.perf_counter()
        logits = self.session.run(None, {self.input: host})[0]
        seconds = time.perf_counter() - start
        return torch.from_numpy(logits)[: len(images)].float(), seconds


def said_by(file: Path) -> dict[str, Any]:
    """What an ONNX file says of itself.

    Raises:
        DataError, MeasurementError: as `ExportedFile`.
    """
    return ExportedFile(file).said()


def _parsed(fields: Mapping[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, text in fields.items():
        if key in PLAIN_TEXTS:
            found[key] = text
            continue
        try:
            found[key] = json.loads(text)
        except ValueError:
            found[key] = text
    return found

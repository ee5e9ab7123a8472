"""ONNX Runtime in int8: static, on scales that images calibrate, and dynamic.

Source: Jacob et al., "Quantization and Training of Neural Networks for Efficient
Integer-Arithmetic-Only Inference", arXiv 1712.05877; after training, as ONNX Runtime's own tools
do it: weights in int8 by channel, activations of static models in uint8 by tensor. An x86 CPU
without VNNI adds two such products in 16 bits, which overflow without a word, so there weights
have 7 bits.
"""

import logging
import platform
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from evnas.errors import MeasurementError
from evnas.measure.runtimes.agreement import as_tensor, top1_agreement
from evnas.measure.runtimes.onnx_export import export
from evnas.measure.runtimes.onnx_runtime import on_session, session_of
from evnas.measure.target import Target
from evnas.runtime import Pictures, Ready


def onnx_int8(
    model: nn.Module, images: Tensor, target: Target, pictures: Pictures | None
) -> Ready:
    """A call that runs `model` on `images` with weights and activations in int8.

    Args:
        pictures: whose calibration images set the scales of activations.

    Raises:
        MeasurementError: as for `onnx`, or there are no pictures.
    """

    def quantized(source: Path, made: Path, shown: Pictures) -> None:
        from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

        quantize_static(
            source,
            made,
            _Reader(shown.calibration, len(images)),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            weight_type=QuantType.QInt8,
            activation_type=QuantType.QUInt8,
            reduce_range=products_overflow(),
        )

    return _quantized(model, images, target, pictures, quantized)


def onnx_int8_dynamic(
    model: nn.Module, images: Tensor, target: Target, pictures: Pictures | None
) -> Ready:
    """The same with the scales of activations found again in each call; convolutions, for which
    that costs more than it gives, stay in float32.

    Raises:
        MeasurementError: as for `onnx`, or there are no pictures.
    """

    def quantized(source: Path, made: Path, shown: Pictures) -> None:
        from onnxruntime.quantization import QuantType, quantize_dynamic

        quantize_dynamic(
            source,
            made,
            op_types_to_quantize=["MatMul", "Gemm"],
            per_channel=True,
            weight_type=QuantType.QInt8,
            reduce_range=products_overflow(),
        )

    return _quantized(model, images, target, pictures, quantized)


def products_overflow(cpuinfo: Path = Path("/proc/cpuinfo"), machine: str = "") -> bool:
    """Whether sums of two products of uint8 and int8 may overflow here: on x86 without VNNI, and
    where it is not known.

    Args:
        machine: as `platform.machine()`, which is taken if it is empty.
    """
    if (machine or platform.machine()).lower() not in ("x86_64", "amd64"):
        return False
    try:
        flags = set(cpuinfo.read_text().split())
    except OSError:
        return True
    return not flags & {"avx512_vnni", "avx_vnni"}


def _quantized(
    model: nn.Module,
    images: Tensor,
    target: Target,
    pictures: Pictures | None,
    quantize: Callable[[Path, Path, Pictures], None],
) -> Ready:
    if target.precision != "float32":
        raise MeasurementError(
            f"runtime {target.runtime!r} turns a model of precision float32 into int8, got "
            f"{target.precision!r}"
        )
    if pictures is None:
        raise MeasurementError(
            f"runtime {target.runtime!r} needs images of a data set, to calibrate with and to be "
            "held against, and was given none"
        )
    with tempfile.TemporaryDirectory() as folder, _quiet():
        source, made = Path(folder, "float.onnx"), Path(folder, "int8.onnx")
        source.write_bytes(export(model, images))
        quantize(source, made, pictures)
        graph = made.read_bytes()
    ready = on_session(graph, images)
    agreement = _agreement(graph, model, images, pictures)
    facts = {
        **ready.facts,
        "precision": "int8",
        "weight_bits": 7 if products_overflow() else 8,
        "agreement_with_torch": agreement,
    }
    return replace(ready, facts=facts)


def _agreement(
    graph: bytes, model: nn.Module, images: Tensor, pictures: Pictures
) -> dict[str, Any]:
    """Of top-1 on held-out images, with the data set's name."""
    session = session_of(graph, images.device)
    mine, theirs = [], []
    for batch in _batches(pictures.held_out, len(images)):
        mine.append(as_tensor(session.run(None, {"images": batch.contiguous().numpy()})))
        with torch.inference_mode():
            theirs.append(model(batch.to(images.device)))
    found = top1_agreement(torch.cat(mine), torch.cat(theirs).cpu())
    return {"data": pictures.name, **asdict(found)}


def _batches(images: Tensor, size: int) -> Iterator[Tensor]:
    """Whole batches, as an exported graph takes them."""
    if len(images) < size:
        raise MeasurementError(f"a batch of {size} needs as many images, got {len(images)}")
    for start in range(0, len(images) - size + 1, size):
        yield images[start : start + size]


class _Reader:
    """Gives calibration images, a batch at a time, as ONNX Runtime's tools ask for them."""

    def __init__(self, images: Tensor, size: int) -> None:
        self._batches = _batches(images, size)

    def get_next(self) -> Mapping[str, Any] | None:
        """The next batch by its input's name; None at the end."""
        batch = next(self._batches, None)
        return None if batch is None else {"images": batch.contiguous().numpy()}


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the tools' hints on pre-processing, which they log as warnings."""
    logger = logging.getLogger()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)

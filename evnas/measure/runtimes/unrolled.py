"""Exporters that have no loop: they are handed a scan step by step, all of its operators."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from evnas.errors import MeasurementError
from evnas.measure.operator_watch import OperatorWatch

MOST = 5000
"""Operators of a forward that are converted in a minute or two. VMamba-T at 224 pixels has ten
times as many, a model without scans some hundreds."""


def must_be_short(model: nn.Module, images: torch.Tensor, exporter: str) -> None:
    """A forward has few enough operators for an exporter without loops.

    Args:
        model: of plain operators.
        images: (B, 3, H, W).
        exporter: its name.

    Raises:
        MeasurementError: it has more.
    """
    try:
        with torch.no_grad(), _Counting():
            model(images)
    except _TooManyError:
        raise MeasurementError(
            f"the model has no form in {exporter} that is short enough: a forward must be at most "
            f"{MOST:,} operators, and is more, since a scan (selective_scan, ss2d_scan) is "
            "written out step by step there; fewer pixels, or a runtime that knows loops, such as "
            "onnx or openvino"
        ) from None


class _TooManyError(Exception):
    pass


class _Counting(OperatorWatch):
    def __init__(self) -> None:
        super().__init__()
        self._left = MOST

    def run(
        self, func: torch._ops.OpOverload, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> Any:
        if not self._left:
            raise _TooManyError
        self._left -= 1
        return func(*args, **kwargs)

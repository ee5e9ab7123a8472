"""Whether the depthwise 3x3 convolutions leave time on the table: convolution, folded batch norm
and activation as cuDNN (or oneDNN) and torch run them, against the time of reading the map once
and writing it once at the device's copy bandwidth.

A fused kernel of our own is worth taking where `share` is well below 1: its time could not be
under `least_ms`. `triton` is that kernel, channels last, where it can run. The ratio is plain
(norm apart) over folded, in alternation.
"""

import argparse
import dataclasses
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from sheet import FAILURES, alternated, arguments, parsed, sheet, why
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from evnas.kernels import depthwise_conv
from evnas.kernels.depthwise_conv import Act

ACTIVATIONS = {"none": nn.Identity, "relu": nn.ReLU, "silu": nn.SiLU}
FORMS = ("contiguous", "channels_last", "compile", "triton")


@dataclass(frozen=True, slots=True)
class Case:
    """One depthwise convolution of a published model."""

    model: str
    batch: int
    channels: int
    side: int
    activation: Act
    precision: str

    @property
    def id(self) -> str:
        """`EfficientViM-M2 b256 128x14x14 none float16`."""
        shape = f"{self.channels}x{self.side}x{self.side}"
        return f"{self.model} b{self.batch} {shape} {self.activation} {self.precision}"


def cases(device: str) -> Iterator[Case]:
    """Maps of EfficientViM-M2, VMamba-T and EfficientVMamba-T at 224."""
    cpu = device == "cpu"
    for precision in ("float32",) if cpu else ("float16", "float32"):
        for stage in range(3):
            yield Case(
                "EfficientViM-M2", 16 if cpu else 256, 128 << stage, 14 >> stage, "none", precision
            )
        for stage in range(4):
            yield Case("VMamba-T", 1 if cpu else 128, 96 << stage, 56 >> stage, "silu", precision)
        yield Case("EfficientVMamba-T", 1 if cpu else 256, 96, 56, "relu", precision)


def calls(case: Case, device: str) -> dict[str, Callable[[], Tensor]]:
    """`plain` and each of `FORMS`."""
    dtype: torch.dtype = getattr(torch, case.precision)
    convolution = nn.Conv2d(
        case.channels, case.channels, 3, padding=1, groups=case.channels, bias=False
    )
    norm, activation = nn.BatchNorm2d(case.channels), ACTIVATIONS[case.activation]()
    plain = nn.Sequential(convolution, norm, activation).eval().to(device, dtype)
    folded = nn.Sequential(fuse_conv_bn_eval(convolution, norm), activation)
    x = torch.randn(case.batch, case.channels, case.side, case.side, device=device, dtype=dtype)
    last = x.contiguous(memory_format=torch.channels_last)
    compiled = torch.compile(folded, dynamic=False)
    found: dict[str, tuple[Callable[[Tensor], Tensor], Tensor]] = {
        "plain": (plain, x),
        "contiguous": (folded, x),
        "channels_last": (folded, last),
        "compile": (compiled, x),
        "triton": (_kernel(folded, case), last),
    }
    return {name: _call(model, images) for name, (model, images) in found.items()}


def _kernel(folded: nn.Sequential, case: Case) -> Callable[[Tensor], Tensor]:
    weight, bias = folded.get_parameter("0.weight"), folded.get_parameter("0.bias")
    return lambda x: depthwise_conv(x, weight, bias, act=case.activation, impl="triton")


def _call(model: Callable[[Tensor], Tensor], x: Tensor) -> Callable[[], Tensor]:
    def call() -> Tensor:
        with torch.inference_mode():
            return model(x)

    return call


def main() -> int:
    """Measure, print, write."""
    args = parsed(arguments(__doc__))
    chosen = [case for case in cases(args.device) if args.only in case.id]
    book = sheet("depthwise", args, sorted({case.precision for case in chosen}))
    for case in chosen:
        torch.compiler.reset()
        forms = calls(case, args.device)
        for form in FORMS:
            line = {"case": dataclasses.asdict(case), "form": form, "peer": "plain"}
            if book.wants(**line):
                copied = book.ceiling["copy_bytes_s"]
                line |= _line(case, forms["plain"], forms[form], copied, args)
                book.add(line)
                print(case.id, json.dumps({k: line[k] for k in line if k != "case"}), flush=True)
    print(book.path)
    return book.exit_code()


def _line(
    case: Case,
    plain: Callable[[], Tensor],
    form: Callable[[], Tensor],
    copy_bytes_s: float,
    args: argparse.Namespace,
) -> dict[str, Any]:
    try:
        y = form()
        line = alternated(plain, form, case.batch, args)
    except FAILURES as failure:
        return {"absent": why(failure)}
    least_ms = 1e3 * 2 * y.numel() * y.element_size() / copy_bytes_s
    return line | {"least_ms": least_ms, "share": least_ms / line["latency_ms"][1]}


if __name__ == "__main__":
    sys.exit(main())

"""The operators at the shapes of published models: ours against the reference in plain torch,
torch.compile of it and, where it is installed, mamba_ssm's CUDA scan, in alternation in one run.

Without arguments it takes every shape and precision on the GPU, or float32 at small batches where
there is none; with --targets those that the targets speak of. A table goes to stdout, everything
to a JSON file after each line; a figure that could not be taken is absent there, with the reason.
With --write-choices `impl="auto"` takes what was fastest here from then on: on a GPU of Triton,
plain torch and the reference, by these lines; on a CPU of ours and the reference, in a measurement
of its own in place of these lines (`kernel_choices.py`).
"""

import argparse
import dataclasses
import json
import sys
from collections.abc import Callable, Mapping
from typing import Any

import torch
from kernel_cases import LOOPS, Case, Run, cases, ours, peers, targets
from kernel_choices import PASSES, cpu_rows, rows_of_lines, write_choices
from sheet import FAILURES, OUT_OF_TIME, Sheet, alternated, arguments, parsed, sheet, why
from torch import Tensor

from evnas.kernels.dispatch import implementation_in_use, noted
from evnas.measure.timing.allocator import keep_freed_memory


def main() -> int:
    """Measure, print, write."""
    args = _arguments()
    if args.write_choices and args.device == "cpu":
        keep_freed_memory()
        torch.set_num_threads(args.threads or torch.get_num_threads())
        write_choices(cpu_rows())
        return 0
    found = targets(args.device) if args.targets else cases(args.device, quick=args.quick)
    chosen = [case for case in found if args.only in case.id]
    book = sheet("kernels", args, sorted({c.precision for c in chosen}))
    for case in chosen:
        torch.compiler.reset()  # else the ninth case would silently run uncompiled
        try:
            _take(case, book, args)
        except FAILURES as failure:
            print(f"{case.id} ended: {why(failure)}", flush=True)
    print(book.path)
    if args.write_choices:
        write_choices(list(rows_of_lines(book.lines, torch.device(args.device))))
    return OUT_OF_TIME if book.cut else 0


def _take(case: Case, book: Sheet, args: argparse.Namespace) -> None:
    """Our operator against each peer, forward, and forward with backward."""
    inputs, cotangents = case.inputs(), None
    first = next(iter(inputs.values()))
    named = implementation_in_use(case.op, first.device, first.dtype)
    run = ours(case, named if args.write_choices else "auto")  # else a choice would judge itself
    for pass_ in PASSES[:1] if args.no_training else PASSES:
        if pass_ == PASSES[1]:
            inputs = {n: t.requires_grad_() for n, t in inputs.items()}
            cotangents = _cotangents(run(**inputs))
        mine = _call(run, inputs, cotangents)
        with noted() as questions:
            mine()
        known = {"implementation": questions[0].answer(first.device)}
        for peer, other in _peers(case, args).items():
            case_as_read = json.loads(json.dumps(dataclasses.asdict(case)))
            key = {"case": case_as_read, "pass": pass_, "peer": peer}
            if not book.wants(**key):
                continue
            line = key | known | _line(case, mine, other, args, (inputs, cotangents))
            if pass_ == PASSES[0] and "latency_ms" in line:
                line |= _shares(case, inputs, line, book.ceiling)
            book.add(line)
            print(_row(case, line), flush=True)


def _peers(case: Case, args: argparse.Namespace) -> dict[str, Run | str]:
    """Those asked for; the targets leave out references that loop over L."""
    found = peers(case)
    if args.targets and case.op in LOOPS:
        del found["reference"]
    return {n: run for n, run in found.items() if not args.peers or n in args.peers.split(",")}


def _line(
    case: Case,
    mine: Callable[[], object],
    run: Run | str,
    args: argparse.Namespace,
    given: tuple[Mapping[str, Tensor], tuple[Tensor, ...] | None],
) -> dict[str, Any]:
    """Figures, or why there are none."""
    if isinstance(run, str):
        return {"absent": run}
    try:
        base = _call(run, *given)
        for call in (mine, base):
            call()  # compiles, and shows what cannot run
        return alternated(base, mine, case.batch, args)
    except FAILURES as failure:
        return {"absent": why(failure)}


def _call(
    run: Run, inputs: Mapping[str, Tensor], cotangents: tuple[Tensor, ...] | None
) -> Callable[[], object]:
    if cotangents is None:

        def forward() -> object:
            with torch.inference_mode():
                return run(**inputs)

        return forward

    def forward_backward() -> object:
        y = run(**inputs)
        outputs = y if isinstance(y, tuple) else (y,)
        return torch.autograd.grad(outputs, list(inputs.values()), cotangents, allow_unused=True)

    return forward_backward


def _cotangents(y: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return tuple(torch.ones_like(t) for t in (y if isinstance(y, tuple) else (y,)))


def _shares(
    case: Case, inputs: Mapping[str, Tensor], line: Mapping[str, Any], ceiling: Mapping[str, Any]
) -> dict[str, float]:
    """Of the ceilings: inputs read and outputs written once each, and the operator's FLOPs."""
    seconds = line["latency_ms"][1] / 1e3
    y = ours(case)(**inputs)
    tensors = [*inputs.values(), *(y if isinstance(y, tuple) else (y,))]
    moved = sum(t.numel() * t.element_size() for t in tensors)
    return {
        "bytes_s": moved / seconds,
        "byte_share": moved / seconds / ceiling["copy_bytes_s"],
        "flop_s": case.flop() / seconds,
        "flop_share": case.flop() / seconds / ceiling["flop_s"][case.precision],
    }


def _row(case: Case, line: Mapping[str, Any]) -> str:
    head = f"{case.id:68} {line['pass']:16} {line['implementation']:6} vs {line['peer']:18}"
    if "absent" in line:
        return f"{head} absent: {line['absent']}"
    low, ratio, high = line["ratio"]
    text = f"{head} {line['latency_ms'][1]:9.3f} ms  x{ratio:.2f} [{low:.2f}, {high:.2f}]"
    if "byte_share" in line:
        text += f"  byte {line['byte_share']:.0%}  flop {line['flop_share']:.1%}"
    return text


def _arguments() -> argparse.Namespace:
    parser = arguments(__doc__)
    parser.add_argument("--quick", action="store_true", help="224 only, one precision")
    parser.add_argument("--write-choices", action="store_true", help="see above")
    args = parsed(parser)
    if args.write_choices and args.peers:
        parser.error("--write-choices needs every peer")
    return args


if __name__ == "__main__":
    sys.exit(main())

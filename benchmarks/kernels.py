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
import itertools
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from kernel_cases import LOOPS, Case, Run, cases, ours, peers, targets
from kernel_choices import PASSES, cpu_rows, rows_of_lines, write_choices
from sheet import FAILURES, Sheet, alternated, arguments, parsed, sheet, stopwatch, why
from torch import Tensor

from evnas.kernels.autotune_table import CHOICES_FILE
from evnas.kernels.dispatch import implementation_in_use, noted
from evnas.measure.timing.allocator import keep_freed_memory

CACHES = 4
"""Inputs take turns until they fill a GPU's last cache so many times: one set would stay in it."""
MOST_SETS = 64
LONGEST_CALL_S = 0.5
"""A peer that takes longer is timed once: a loop over L launches a hundred thousand kernels."""


def main() -> int:
    """Measure, print, write."""
    args = _arguments()
    if args.write_choices and args.device == "cpu":
        keep_freed_memory()
        torch.set_num_threads(args.threads or torch.get_num_threads())
        write_choices(cpu_rows(), args.choices)
        return 0
    if args.targets:
        found = targets(args.device, small=args.rehearsal)
    else:
        found = cases(args.device, quick=args.quick)
    chosen = [case for case in found if args.only in case.id]
    book = sheet("kernels", args, sorted({c.precision for c in chosen}))
    for case in chosen:
        torch.compiler.reset()  # else the ninth case would silently run uncompiled
        for pass_ in PASSES[:1] if args.no_training else PASSES:
            _take(case, pass_, book, args)
    print(book.path)
    if args.write_choices:
        rows = list(rows_of_lines(book.lines, torch.device(args.device)))
        write_choices(rows, args.choices)
    return book.exit_code()


@dataclass(frozen=True, slots=True)
class Given:
    """What a case is called with."""

    sets: Sequence[Mapping[str, Tensor]]
    """Alike; calls take them in turn."""
    cotangents: tuple[Tensor, ...] | None = None
    """Of the outputs, where the backward is called too."""


def _take(case: Case, pass_: str, book: Sheet, args: argparse.Namespace) -> None:
    """Our operator against each peer."""
    key: dict[str, Any] = {"case": json.loads(json.dumps(dataclasses.asdict(case))), "pass": pass_}
    if not book.wants(**key, peer=""):
        return
    try:
        given = _given(case, pass_)
        first = next(iter(given.sets[0].values()))
        named = implementation_in_use(case.op, first.device, first.dtype)
        # the operator that is to be chosen by name, else a choice would judge itself
        mine = _call(ours(case, named if args.write_choices else "auto"), given)
        with noted() as questions:
            mine()
    except FAILURES as failure:
        book.add(key | {"peer": "", "absent": why(failure)})
        print(f"{case.id} {pass_} ended: {book.lines[-1]['absent']}", flush=True)
        return
    book.pass_over()
    known = {"implementation": questions[0].answer(first.device), "input_sets": len(given.sets)}
    for peer, other in _peers(case, args).items():
        if not book.wants(**key, peer=peer):
            continue
        line = key | {"peer": peer} | known | _line(case, mine, other, args, given)
        if pass_ == PASSES[0] and "latency_ms" in line:
            line |= _shares(case, given.sets[0], line, book.ceiling)
        book.add(line)
        print(_row(case, line), flush=True)


def _given(case: Case, pass_: str) -> Given:
    """Inputs, as many sets of them as no cache of a GPU holds."""
    inputs = case.inputs()
    sets = [inputs]
    if case.device != "cpu":
        size = sum(t.numel() * t.element_size() for t in inputs.values())
        wanted = CACHES * torch.cuda.get_device_properties(case.device).L2_cache_size
        sets += [case.inputs() for _ in range(min(MOST_SETS, -(-wanted // size)) - 1)]
    if pass_ == PASSES[0]:
        return Given(sets)
    sets = [{name: t.requires_grad_() for name, t in each.items()} for each in sets]
    y = ours(case)(**sets[0])
    return Given(sets, tuple(torch.ones_like(t) for t in (y if isinstance(y, tuple) else (y,))))


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
    given: Given,
) -> dict[str, Any]:
    """Figures, or why there are none."""
    if isinstance(run, str):
        return {"absent": run}
    try:
        base, watch = _call(run, given), stopwatch(args)
        for call in (mine, base):
            call()  # compiles, and shows what cannot run
        mine_s, base_s = (watch.time(call, 1) for call in (mine, base))
        if case.device != "cpu" and base_s > LONGEST_CALL_S:
            return _once(mine_s, base_s)
        return alternated(base, mine, case.batch, args)
    except FAILURES as failure:
        return {"absent": why(failure)}


def _once(mine_s: float, base_s: float) -> dict[str, Any]:
    """Figures of one call each."""
    return {
        "latency_ms": [1e3 * mine_s] * 3,
        "peer_latency_ms": [1e3 * base_s] * 3,
        "ratio": [base_s / mine_s] * 3,
        "rounds": 1,
        "warnings": [f"one call each: the peer's takes {base_s:.1f} s"],
    }


def _call(run: Run, given: Given) -> Callable[[], object]:
    """A call on the next of the inputs."""
    turn = itertools.cycle(given.sets)
    if given.cotangents is None:

        def forward() -> object:
            with torch.inference_mode():
                return run(**next(turn))

        return forward

    def forward_backward() -> object:
        inputs = next(turn)
        y = run(**inputs)
        outputs = y if isinstance(y, tuple) else (y,)
        leaves = list(inputs.values())
        return torch.autograd.grad(outputs, leaves, given.cotangents, allow_unused=True)

    return forward_backward


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
    parser.add_argument(
        "--choices", type=Path, default=CHOICES_FILE, help="the file that they are written to"
    )
    args = parsed(parser)
    if args.write_choices and args.peers:
        parser.error("--write-choices needs every peer")
    return args


if __name__ == "__main__":
    sys.exit(main())

"""Whole models, ours against plain eager, torch.compile, timm and ONNX Runtime, in alternation.

Without arguments it takes the published sizes on the GPU, and a subset of them where there is
none; with --targets those that the targets for a GPU speak of. A table goes to stdout, everything
to a JSON file after each line; a figure that could not be taken is absent there, with the reason.
With --processes the lines are taken in several fresh processes, whose ratios may differ.
"""

import argparse
import dataclasses
import datetime
import json
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from exit_codes import OUT_OF_TIME
from forms import FORMS, PEERS, TRAINING, Case, Form, Maker, made
from processes import in_processes, summary_text
from sheet import FAILURES, Sheet, alternated, arguments, parsed, sheet, why
from traffic import traffic_bytes

from evnas.arch.catalog import entry
from evnas.measure.counting.flops import count
from evnas.measure.timing.memory import peak_mib

GPU_BATCHES = {
    "efficientvim_m2": 256,
    "vmamba_tiny_s1l8": 128,
    "vssd_tiny": 128,
    "efficient_vmamba_tiny": 256,
}
CPU_BATCHES = {
    "efficientvim_m2": (16, 1),
    "vssd_tiny": (1,),
    "vmamba_tiny_s1l8": (1,),
    "efficient_vmamba_tiny": (1,),
}
TARGETS = ("efficientvim_m2", "vmamba_tiny_s1l8")
TARGET_PEERS = ("eager", "eager+reference", "eager+mamba_ssm", "compile", "compile+reference")


def main() -> int:
    """Measure, print, write."""
    args = _arguments()
    if args.processes:
        return _in_processes(args)
    chosen = [case for case in cases(args) if args.only in case.id]
    book = sheet("models", args, sorted({case.precision for case in chosen}))
    for case in chosen:
        torch.compiler.reset()  # else later models might run uncompiled, in silence
        _inference(case, book, args)
        _training(case, book, args)
    print(book.path)
    return book.exit_code()


def _in_processes(args: argparse.Namespace) -> int:
    today = datetime.date.today().isoformat()
    path = args.out / f"models_{args.device}_{today}{args.suffix}_processes.json"
    ended = in_processes(
        Path(__file__),
        sys.argv[1:],
        args.processes,
        path=path,
        end_s=time.monotonic() + args.seconds,
    )
    print(summary_text(json.loads(path.read_text())["summary"]))
    print(path)
    return 0 if ended else OUT_OF_TIME


class Made:
    """Forms of one case, each made when it is first asked for, and kept."""

    def __init__(self, case: Case) -> None:
        self._case, self._images = case, case.images()
        self._found: dict[str, Form | str | None] = {}

    def get(self, name: str) -> Form | str | None:
        """The form, why it cannot run, or None where the case has no such form."""
        if name not in self._found:
            try:
                form = made(name, self._case, self._images)
                if form is not None:
                    form.call()  # compiles, and shows what cannot run
                self._found[name] = form
            except FAILURES as failure:
                self._found[name] = why(failure)
        return self._found[name]


def _inference(case: Case, book: Sheet, args: argparse.Namespace) -> None:
    """Each of our forms against each peer, forward only; what compiles for minutes comes last."""
    flop = 2 * case.batch * count(entry(case.model).arch, case.resolution).macs["exact"]
    names = TARGET_PEERS if args.targets and not args.peers else args.peers.split(",")
    pairs = [
        (form, peer)
        for form in _chosen(FORMS, args.forms)
        for peer in _chosen(PEERS, ",".join(names))
    ]
    forms = Made(case)
    for name, peer in sorted(pairs, key=lambda pair: sum("compile" in n for n in pair)):
        line = {"case": dataclasses.asdict(case), "pass": "forward", "form": name, "peer": peer}
        if not book.wants(**line):
            continue
        mine = forms.get(name)
        base = None if mine is None else forms.get(peer)  # which may compile for minutes
        if mine is None or base is None:
            book.pass_over()
            continue
        if isinstance(mine, str) or isinstance(base, str):
            line["absent"] = str(mine if isinstance(mine, str) else base)
        else:
            line |= _forward(case, mine, base, flop, book, args)
        _take(case, line, book)


def _forward(
    case: Case, mine: Form, base: Form, flop: int, book: Sheet, args: argparse.Namespace
) -> dict[str, Any]:
    try:
        line = alternated(base.call, mine.call, case.batch, args)
    except FAILURES as failure:
        return {"absent": why(failure)}
    seconds = line["latency_ms"][1] / 1e3
    line["flop_share"] = flop / seconds / book.ceiling["flop_s"][case.precision]
    if mine.counts_traffic:
        line["byte_share"] = traffic_bytes(mine.call) / seconds / book.ceiling["copy_bytes_s"]
    return line


def _training(case: Case, book: Sheet, args: argparse.Namespace) -> None:
    """Forward and backward with our kernels, against the reference operators and compile."""
    if args.no_training:
        return
    forms = Made(case)
    wanted = "reference" if args.targets and not args.peers else args.peers
    for peer in _chosen(TRAINING, wanted):
        line: dict[str, Any] = {
            "case": dataclasses.asdict(case),
            "pass": "forward+backward",
            "form": "kernels",
            "peer": peer,
        }
        if peer == "kernels" or not book.wants(**line):
            continue
        ours, base = forms.get("kernels"), forms.get(peer)
        if not isinstance(ours, Form) or not isinstance(base, Form):
            line["absent"] = ours if isinstance(ours, str) else base
        else:
            try:
                images = case.images()
                line["peak_mib"] = peak_mib(ours.call, ours.model, images)
                line["peer_peak_mib"] = peak_mib(base.call, base.model, images)
                line |= alternated(base.call, ours.call, case.batch, args)
            except FAILURES as failure:
                line["absent"] = why(failure)
        _take(case, line, book)


def _take(case: Case, line: dict[str, Any], book: Sheet) -> None:
    book.add(line)
    print(_row(case, line), flush=True)


def _chosen(makers: Mapping[str, Maker], names: str) -> Mapping[str, Maker]:
    return {n: m for n, m in makers.items() if not names or n in names.split(",")}


def _row(case: Case, line: Mapping[str, Any]) -> str:
    head = f"{case.id:48} {line['pass']:16} {line['form']:18} vs {line['peer']:18}"
    if "absent" in line:
        return f"{head} absent: {line['absent']}"
    low, ratio, high = line["ratio"]
    text = f"{head} {line['latency_ms'][1]:9.2f} ms  x{ratio:.2f} [{low:.2f}, {high:.2f}]"
    for name in ("flop_share", "byte_share"):
        if name in line:
            text += f"  {name.split('_')[0]} {line[name]:.0%}"
    if "peak_mib" in line:
        text += f"  peak {line['peak_mib']:.0f} vs {line['peer_peak_mib']:.0f} MiB"
    return text


def cases(args: argparse.Namespace) -> Iterator[Case]:
    if args.targets and args.rehearsal:
        for model in TARGETS:
            yield Case(model, 2, 64, "float32", args.device)
    elif args.targets:
        for model in TARGETS:
            yield Case(model, GPU_BATCHES[model], 224, "float16", args.device)
    elif args.device != "cpu":
        for resolution in (224, 512):
            for model, batch in GPU_BATCHES.items():
                for precision in ("float16", "bfloat16", "float32"):
                    yield Case(model, batch, resolution, precision, args.device)
    else:
        for model, batches in CPU_BATCHES.items():
            for batch in batches:
                yield Case(model, batch, 224, "float32", "cpu")


def _arguments() -> argparse.Namespace:
    parser = arguments(__doc__)
    parser.set_defaults(budget_s=8.0)
    parser.add_argument("--forms", default="", help=f"some of {','.join(FORMS)}; all when empty")
    parser.add_argument(
        "--processes",
        type=int,
        default=0,
        help="take the lines in so many fresh processes, one after another, and their median",
    )
    peers = ",".join((*PEERS, *TRAINING))
    parser.epilog = f"Peers: {peers}."
    return parsed(parser)


if __name__ == "__main__":
    sys.exit(main())

"""Which kernels a model's forward spends its time in on a GPU: one forward under torch's profiler.

One line a model and form, with every kernel's name, how often it ran and how long in all, the
longest first. A profiler slows what it watches: times of whole forwards come from `models.py`.
"""

import dataclasses
import json
import sys
from collections.abc import Sequence
from typing import Any

from forms import FORMS, PEERS, made
from models import cases
from sheet import FAILURES, arguments, parsed, sheet, why

from evnas.errors import MeasurementError
from evnas.measure.timing.profiling import kernels_of, profiled, raw_events

WARM_CALLS = 3


def main() -> int:
    """Profile, print, write."""
    parser = arguments(__doc__)
    parser.add_argument("--form", default="deployed", help=", ".join((*FORMS, *PEERS)))
    parser.set_defaults(targets=True)
    args = parsed(parser)
    book = sheet("profile", args, [])
    for case in cases(args):
        line: dict[str, Any] = {"case": dataclasses.asdict(case), "form": args.form}
        if args.only not in case.id or not book.wants(**line):
            continue
        try:
            form = made(args.form, case, case.images())
            if form is None:
                raise MeasurementError(f"{case.id} has no form {args.form}")
            for _ in range(WARM_CALLS):
                form.call()
            events = raw_events(profiled(form.call, cuda=case.device != "cpu", memory=False))
            line |= summary(events)
        except FAILURES as failure:
            line["absent"] = why(failure)
        book.add(line)
        print(text(case.id, line), flush=True)
    print(book.path)
    return book.exit_code()


def summary(events: Sequence[Any]) -> dict[str, Any]:
    """Launches, milliseconds in kernels, and a row a kernel."""
    found: dict[tuple[str, str], list[float]] = {}
    for kernel in kernels_of(events):
        found.setdefault((kernel.name, kernel.operator), []).append(kernel.ns / 1e6)
    rows = [
        {"kernel": name, "operator": operator, "launches": len(ms), "ms": round(sum(ms), 4)}
        for (name, operator), ms in found.items()
    ]
    return {
        "launches": sum(map(len, found.values())),
        "kernels_ms": round(sum(map(sum, found.values())), 4),
        "kernels": sorted(rows, key=lambda row: -row["ms"]),
    }


def text(name: str, line: dict[str, Any]) -> str:
    """The longest kernels, in words."""
    if "absent" in line:
        return f"{name} {line['form']} absent: {line['absent']}"
    head = f"{name} {line['form']}: {line['launches']} launches, {line['kernels_ms']:.3f} ms"
    return "\n".join([head, *(json.dumps(row) for row in line["kernels"][:12])])


if __name__ == "__main__":
    sys.exit(main())

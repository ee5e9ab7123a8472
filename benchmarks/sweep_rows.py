"""A sweep in a call of limited time: `evnas sweep`, with what failed before tried again.

    python benchmarks/sweep_rows.py SWEEP --results FOLDER --name NAME [--set PATH=VALUE ...]

Exits with `PARTLY` where some work of a row did not come to its end, with what each such row says.
"""

import argparse
import sys
import time
from pathlib import Path

from exit_codes import OUT_OF_TIME, PARTLY

from evnas.record import RETRIED
from evnas.running import run_and_write
from evnas.store.store import Store
from evnas.sweep.sweep import load_sweep


def main() -> int:
    """Run, and say what is missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sweep", type=Path)
    parser.add_argument("--results", type=Path, required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--set", action="append", default=[], dest="changes")
    args = parser.parse_args()
    loaded = load_sweep(args.sweep, overrides=args.changes, name=args.name)
    began = time.monotonic()
    try:
        ran = run_and_write(loaded, results=args.results, fresh=False, began=began, retry=RETRIED)
    except KeyboardInterrupt:  # the study has closed its books
        return OUT_OF_TIME
    print((ran.folder / "table.md").read_text())
    with Store.read(ran.folder / "study.db") as store:
        ended = [(r.label, r.phase, r.status, r.error) for _, r in store.records()]
    missing = [each for each in ended if each[2] in RETRIED]
    for label, phase, status, error in missing:
        print(f"row {label}, {phase}: {status}: {error.strip().splitlines()[-1:]}")
    return PARTLY if missing else 0


if __name__ == "__main__":
    sys.exit(main())

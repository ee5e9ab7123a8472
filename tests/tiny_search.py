"""A search whose every record is decided by its seed, run by the command and broken off."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from evnas.record import Record
from evnas.store import Store

TRIALS = 5


def tiny_search() -> dict[str, Any]:
    """Nothing in it depends on the machine's mood: objectives are counted or trained."""
    return {
        "name": "tiny",
        "base": "efficientvim_m1",
        "space": {
            "set": {"stages[*].dim": 16, "stages[*].depth": 1},
            "axes": {
                "stages[*].mixer.states": {"each": [4, 9]},
                "stages[0].depth": [1, 2],
                "head.fusion": ["hidden", "none"],
            },
        },
        "strategy": {"kind": "evolution", "startup": 2, "population": 4, "screen": 4},
        "objectives": {"params_m": "min", "loss": "min"},
        "budget": {"trials": TRIALS},
        "targets": [],
        "proxy": {
            "resolution": 32,
            "epochs": 1,
            "images_per_epoch": 64,
            "batch_size": 16,
            "points_per_epoch": 1,
            "curve_images": 20,
            "device": "cpu",
        },
    }


def write(path: Path, sweep: dict[str, Any]) -> Path:
    """The sweep as a file."""
    path.write_text(yaml.safe_dump(sweep, sort_keys=False))
    return path


def start(file: Path, results: Path, *more: str) -> subprocess.Popen[str]:
    """`evnas sweep FILE` in a process of its own."""
    command = [sys.executable, "-m", "evnas.cli", "sweep", str(file), "--results", str(results)]
    return subprocess.Popen(
        [*command, *more],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # no browser to draw pictures with: they take seconds
        env=os.environ | {"PATH": "", "OMP_NUM_THREADS": "1"},
    )


def killed_after(process: subprocess.Popen[str], text: str) -> None:
    """SIGKILL as soon as it has said `text`."""
    assert process.stderr is not None
    said = []
    for line in process.stderr:
        said.append(line)
        if text in line:
            process.send_signal(signal.SIGKILL)
            process.communicate()
            return
    raise AssertionError(f"it ended without saying {text!r}: {''.join(said)}")


def records(results: Path) -> list[Record]:
    """What the study holds, in order."""
    with Store.read(results / "tiny" / "study.db") as store:
        return [record for _, record in store.records()]


def outcome(record: Record) -> tuple[object, ...]:
    """All of a record but times."""
    curve = [{k: v for k, v in point.items() if k != "seconds"} for point in record.curve]
    values = {k: v for k, v in record.values.items() if k in ("params", "loss", "top1_percent")}
    return record.key, record.status, record.origin, curve, values


def outcomes(results: Path) -> list[tuple[object, ...]]:
    """`outcome` of all records, in the order of trials and phases."""
    return sorted(map(outcome, records(results)), key=lambda found: str(found[0]))

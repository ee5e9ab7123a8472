"""A real sweep in its own process, killed and interrupted: nothing is lost, nothing doubled."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from evnas.arch.catalog import entry
from evnas.record import Record
from evnas.store import Store


def tiny_sweep() -> dict[str, object]:
    base = entry("efficientvim_m2").arch.to_dict()
    for stage in base["stages"]:
        stage.update(depth=1, dim=16)
        stage["mixer"]["states"] = 4
    return {
        "name": "tiny",
        "base": base,
        "rows": {
            "A": {},
            "N": {"head.fusion": "none"},
            "S": {"stages[*].mixer.states": [8, 4, 2]},
        },
        "seeds": [0, 1],
        "targets": [{"device": "cpu", "resolution": 32, "batch_size": 2, "budget_s": 0.1}],
        "proxy": {
            "resolution": 32,
            "epochs": 2,
            "images_per_epoch": 96,
            "batch_size": 16,
            "points_per_epoch": 1,
            "curve_images": 20,
        },
    }


@pytest.fixture
def sweep_file(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(tiny_sweep(), sort_keys=False))
    return path


def start(sweep_file: Path, results: str, *more: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "evnas.cli", "sweep", sweep_file.name, "--results", results, *more],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=sweep_file.parent,
        env=os.environ | {"PATH": ""},  # no browser to draw pictures with: they take seconds
        # Ctrl-C must reach it, also where the tests themselves were started to ignore it
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


def until(process: subprocess.Popen[str], text: str) -> None:
    """Read what a sweep says until a line holds `text`."""
    assert process.stderr is not None
    for line in process.stderr:
        if text in line:
            return
    raise AssertionError(f"the sweep ended without saying {text!r}")


def records(folder: Path) -> list[Record]:
    with Store.read(folder / "study.db") as store:
        return [record for _, record in store.records()]


def outcome(record: Record) -> object:
    """What must be the same however often a sweep was broken off: all but times."""
    curve = [{k: v for k, v in point.items() if k != "seconds"} for point in record.curve]
    counted = record.values if record.phase == "count" else {}
    return record.key, record.status, curve, counted, record.values.get("top1_percent")


def test_killed_and_interrupted_it_ends_as_an_unbroken_one(sweep_file):
    folder = sweep_file.parent
    killed = start(sweep_file, "broken")
    until(killed, "A proxy: top-1")  # the next training is under way
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    kept = records(folder / "broken" / "tiny")
    assert [r.phase for r in kept] == ["count"] * 3 + ["speed"] * 3 + ["proxy"] * (len(kept) - 6)
    assert 7 <= len(kept) < 12

    interrupted = start(sweep_file, "broken")
    until(interrupted, "proxy: top-1")
    interrupted.send_signal(signal.SIGINT)
    _, stderr = interrupted.communicate()
    assert interrupted.returncode == 130, stderr
    assert "stopped; the same command goes on" in stderr
    assert "Traceback" not in stderr

    resumed, unbroken = start(sweep_file, "broken", "--json"), start(sweep_file, "whole", "--json")
    for process in (resumed, unbroken):
        printed, stderr = process.communicate()
        assert process.returncode == 0, stderr
        assert printed.startswith("{")
    broken, whole = (records(folder / name / "tiny") for name in ("broken", "whole"))
    assert len(whole) == 12
    assert broken[: len(kept)] == kept
    assert sorted(map(repr, map(outcome, broken))) == sorted(map(repr, map(outcome, whole)))
    for name in ("table.md", "table.csv", "table.tex", "report.html", "sweep.resolved.yaml"):
        assert (folder / "whole" / "tiny" / name).stat().st_size > 100

    changed = start(sweep_file, "whole", "--set", "proxy.lr=0.1")
    _, stderr = changed.communicate()
    assert changed.returncode == 2
    assert "proxy.lr: 0.002 -> 0.1" in stderr
    assert "--fresh" in stderr and "--name" in stderr

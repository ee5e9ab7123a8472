"""The pages on what can be added, run as scripts to their end, and run again."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from evnas.record import Record
from evnas.store import Store

PAGES = Path(__file__).parents[1] / "docs" / "extending"
STUDIES = {
    "strategy": "widest",
    "phase": "shallow",
    "runtime": "formats",
    "score": "spread",
    "dataset": "bright",
    "block": "sandwiches",
}
TRIALS = {"strategy": 4, "phase": 4, "runtime": 2, "score": 4, "dataset": 2, "block": 2}


@pytest.mark.parametrize("page", STUDIES)
def test_the_page_runs_to_its_end(page: str, tmp_path: Path) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", (PAGES / f"{page}.md").read_text(), re.S)
    script = tmp_path / "mine.py"
    script.write_text(code)
    for _ in range(2):  # the second finds all done
        done = subprocess.run(
            [sys.executable, str(script)],
            cwd=tmp_path,
            env=os.environ | {"PATH": "", "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.endswith(f"{TRIALS[page]} trials\n")
    with Store.read(tmp_path / "results" / STUDIES[page] / "study.db") as store:
        records = [record for _, record in store.records()]
    assert len({r.label for r in records}) == TRIALS[page]
    CHECKS[page](records)
    _opens_without_what_made_it(tmp_path / "results" / STUDIES[page])


def _opens_without_what_made_it(study: Path) -> None:
    """What the page's script made is read by a process that never saw the script."""
    done = subprocess.run(
        [sys.executable, "-m", "evnas.cli", "report", str(study)],
        env=os.environ | {"PATH": ""},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def _strategy(records: list[Record]) -> None:
    assert {r.origin for r in records} == {"widest"}


def _phase(records: list[Record]) -> None:
    found = [r for r in records if r.phase == "depth"]
    assert len(found) == 4
    for record in found:
        kept = record.values["blocks"] <= 8
        assert record.status == ("complete" if kept else "infeasible")


def _runtime(records: list[Record]) -> None:
    mine = [r for r in records if r.target == "cpu-channels_last-64-b2-float32"]
    assert [r.status for r in mine] == ["complete"] * 2
    assert "throughput_ratio" in mine[1].measurements


def _score(records: list[Record]) -> None:
    found = [r for r in records if r.phase == "score"]
    assert [r.status for r in found] == ["complete"] * 4
    assert all(r.values["logit_spread"] > 0 for r in found)


def _block(records: list[Record]) -> None:
    blocks = {r.label: {stage["block"] for stage in r.arch["stages"]} for r in records}
    assert blocks["sandwich"] == {"sandwich"}
    assert {r.status for r in records} == {"complete"}


def _dataset(records: list[Record]) -> None:
    found = [r for r in records if r.phase == "proxy"]
    assert [(r.status, r.details["classes"]) for r in found] == [("complete", 2)] * 2


CHECKS = {
    **{"strategy": _strategy, "phase": _phase, "runtime": _runtime, "score": _score},
    "dataset": _dataset,
    "block": _block,
}

"""The pages on strategies and phases, run as scripts to their end, and run again."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from evnas.store import Store

PAGES = Path(__file__).parents[1] / "docs" / "extending"
STUDIES = {"strategy": "widest", "phase": "shallow"}


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
        assert done.stdout.endswith("4 trials\n")
    with Store.read(tmp_path / "results" / STUDIES[page] / "study.db") as store:
        records = [record for _, record in store.records()]
    if page == "strategy":
        assert {r.origin for r in records} == {"widest"} and len(records) == 4
        return
    found = [r for r in records if r.phase == "depth"]
    assert len(found) == 4 and all(r.values["blocks"] >= 3 for r in found)
    kept = {r.status for r in found if r.values["blocks"] <= 8}
    assert kept <= {"complete"}


def test_a_script_s_phase_reaches_the_actors_of_ray(tmp_path: Path) -> None:
    """They do not run the script; an actor that lacks the phase records that it failed."""
    (code,) = re.findall(r"```python\n(.*?)```", (PAGES / "phase.md").read_text(), re.S)
    script = tmp_path / "mine.py"
    script.write_text(code.replace('"targets": [],', '"targets": [], "engine": {"kind": "ray"},'))
    env = os.environ | {"OMP_NUM_THREADS": "1", "RAY_DISABLE_MEMORY_MONITOR": "1"}
    done = subprocess.run(
        [sys.executable, str(script)], cwd=tmp_path, env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    with Store.read(tmp_path / "results" / "shallow" / "study.db") as store:
        found = [r for _, r in store.records() if r.phase == "depth"]
    assert len(found) == 4 and {r.status for r in found} <= {"complete", "infeasible"}


def test_a_study_opens_without_the_phase_and_the_strategy_that_made_it(tmp_path: Path) -> None:
    """What the page's script made is read by a process that never saw the script."""
    for page, name in STUDIES.items():
        (tmp_path / page).mkdir()
        test_the_page_runs_to_its_end(page, tmp_path / page)
        study = tmp_path / page / "results" / name
        done = subprocess.run(
            [sys.executable, "-m", "evnas.cli", "report", str(study)],
            env=os.environ | {"PATH": ""},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr

"""The guide's first commands, run to their end in an empty folder, on less than they name."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from photos import write_photos

from evnas.store import Store

GUIDE = Path(__file__).parents[1] / "docs" / "guide"
SMALL = ("targets[0].resolution=32", "targets[0].budget_s=0.2", "targets[0].runtime=torch")
"""What every sweep is cut down to, beyond its own `--quick`."""
OF_PAGE = {
    "first_sweep": ("predict=null", "proxy.images_per_epoch=64", "seeds=[0]"),
    "own_search": ("budget.trials=2", "predict={seeds: 1}"),
    "own_images": ("predict=null", "proxy.images_per_epoch=16", "seeds=[0]"),
}
STUDIES = {"first_sweep": "first_quick", "own_search": "found_quick", "own_images": "photos_quick"}


@pytest.mark.parametrize("page", OF_PAGE)
def test_the_first_commands_of_a_page_run(page: str, tmp_path: Path) -> None:
    write_photos(tmp_path / "photos")
    block = re.findall(r"```bash\n(.*?)```", (GUIDE / f"{page}.md").read_text(), re.S)[0]
    for line in block.splitlines():
        _, name, *arguments = line.split()
        less = [*SMALL, *OF_PAGE[page]] if name in ("plan", "sweep") else []
        sets = [part for each in less for part in ("--set", each)]
        done = subprocess.run(
            [sys.executable, "-m", "evnas", name, *arguments, *sets],
            cwd=tmp_path,
            env=os.environ | {"PATH": "", "OMP_NUM_THREADS": "1"},  # no browser, for pictures
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, f"{line}: {done.stderr}"
        assert done.stdout, line
    study = tmp_path / "results" / STUDIES[page]
    assert (study / "report.html").exists()
    with Store.read(study / "study.db") as store:
        ends = {record.status for _, record in store.records()}
    assert ends <= {"complete", "infeasible"}

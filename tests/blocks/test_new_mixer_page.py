"""docs/new_mixer.md, done word for word on a copy of the package."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "new_mixer.md").read_text()

TRIAL = """
import torch
from evnas.errors import SpecError
assert {place!r} in __import__("evnas").__file__
{example}
for size in (64, 37):
    assert model(torch.randn(2, 3, size, size)).shape == (2, 1000)
assert ArchSpec.from_dict(arch.to_dict()).digest == arch.digest
edit(arch, {{"stages[*].block": ["efficientvim", "vss", "evss", "vssd"]}})
for wrong, reason in (({{"stages[0].mixer.window": 4}}, "must be odd"),
                      ({{"stages[*].mixer.kind": "pool", "head.fusion": "hidden"}}, "has pool")):
    try:
        edit(arch, wrong)
    except SpecError as refusal:
        assert reason in str(refusal), refusal
    else:
        raise AssertionError(wrong)
"""


def blocks(language: str, section: str) -> list[str]:
    """The code of one language in one section of the page."""
    text = PAGE.split(f"\n## {section}")[1].split("\n## ")[0]
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def patch(path: Path, diff: str) -> None:
    """Apply added, removed and context lines; the page's lines must be there once."""
    lines = diff.splitlines()
    old = "\n".join(line[1:] for line in lines if not line.startswith("+"))
    new = "\n".join(line[1:] for line in lines if not line.startswith("-"))
    text = path.read_text()
    assert text.count(old) == 1, f"{path.name} has no longer the lines that the page changes"
    path.write_text(text.replace(old, new))


def test_the_page_adds_a_mixer(tmp_path: Path) -> None:
    package = tmp_path / "evnas"
    ignored = shutil.ignore_patterns("__pycache__", "data", "static")
    shutil.copytree(ROOT / "evnas", package, ignore=ignored)
    (module,) = blocks("python", "1. The module")
    (package / "blocks" / "mixers" / "pool.py").write_text(module)
    for diff in blocks("diff", "2. Its line"):
        patch(package / "blocks" / "mixers" / "__init__.py", diff)
    for diff in blocks("diff", "3. What it can"):
        patch(package / "space" / "mixers.py", diff)
    (example,) = blocks("python", "That is all")
    trial = TRIAL.format(place=str(tmp_path), example=example)
    (tmp_path / "trial.py").write_text(trial)
    done = subprocess.run(
        [sys.executable, "trial.py"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr

"""docs/extending/mixer.md, done word for word on a copy of the package."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "extending" / "mixer.md").read_text()

TRIAL = """
import time
from pathlib import Path

import torch
from evnas.commands.exporting import write_export
from evnas.errors import SpecError
from evnas.measure.counting.flops import count
from evnas.search.runner import run_sweep
from evnas.store import Store
from evnas.sweep.sweep import load_sweep
assert {place!r} in __import__("evnas").__file__
{example}
model.eval()
for size in (64, 37):
    x = torch.randn(2, 3, size, size)
    with torch.inference_mode():
        want = model(x)
        assert want.shape == (2, 1000)
        for layout in ("channels_last", "contiguous"):
            torch.testing.assert_close(deploy(model, layout=layout)(x), want, rtol=1e-3, atol=1e-4)
assert count(arch).params == sum(p.numel() for p in model.parameters())
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
for form in ("plain", "deployed"):
    for ending in ("pt2", "onnx"):
        out = Path(f"{{form}}.{{ending}}")
        write_export(arch, out, weights=None, resolution=64, batch_size=1, form=form)
        assert out.stat().st_size > 1000
if __name__ == "__main__":  # workers import this file
    for _ in range(2):  # the second goes on with the first
        sweep = load_sweep(Path("sweep.yaml"))
        folder = run_sweep(sweep, results=Path("results"), fresh=False, began=time.monotonic())
        with Store.read(folder / "study.db") as store:
            records = [record for _, record in store.records()]
        pooled = [r for r in records if r.arch["stages"][0]["mixer"]["kind"] == "pool"]
        assert len(pooled) == 1 and pooled[0].status == "complete", records
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
    ignored = shutil.ignore_patterns("static")  # compiled files are taken as they are
    shutil.copytree(ROOT / "evnas", package, ignore=ignored)
    (module,) = blocks("python", "1. The file")
    (package / "mixers" / "pool.py").write_text(module)
    for diff in blocks("diff", "2. Its line"):
        patch(package / "mixers" / "__init__.py", diff)
    (example,) = blocks("python", "That is all")
    (sweep,) = blocks("yaml", "That is all")
    (tmp_path / "sweep.yaml").write_text(sweep)
    trial = TRIAL.format(place=str(tmp_path), example=example)
    (tmp_path / "trial.py").write_text(trial)
    done = subprocess.run(
        [sys.executable, "trial.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        # no browser to draw pictures with: they take seconds
        env={**os.environ, "PYTHONPATH": str(tmp_path), "PATH": ""},
    )
    assert done.returncode == 0, done.stderr

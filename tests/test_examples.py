"""The scripts under examples/ run as they stand, and print what they promise."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def printed(script: str, *arguments: object, cwd: Path) -> str:
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / script), *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=cwd,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_published_architectures_are_compared(tmp_path):
    lines = printed("compare_published.py", cwd=tmp_path).splitlines()
    assert lines[0].split() == ["efficientvim_m1", "6.68", "M", "0.236", "GFLOPs"]
    assert lines[-1].strip() == "stages[2].dim: 320 -> 512"


def test_two_models_are_timed(tmp_path):
    text = printed("bench_two.py", cwd=tmp_path)
    assert text.startswith("cpu-torch-64-b1-float32\n")
    assert "half as wide runs" in text


def test_a_tiny_search_ends(tmp_path):
    lines = printed("tiny_search.py", tmp_path, cwd=tmp_path).splitlines()
    assert lines[0] == "Study('tiny_search', 12 trials)"
    assert lines[1].split() == ["label", "params_m", "macs_exact_g"]
    assert len(lines) == 2 + 12
    assert (tmp_path / "tiny_search" / "report.html").exists()

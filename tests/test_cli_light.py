"""What is answered at once: mistakes and look-ups load neither torch nor other heavy packages."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

from evnas.arch.catalog import catalog
from evnas.arch.catalog_counts import counted
from evnas.measure.counting.flops import count

ROOT = Path(__file__).parents[1]
HEAVY = ("torch", "timm", "pandas", "optuna", "scipy", "sklearn", "plotly", "numba", "ray")
SCRIPT = """
import sys
import evnas.cli
hidden, sys.argv = sys.argv[1].split(), ["evnas", *sys.argv[2:]]
import importlib.util
find = importlib.util.find_spec
importlib.util.find_spec = lambda name, *a: None if name in hidden else find(name, *a)
try:
    evnas.cli.main()
    code = 0
except SystemExit as e:
    code = e.code or 0
print("loaded", sorted(set(%r) & set(sys.modules)), code, file=sys.stderr)
"""
ROWS = "name: x\nbase: efficientvim_m1\nrows: {A: {}}\n"
TWO = (
    "targets: [{device: cuda, runtime: torch, resolution: 224, batch_size: 256}, "
    "{device: cpu, runtime: torch, resolution: 224, batch_size: {cpu: 8}}, {device: cpu}]\n"
)
MISTAKES = {
    "row": 'name: x\nbase: efficientvim_m1\nrows: {A: {"stages[*].mixer.kind": hsm_sdd}}\n',
    "base": "name: x\nbase: efficientvim_m11\nrows: {A: {}}\n",
}


def answer(*arguments: object, hidden: str = "") -> tuple[str, str, str]:
    """stdout, what was said on stderr, and what was loaded with the exit code."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT % (HEAVY,), hidden, *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    *said, loaded = done.stderr.strip().splitlines()
    return done.stdout, "\n".join(said), loaded


@pytest.mark.parametrize(
    "arguments",
    [
        ("models",),
        ("models", "--json"),
        ("check", "sweeps/table_c.yaml"),
        ("check", "sweeps/search_two_targets.yaml"),
        ("check", "sweeps/vmamba_table_10.yaml", "--json"),
        ("diff", "m1", "m2"),
        ("schema",),
    ],
    ids=" ".join,
)
def test_looking_up_loads_nothing_heavy(arguments):
    stdout, said, loaded = answer(*arguments)
    assert (said, loaded) == ("", "loaded [] 0")
    assert stdout


@pytest.mark.parametrize(
    ("arguments", "want"),
    [
        (("show", "efficientvim_m22"), "did you mean 'efficientvim_m2'?"),
        (("bench", "efficientvim_m22"), "did you mean 'efficientvim_m2'?"),
        (("erf", "efficientvim_m22"), "did you mean 'efficientvim_m2'?"),
        (("export", "efficientvim_m22", "-o", "x.onnx"), "did you mean 'efficientvim_m2'?"),
        (("convert", "efficientvim_m22", "a", "b"), "did you mean 'efficientvim_m2'?"),
        (("train", "efficientvim_m22", "--data", ".", "-o", "x"), "did you mean"),
        (("show", "--from", "results/nope", "--pick", "knee"), "no study is here"),
        (("front", "results/nope"), "no study is here"),
        (("finish", "results/nope", "--pick", "knee", "--data", "."), "no study is here"),
        (("eval", "nope.pt", "--data", "."), "there is no file nope.pt"),
        (("eval", "--official", "m22", "x.pt", "--data", "."), "did you mean 'm2'?"),
        (("sweep", "sweeps/nope.yaml"), "must be a readable YAML file"),
        (("plan", "sweeps/nope.yaml"), "must be a readable YAML file"),
        (("compare", "results/nope", "results/nowhere"), "no study is here"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_a_wrong_name_loads_nothing_heavy(arguments, want):
    stdout, said, loaded = answer(*arguments)
    assert want in said
    assert said.startswith("evnas: ")
    assert said.count("\n") == 0
    assert (stdout, loaded) == ("", "loaded [] 2")


def test_a_dashboard_of_nothing_names_no_address():
    stdout, said, _ = answer("dashboard", "results/nope")
    assert stdout == ""
    assert said == "evnas: results/nope: must be a folder of studies, and there is none"


@pytest.mark.parametrize("command", ["sweep", "plan", "check"])
@pytest.mark.parametrize("text", MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_in_a_sweep_loads_nothing_heavy(tmp_path, command, text):
    (tmp_path / "x.yaml").write_text(text)
    _, said, loaded = answer(command, tmp_path / "x.yaml")
    assert "x.yaml:" in said
    assert "did you mean" in said
    assert loaded == "loaded [] 2"


@pytest.mark.parametrize("command", ["sweep", "plan", "check"])
def test_a_missing_ray_is_named_before_torch_loads(tmp_path, command):
    (tmp_path / "x.yaml").write_text(ROWS + "engine:\n  kind: ray\n")
    _, said, loaded = answer(command, tmp_path / "x.yaml", hidden="ray")
    assert said.endswith("x.yaml:5: engine.kind: ray is not installed: pip install 'evnas[ray]'")
    assert loaded == "loaded [] 2"


def test_check_of_spelt_out_targets_needs_no_torch(tmp_path):
    (tmp_path / "x.yaml").write_text(ROWS + TWO)
    _, said, loaded = answer("check", tmp_path / "x.yaml")
    assert (said, loaded) == ("", "loaded [] 0")


def test_check_of_rows_needs_neither_numpy_nor_a_store():
    script = SCRIPT % (("numpy", "sqlite3"),)
    done = subprocess.run(
        [sys.executable, "-c", script, "", "check", "sweeps/table_c.yaml"],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert done.stderr == "loaded [] 0\n"


def test_check_says_that_two_spelt_targets_are_one(tmp_path):
    same = "{device: cpu, batch_size: 8}, {device: cpu, batch_size: {cpu: 8, cuda: 64}}"
    (tmp_path / "x.yaml").write_text(f"{ROWS}targets: [{same}]\n")
    stdout, _, loaded = answer("check", tmp_path / "x.yaml")
    assert "targets[0] and targets[1] are one target here, cpu-torch-224-b8-float32" in stdout
    assert loaded == "loaded [] 0"


def test_check_prints_the_architectures(tmp_path):
    stdout, _, _ = answer("check", "sweeps/table_c.yaml")
    lines = {line.split()[0]: line for line in stdout.splitlines() if line}
    assert lines["A"].split() == ["A", "0dff2f798425", "the", "base"]
    assert lines["B"].endswith("stages[0,1].dim: 128, 256 -> 224, 320")
    data = json.loads(answer("check", "sweeps/table_c.yaml", "--json")[0])
    assert data["archs"]["B"]["stages"][0]["dim"] == 224
    assert data["base"]["digest"] == data["rows"]["A"]


def test_shipped_counts_are_what_counting_gives():
    for known in catalog().values():
        fresh, shipped = count(known.arch, known.resolution), counted(known)
        assert (shipped.params, dict(shipped.macs)) == (fresh.params, dict(fresh.macs)), known.name


def test_the_package_runs_as_a_module():
    done = subprocess.run(
        [sys.executable, "-m", "evnas", "--version"], capture_output=True, text=True, cwd=ROOT
    )
    assert (done.returncode, done.stdout.startswith("evnas 0.")) == (0, True)


def test_work_without_peers_loads_no_timm() -> None:
    """Its import, with torchvision's, is a good part of a worker's start; what trains needs it."""
    at_once = set()
    for file in sorted((ROOT / "evnas").rglob("*.py")):
        for line in ast.parse(file.read_text()).body:
            names = [line.module or ""] if isinstance(line, ast.ImportFrom) else []
            names += [name.name for name in line.names] if isinstance(line, ast.Import) else []
            if any(name.partition(".")[0] == "timm" for name in names):
                at_once.add(file.relative_to(ROOT / "evnas").parts[:2])
    assert {room for room, _ in at_once} == {"train", "proxy"}
    assert {part for room, part in at_once if room == "proxy"} == {"scores"}

"""evnas from Python: names that editors see, any way to name an architecture, one-line faults."""

import inspect
import json
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import pytest
import yaml

import evnas
from evnas.arch.catalog import entry

ROOT = Path(__file__).parents[1]
M1 = entry("efficientvim_m1").arch
SWEEP = {
    "name": "counted",
    "base": "efficientvim_m1",
    "rows": {"A": {}, "B": {"head.fusion": "none"}},
    "targets": [],
}


def test_importing_loads_nothing_heavy_and_lists_all_names():
    script = (
        "import sys, evnas\n"
        "heavy = {'torch', 'numpy', 'pandas', 'pydantic', 'yaml', 'typer'} & set(sys.modules)\n"
        "print(sorted(heavy), sorted(set(evnas.__all__) - set(dir(evnas))))\n"
        "evnas.run, evnas.count, evnas.search\n"
        "print('torch' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout == "[] []\nFalse\n", done.stderr


def test_the_types_name_what_run_time_has():
    text = Path(evnas.__file__).read_text()
    typed = {
        line.split(" as ")[1] for line in text.splitlines() if " as " in line and "  " in line
    }
    assert typed == set(evnas.__all__) - {"__version__"}
    for name in typed:
        assert callable(getattr(evnas, name))


def test_search_is_a_room_and_a_function():
    import evnas.search.installed

    room: Any = evnas.search  # type checkers take the module for the function
    assert room.installed.must_be_installed
    assert room.__call__ is evnas.api.search
    assert "objectives" in inspect.signature(evnas.search).parameters


@pytest.mark.parametrize("form", ["name", "alias", "path", "text", "dict", "spec"])
def test_an_architecture_by_any_name(tmp_path, form):
    path = tmp_path / "m1.yaml"
    path.write_text(yaml.safe_dump(M1.to_dict()))
    arch = {
        "name": "efficientvim_m1",
        "alias": "M1",
        "path": path,
        "text": str(path),
        "dict": json.loads(json.dumps(M1.to_dict())),
        "spec": M1,
    }[form]
    model = evnas.build(arch, seed=0)
    assert model.arch == M1
    assert evnas.count(arch, resolution=64).params == sum(p.numel() for p in model.parameters())


def test_what_is_no_architecture_gets_one_sentence():
    with pytest.raises(evnas.EvnasError, match="did you mean 'efficientvim_m2'"):
        evnas.build("efficientvim_m22")
    with pytest.raises(evnas.EvnasError, match="must be a readable YAML file"):
        evnas.count(Path("nope.yaml"))
    with pytest.raises(evnas.EvnasError, match=r"an architecture must be a name, .* got int"):
        evnas.count(cast(Any, 3))
    with pytest.raises(evnas.EvnasError, match=r"a sweep must be a path to YAML, .* got int"):
        evnas.run(cast(Any, 3))
    with pytest.raises(evnas.EvnasError, match="no architecture is named 'm22'"):
        evnas.bench("m1", base="m22")


def test_an_unknown_objective_is_told_with_its_place():
    with pytest.raises(evnas.EvnasError, match=r"objectives.*params_mm"):
        evnas.search(
            space={"stages[*].depth": {"each": [1, 2]}},
            objectives={"params_mm": "min", "macs_g": "min"},
            budget=2,
        )


@pytest.mark.parametrize("form", ["dict", "path", "sweep"])
def test_a_sweep_by_any_name_runs_and_goes_on(tmp_path, form):
    path = tmp_path / "counted.yaml"
    path.write_text(yaml.safe_dump(SWEEP))
    sweep = {"dict": SWEEP, "path": path, "sweep": evnas.load_sweep(path)}[form]
    study = evnas.run(sweep, results=tmp_path, name="other" if form == "dict" else None)
    folder = tmp_path / ("other" if form == "dict" else "counted")
    assert (folder / "report.html").exists()
    assert list(study.frame["label"]) == ["A", "B"]
    if form == "path":
        again = evnas.run(path, results=tmp_path)
        assert len(again.frame) == 2


def test_mypy_sees_the_types_of_a_users_script(tmp_path):
    (tmp_path / "mine.py").write_text(
        "import evnas\n"
        "reveal_type(evnas.count('m1').params)\n"
        "reveal_type(evnas.build('m1'))\n"
        "reveal_type(evnas.run('x.yaml'))\n"
        "reveal_type(evnas.search(space={}, objectives={}, budget=1))\n"
        "evnas.count('m1', 'large')\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--follow-imports=silent",
         f"--cache-dir={tmp_path / 'cache'}", "--ignore-missing-imports", "mine.py"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={"MYPYPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    told = [line for line in done.stdout.splitlines() if line.startswith("mine.py")]
    assert [line.partition("Revealed type is ")[2].strip('"') for line in told[:4]] == [
        "int",
        "torch.nn.modules.module.Module",
        "evnas.report.notebook.study.Study",
        "evnas.report.notebook.study.Study",
    ], done.stdout
    assert 'incompatible type "str"' in told[4]

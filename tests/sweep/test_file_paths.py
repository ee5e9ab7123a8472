"""Relative paths in a sweep's file: beside the file, from wherever it is read."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from evnas.arch.catalog import entry
from evnas.errors import SpecError, StoreError
from evnas.search.state.study import open_study
from evnas.sweep.file_paths import beside, paths_as_now
from evnas.sweep.sweep import load_sweep, sweep_of

M1 = entry("efficientvim_m1").arch
SPACE = {"axes": {"stages[*].depth": {"each": [1, 2]}}}


def write(path, data):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(data))
    return path


def ablation(**more):
    return {"name": "x", "base": "efficientvim_m1", "rows": {"A": {}}, "targets": []} | more


def search(**more):
    goals = {"params_m": "min", "macs_g": "min"}
    found = {"strategy": "random", "objectives": goals, "budget": {"trials": 1}, "space": SPACE}
    return {k: v for k, v in (ablation() | found | more).items() if k != "rows"}


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder with a base, images, a CSV and an earlier front, and another to work in."""
    write(tmp_path / "sweeps" / "mine.yaml", M1.to_dict())
    (tmp_path / "sweeps" / "rows.csv").write_text("stages[*].depth\n1\n")
    (tmp_path / "images").mkdir()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    return tmp_path


def test_every_path_of_a_file_lies_beside_it(project):
    file = project / "sweeps" / "x.yaml"
    data = {"folder": "../images"}
    write(file, search(base="mine.yaml", warm_start=[{"csv": "rows.csv"}], proxy={"data": data},
                       quick={"proxy.data": {"folder": "../images"}}))  # fmt: skip
    spec: Any = load_sweep(file).spec
    assert spec.warm_start[0].csv == str(project / "sweeps" / "rows.csv")
    assert spec.proxy.data.folder == str(project / "images")
    assert spec.base == M1.to_dict()  # read, so that nothing needs the file again
    quick: Any = load_sweep(file, quick=True).spec
    assert quick.proxy.data.folder == str(project / "images")
    write(file, search(strategy={"kind": "one_at_a_time", "base": "mine.yaml"}))
    spec = load_sweep(file).spec
    assert spec.strategy.base == M1.to_dict()  # and knows when it changes


def test_what_is_typed_lies_in_the_working_directory(project):
    file = write(project / "sweeps" / "x.yaml", ablation())
    spec: Any = load_sweep(file, overrides=["proxy={data: {folder: ../images}}"]).spec
    assert spec.proxy.data.folder == str(project / "images")
    assert sweep_of(ablation(base="../sweeps/mine.yaml")).base == M1


def test_home_and_variables_are_replaced(project, monkeypatch):
    monkeypatch.setenv("HOME", str(project))
    file = project / "sweeps" / "x.yaml"
    for folder in ("~/images", "${HOME}/images"):
        write(file, ablation(proxy={"data": {"folder": folder}}))
        spec: Any = load_sweep(file).spec
        assert spec.proxy.data.folder == str(project / "images")
    file.write_text("name: x\nbase: efficientvim_m1\nrows: {A: {}}\n"
                    "proxy: {data: {folder: '${NONE_SUCH}/x'}}\n")  # fmt: skip
    with pytest.raises(SpecError, match=r"x\.yaml:4: proxy\.data\.folder: .* NONE_SUCH is not"):
        load_sweep(file)


def test_what_is_no_path_is_left_to_validation():
    odd = {"base": 3, "proxy": [], "warm_start": [4, {"csv": 5}], "quick": "x", "strategy": None}
    assert beside(odd, Path.cwd()) == odd
    assert beside({"base": "efficientvim_m1"}, Path.cwd())["base"] == "efficientvim_m1"


def test_the_resolved_sweep_means_the_same_from_its_own_folder(project, monkeypatch):
    file = write(project / "sweeps" / "x.yaml", search(base="mine.yaml",
                 warm_start=[{"csv": "rows.csv"}]))  # fmt: skip
    sweep = load_sweep(file)
    open_study(sweep, project / "study", environment={}, fresh=False).close()
    again = load_sweep(project / "study" / "sweep.resolved.yaml")
    assert again.identity() == sweep.identity()


def test_a_base_that_changes_between_two_runs_is_refused(project):
    file = write(project / "sweeps" / "x.yaml", search(base="mine.yaml"))
    open_study(load_sweep(file), project / "study", environment={}, fresh=False).close()
    write(project / "sweeps" / "mine.yaml", entry("efficientvim_m2").arch.to_dict())
    with pytest.raises(StoreError, match=r"holds another sweep .*base\.stages"):
        open_study(load_sweep(file), project / "study", environment={}, fresh=False)


def test_a_study_goes_on_where_its_files_have_moved_or_were_typed_before(project):
    before = json.loads(json.dumps(sweep_of(search()).identity())) | {
        "base": "mine.yaml",
        "warm_start": [{"csv": "sweeps/rows.csv"}],
        "proxy": {"data": {"folder": "images"}},
    }
    now = before | {
        "base": M1.to_dict(),
        "warm_start": [{"csv": "/moved/sweeps/rows.csv"}],
        "proxy": {"data": {"folder": "/moved/images"}},
    }
    assert paths_as_now(before, now) == now
    other = now | {"warm_start": [{"csv": "/moved/sweeps/other.csv"}]}
    assert paths_as_now(before, other) == now | {"warm_start": before["warm_start"]}


@pytest.mark.parametrize(
    "more",
    [{"base": "none.yaml"}, {"proxy": {"data": {"folder": "none"}}}],
    ids=["base", "images"],
)
def test_a_file_that_is_not_there_is_named_with_the_rule(project, more):
    file = write(project / "sweeps" / "x.yaml", ablation(**more))
    with pytest.raises(SpecError, match=r"sweeps/none.* is not there; a relative path lies besi"):
        load_sweep(file)


def test_an_older_study_s_base_of_a_strategy_is_what_the_file_says_now(project):
    file = project / "sweeps" / "x.yaml"
    write(file, search(strategy={"kind": "one_at_a_time", "base": "mine.yaml"}))
    now = load_sweep(file).identity()
    before = {**now, "strategy": {**now["strategy"], "base": "/gone/mine.yaml"}}
    assert paths_as_now(before, now) == now

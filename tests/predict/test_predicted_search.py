"""Searches and tables by predicted top-1: no training, no target, joint dominance, resumed."""

import json
import time
from typing import Any

import in_process
import pytest

from evnas.arch.catalog import entry
from evnas.errors import SpecError
from evnas.phases.base import Goal
from evnas.phases.predict import HIGH, LOW, PREDICTED, PredictTask
from evnas.report.table.study_table import load_table
from evnas.running import run_and_write as running
from evnas.search.prepare import prepared
from evnas.store import Store
from evnas.sweep.candidate import Candidate
from evnas.sweep.sweep import sweep_of

SEARCH = {
    "name": "by_print",
    "base": "efficientvim_m1",
    "space": {"axes": {"stages[*].depth": {"each": [1, 2]}, "head.fusion": ["hidden", "none"]}},
    "strategy": {"kind": "random", "seed": 0},
    "objectives": {PREDICTED: "max", "macs_g": "min"},
    "constraints": [f"{LOW} >= 10"],
    "budget": {"trials": 3},
    "targets": [],
    "proxy": "none",
    "predict": {"seeds": 1, "recipe": "EfficientViM"},
    "engine": {"kind": "local", "workers": 1},
}


def run_and_write(sweep, *, results):
    running(sweep, results=results, fresh=False, began=time.monotonic())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    results = tmp_path_factory.mktemp("results")
    run_and_write(sweep_of(SEARCH), results=results)
    return results / "by_print"


def records(folder):
    with Store.read(folder / "study.db") as store:
        return [record for _, record in store.records()]


def test_a_search_needs_neither_training_nor_target(folder):
    found = [r for r in records(folder) if r.phase == "predict"]
    assert [r.status for r in found] == ["complete"] * 3
    for record in found:
        mid, low, high = (record.values[name] for name in (PREDICTED, LOW, HIGH))
        assert low < mid < high
        assert len(record.details["draws"][PREDICTED]) == 256
        assert record.details["recipe"] == "EfficientViM"
    assert {r.phase for r in records(folder)} == {"count", "predict"}


def test_the_front_has_intervals_and_joint_chances(folder):
    front = json.loads((folder / "front" / "front.json").read_text())
    assert front["members"]
    for member in front["members"]:
        found = member["objectives"][PREDICTED]
        assert found["low"] < found["mid"] < found["high"]
        assert found["from"] == "predict"
        assert 0 <= member["front_probability"] <= 1


def test_an_objective_suffices():
    spec = {k: v for k, v in SEARCH.items() if k != "predict"}
    setting = prepared(sweep_of(spec)).setting
    candidate = Candidate(label="0", arch=entry("m1").arch, published="")
    (work,) = [w for w in setting.works(candidate, Goal()) if w.phase == "predict"]
    task = work.task
    assert isinstance(task, PredictTask)
    assert (task.seeds, task.recipe, task.held_out) == (2, "", ())


def test_an_unknown_recipe_is_one_sentence():
    with pytest.raises(SpecError, match="no recipe is named 'EfficientVim'; did you mean"):
        prepared(sweep_of(SEARCH | {"predict": {"recipe": "EfficientVim"}}))


def test_a_training_with_proxy_none_is_one_sentence(tmp_path):
    file = tmp_path / "bad.yaml"
    file.write_text(json.dumps(SEARCH | {"objectives": {"top1_percent": "max", "macs_g": "min"}}))
    found = in_process.evnas("check", file)
    assert found.returncode == 2
    assert "'top1_percent' needs a training; say proxy: {}" in found.stderr


def test_a_table_holds_its_own_paper_out(tmp_path):
    sweep = {
        "name": "c",
        "base": "efficientvim_m2",
        "published": {"paper": "EfficientViM", "table": "C"},
        "rows": {"A": {}, "H": {"head.fusion": "none"}},
        "targets": [],
        "predict": {"seeds": 1},
        "engine": {"kind": "local", "workers": 1},
    }
    run_and_write(sweep_of(sweep), results=tmp_path)
    for record in records(tmp_path / "c"):
        if record.phase == "predict":
            assert record.details["held_out"] == ["EfficientViM"]
    table = (tmp_path / "c" / "table.md").read_text()
    assert "top-1 predicted (%)" in table
    assert "does not know printed rows of EfficientViM" in table
    assert "cannot tell" in table


def test_the_page_has_the_interval(folder):
    import numpy as np

    from evnas.report.frame.study_reader import StudyReader

    reader = StudyReader(folder)
    reader.follow()
    numbers = reader.columns().numbers
    low, mid, high = (numbers[PREDICTED + end] for end in (":low", "", ":high"))
    assert np.isfinite(mid).sum() == 3
    # bars are 95 % intervals, and the record's ends hold 90 %
    widened = 1.95996 / 1.64485
    assert mid - low == pytest.approx(widened * (mid - numbers[LOW]), rel=1e-4)
    assert high - mid == pytest.approx(widened * (numbers[HIGH] - mid), rel=1e-4)
    members = json.loads((folder / "front" / "front.json").read_text())["members"]
    of_page = {reader.frame.text["label"][i]: (low[i], mid[i], high[i]) for i in range(3)}
    for member in members:
        found = member["objectives"][PREDICTED]
        ends = (found["low"], found["mid"], found["high"])
        assert ends == pytest.approx(of_page[member["trial"]])


def test_one_architecture_at_two_sides_has_two_predictions(tmp_path):
    sweep = {
        "name": "sides",
        "base": "efficientvim_m1",
        "rows": {"224": {}, "384": {"resolution": 384}},
        "targets": [],
        "predict": {"seeds": 1},
        "engine": {"kind": "local", "workers": 1},
    }
    run_and_write(sweep_of(sweep), results=tmp_path)
    found = [r for r in records(tmp_path / "sides") if r.phase == "predict"]
    assert [r.label for r in found] == ["224", "384"]
    small, large = (r.details["inputs"]["macs_exact"] for r in found)
    assert large > 2.5 * small
    assert found[0].values[PREDICTED] != found[1].values[PREDICTED]


def test_the_paper_of_a_search_is_how_it_counts_and_not_what_is_held_out():
    search = SEARCH | {"published": {"paper": "EfficientViM", "table": "C"}}
    assert prepared(sweep_of(search)).setting.paper == ""


def test_a_recipe_that_is_held_out_is_one_sentence():
    sweep = {
        "name": "c",
        "base": "efficientvim_m2",
        "published": {"paper": "EfficientViM", "table": "C"},
        "rows": {"A": {}},
        "targets": [],
        "predict": {"recipe": "EfficientViM"},
    }
    with pytest.raises(SpecError, match="its printed rows are held out"):
        prepared(sweep_of(sweep))


def test_rows_of_other_papers_have_no_difference_to_the_reference(tmp_path):
    """VMamba's row is predicted without VMamba: its draws are of another fit than the base's."""
    sweep = {
        "name": "two_papers",
        "base": "efficientvim_m2",
        "published": {"paper": "EfficientViM", "table": "C"},
        "rows": {"A": {}, "B": {"arch": "vmamba_tiny_s2l5"}, "C": {"timm": "pvt_v2_b0"}},
        "targets": [],
        "predict": {"seeds": 1},
        "engine": {"kind": "local", "workers": 1},
    }
    run_and_write(sweep_of(sweep), results=tmp_path)
    found = {r.label: r for r in records(tmp_path / "two_papers") if r.phase == "predict"}
    assert found["B"].details["held_out"] == ["EfficientViM", "VMamba"]
    # peers are in no fit, so that theirs is the base's
    assert found["C"].details["held_out"] == found["A"].details["held_out"] == ["EfficientViM"]
    table = load_table(tmp_path / "two_papers")
    assert table is not None
    cells: dict[str, Any] = {
        line.label: line.cells["predicted_top1_difference"] for line in table.lines
    }
    assert cells["B"].value is None
    assert cells["B"].verdict.kind == "not comparable"
    assert cells["C"].low < cells["C"].value < cells["C"].high

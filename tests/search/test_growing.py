"""A study grows: more of a sweep goes on where it stands, and what would change its results is
refused."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from paper_engine import PaperEngine, run, search

from evnas.errors import StoreError
from evnas.phases.work import Work
from evnas.report.table.row_records import RowRecords
from evnas.search.state.growth import growth
from evnas.search.state.study import open_study
from evnas.store import Store
from evnas.sweep.sweep import sweep_of

ABLATION: dict[str, Any] = {
    "name": "paper",
    "base": "efficientvim_m1",
    "rows": {"base": {}, "deep": {"stages[0].depth": 3}},
    "targets": [{"device": "cpu", "batch_size": 1}],
    "proxy": {"epochs": 2},
    "seeds": [0],
}
TWO_ROWS = 2


def changed(sweep: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {**sweep, **more}


ROWS = {**ABLATION["rows"], "wide": {"stages[0].dim": 192}}
TARGETS = [*ABLATION["targets"], {"device": "cpu", "batch_size": 2}]
GROWS: dict[str, tuple[dict[str, Any], dict[str, int], str]] = {
    "rows": ({"rows": ROWS}, {"count": 1, "speed": 1, "proxy": 1}, "rows: wide added"),
    "a row before all": (
        {"rows": {"wide": ROWS["wide"], **ABLATION["rows"]}},
        {"count": 1, "speed": 1, "proxy": 1},
        "rows: wide added",
    ),
    "seeds": ({"seeds": [0, 1]}, {"proxy": TWO_ROWS}, "seeds[1]: nothing -> 1"),
    "targets": ({"targets": TARGETS}, {"speed": TWO_ROWS}, "targets: 1 added"),
    "epochs": ({"proxy": {"epochs": 3}}, {"proxy": TWO_ROWS}, "proxy.epochs: 2 -> 3"),
}


def phases(works: list[Work]) -> dict[str, int]:
    found: dict[str, int] = {}
    for work in works:
        found[work.phase] = found.get(work.phase, 0) + 1
    return found


@pytest.mark.parametrize("case", GROWS)
def test_more_of_an_ablation_goes_on_where_it_stands(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    more, work, want = GROWS[case]
    monkeypatch.chdir(tmp_path)
    run(ABLATION, tmp_path, PaperEngine(tmp_path))
    said: list[str] = []
    larger = sweep_of(changed(ABLATION, **more))
    open_study(larger, tmp_path, environment={}, fresh=False, say=said.append).close()
    assert said == [f"the study grows: {want}"]
    assert phases(run(changed(ABLATION, **more), tmp_path, PaperEngine(tmp_path))) == work
    assert run(changed(ABLATION, **more), tmp_path, PaperEngine(tmp_path)) == []
    with Store.read(tmp_path / "study.db") as store:
        assert store.meta("sweep") == larger.spec.to_dict()  # what reports are made from
        (grown,) = store.meta("grown")
        assert grown["more"] == [want] and grown["after_record"] == 6
        rows = RowRecords(larger, [record for _, record in store.records()])
    budgets = {r.budget for row in larger.candidates for r in rows.of(row, "proxy")}
    assert len(budgets) == 1  # shorter trainings stand in no table beside longer ones


HALVES: dict[str, tuple[dict[str, Any], str]] = {
    "proxy": ({"proxy": {"epochs": 2, "halve_batch": True}}, "proxy.halve_batch"),
    "target": ({"targets": [{**ABLATION["targets"][0], "halve_batch": True}]}, "targets[0].halve"),
}


@pytest.mark.parametrize("part", HALVES)
def test_a_study_that_ran_out_of_memory_may_halve_its_batches(
    part: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    more, want = HALVES[part]
    monkeypatch.chdir(tmp_path)
    run(ABLATION, tmp_path, PaperEngine(tmp_path))
    said: list[str] = []
    halves = sweep_of(changed(ABLATION, **more))
    open_study(halves, tmp_path, environment={}, fresh=False, say=said.append).close()
    assert len(said) == 1 and f"the study grows: {want}" in said[0] and said[0].endswith("True")
    assert run(changed(ABLATION, **more), tmp_path, PaperEngine(tmp_path)) == []  # what fitted
    with pytest.raises(StoreError, match="halve_batch: True -> nothing"):
        open_study(sweep_of(ABLATION), tmp_path, environment={}, fresh=False)


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "base": ({"base": "efficientvim_m2"}, "base: 'efficientvim_m1' -> 'efficientvim_m2'"),
    "a row's arch": (
        {"rows": {**ROWS, "deep": {"stages[0].depth": 4}}},
        "rows.deep.stages[0].depth: 3 -> 4",
    ),
    "a row less": ({"rows": {"base": {}}}, "rows.deep.stages[0].depth: 3 -> nothing"),
    "fewer seeds": ({"seeds": [1]}, "seeds[0]: 0 -> 1"),
    "the recipe": ({"proxy": {"epochs": 3, "lr": 0.1}}, "proxy.lr: 0.002 -> 0.1"),
    "fewer epochs": ({"proxy": {"epochs": 1}}, "proxy.epochs: 2 -> 1"),
    "no training": ({"proxy": None}, "proxy.epochs: 2 -> nothing"),
    "another target": (
        {"targets": [{"device": "cpu", "batch_size": 2}, *ABLATION["targets"]]},
        "targets[0].batch_size: 1 -> 2",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_changes_results_is_refused_with_the_difference(case: str, tmp_path: Path) -> None:
    more, want = REFUSED[case]
    open_study(sweep_of(ABLATION), tmp_path, environment={}, fresh=False).close()
    before = (tmp_path / "sweep.resolved.yaml").read_text()
    with pytest.raises(StoreError) as caught:
        open_study(sweep_of(changed(ABLATION, **more)), tmp_path, environment={}, fresh=False)
    assert want in str(caught.value)
    assert "--fresh starts over" in str(caught.value) and "--name NAME" in str(caught.value)
    assert (tmp_path / "sweep.resolved.yaml").read_text() == before
    open_study(sweep_of(ABLATION), tmp_path, environment={}, fresh=False).close()


def test_a_row_that_others_would_be_compared_with_is_refused(tmp_path: Path) -> None:
    rows = {"deep": {"stages[0].depth": 3}}
    small = sweep_of(changed(ABLATION, rows=rows))
    open_study(small, tmp_path, environment={}, fresh=False).close()
    larger = sweep_of(changed(ABLATION, rows={**rows, "base": {}}))
    with pytest.raises(StoreError, match="compared with: 'deep' -> 'base'"):
        open_study(larger, tmp_path, environment={}, fresh=False)


def test_a_first_target_that_counts_at_another_side_is_refused() -> None:
    small = sweep_of(changed(ABLATION, targets=[]))
    identity = json.loads(json.dumps(small.identity()))
    for side, grows in ((224, True), (192, False)):
        target = {"device": "cpu", "batch_size": 1, "resolution": side}
        larger = sweep_of(changed(ABLATION, targets=[target]))
        found = growth(identity, larger, json.loads(json.dumps(larger.identity())))
        assert bool(found.more) is grows is not bool(found.refused)


@pytest.mark.parametrize(
    ("small", "large"),
    [
        ({"trials": 5}, {"trials": 9}),
        ({"minutes": 0.5}, {"minutes": 1.0}),
        ({"device_minutes": 0.2}, {"device_minutes": 0.4}),
        ({"trials": 5}, {"minutes": 1.0}),
    ],
)
def test_a_search_with_more_budget_is_the_longer_search(
    small: dict[str, Any], large: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    whole = run(search(large), tmp_path / "whole", PaperEngine(tmp_path / "whole"))
    folder = tmp_path / "grows"
    first = run(search(small), folder, PaperEngine(folder))
    second = run(search(large), folder, PaperEngine(folder))
    assert 0 < len(first) < len(whole)
    assert [w.key for w in [*first, *second]] == [w.key for w in whole]
    assert run(search(large), folder, PaperEngine(folder)) == []


def test_a_smaller_budget_is_not_called_growth(tmp_path: Path) -> None:
    open_study(sweep_of(search({"trials": 9})), tmp_path, environment={}, fresh=False).close()
    said: list[str] = []
    small = sweep_of(search({"trials": 5}))
    open_study(small, tmp_path, environment={}, fresh=False, say=said.append).close()
    assert said == ["the study changes: budget.trials: 9 -> 5"]


def test_longer_rungs_are_another_schedule(tmp_path: Path) -> None:
    halving = {
        "strategy": "mo_asha",
        "objectives": {"params_m": "min", "top1_percent": "max"},
        "proxy": {"epochs": 9},
    }
    small = sweep_of(search({"trials": 30}, **halving))
    open_study(small, tmp_path, environment={}, fresh=False).close()
    large = sweep_of(search({"trials": 30}, **{**halving, "proxy": {"epochs": 27}}))
    with pytest.raises(StoreError, match=r"proxy\.epochs: 9 -> 27"):
        open_study(large, tmp_path, environment={}, fresh=False)


@pytest.mark.parametrize(
    ("more", "want"),
    [
        ({"constraints": ["params_m <= 9"]}, "constraints[0]"),
        ({"strategy": "grid"}, "strategy.kind: 'random' -> 'grid'"),
        ({"objectives": {"params_m": "max", "macs_g": "min"}}, "objectives[0].goal"),
        ({"space": {"axes": {"stages[0].depth": [1, 2]}}}, "space.axes"),
    ],
)
def test_another_search_is_refused(more: dict[str, Any], want: str, tmp_path: Path) -> None:
    small = sweep_of(search({"trials": 5}))
    open_study(small, tmp_path, environment={}, fresh=False).close()
    with pytest.raises(StoreError) as caught:
        open_study(sweep_of(search({"trials": 9}, **more)), tmp_path, environment={}, fresh=False)
    assert want in str(caught.value) and "budget" not in str(caught.value)


def test_more_seeds_of_a_confirmation_do_not_open_the_search(tmp_path: Path) -> None:
    small = sweep_of(search({"trials": 5}, confirm={"seeds": 2}))
    with open_study(small, tmp_path, environment={}, fresh=False) as store:
        store.note("search", {"ended": "5 trials", "trials": 5})
    larger = sweep_of(search({"trials": 5}, confirm={"seeds": 4}))
    with open_study(larger, tmp_path, environment={}, fresh=False) as store:
        assert store.meta("search")["ended"] == "5 trials"
    with open_study(
        sweep_of(search({"trials": 6}, confirm={"seeds": 4})),
        tmp_path, environment={}, fresh=False,
    ) as store:  # fmt: skip
        assert store.meta("search") is None


def test_a_title_is_free(tmp_path: Path) -> None:
    open_study(sweep_of(ABLATION), tmp_path, environment={}, fresh=False).close()
    titled = sweep_of(changed(ABLATION, title="a better one"))
    with open_study(titled, tmp_path, environment={}, fresh=False, say=sys.exit) as store:
        assert store.meta("sweep")["title"] == "a better one"

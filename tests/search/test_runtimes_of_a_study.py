"""A study goes on with the runtimes and the strategy's version that it began with; a new search
takes the best ones."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_search import tiny_search, write

import evnas
from evnas.errors import StoreError
from evnas.search.bench import bench_target
from evnas.search.state.begun import as_begun, choices, on_this_machine
from evnas.search.state.study import open_study
from evnas.store import Store
from evnas.sweep.search_spec import SearchSpec
from evnas.sweep.sweep import Sweep, load_sweep, sweep_of

CPU = {"device": "cpu", "resolution": 32, "batch_size": 1, "budget_s": 0.1}
ABLATION = {"name": "tiny", "base": "efficientvim_m1", "rows": {"A": {}}}


def search(*targets: dict[str, Any], **changes: Any) -> Sweep:
    return sweep_of(tiny_search() | {"targets": [CPU | target for target in targets]} | changes)


def rows(*targets: dict[str, Any]) -> Sweep:
    return sweep_of(ABLATION | {"targets": [CPU | target for target in targets]})


def ids(sweep: Sweep) -> list[str]:
    return [target.spelt().id for target in sweep.spec.targets]


def begin(sweep: Sweep, folder: Path) -> Path:
    open_study(sweep, folder, environment={}, fresh=False).close()
    return folder / "study.db"


GRAPH = "cuda0-cuda_graph-32-b1-float32-deployed"
BEST = "cpu-best-32-b1-float32-deployed"
TORCH = "cpu-torch-32-b1-float32"


def test_only_a_searchs_target_that_names_no_runtime_means_the_best() -> None:
    assert ids(search({})) == [BEST]
    assert ids(search({"runtime": "torch"})) == ids(rows({})) == [TORCH]
    assert ids(search({"mode": "training"})) == [f"{TORCH}-train"]
    assert ids(search({"form": "plain"})) == ["cpu-best-32-b1-float32"]
    weighed = search({}, objectives={"peak_mib": "min", "latency_ms": "min"})
    assert ids(weighed) == [TORCH]  # which an exporter's memory is not known of
    (usual,) = search(targets=[{}]).spec.targets
    assert (usual.runtime, usual.form) == ("best", "deployed")
    said_nothing = {k: v for k, v in tiny_search().items() if k != "targets"}
    assert sweep_of(said_nothing).spec.targets == (usual,)


@pytest.mark.parametrize(
    ("old", "new", "goes_on_as"),
    [
        (search({"runtime": "torch", "form": "plain"}), search({}), TORCH),
        (
            rows({"runtime": "onnx", "form": "plain"}),
            rows({"runtime": "onnx"}),
            "cpu-onnx-32-b1-float32",
        ),
        (search({}), search({}), BEST),
        (
            rows({"device": "cuda", "form": "deployed", "runtime": "torch"}),
            rows({"device": "cuda", "form": "deployed"}),
            "cuda0-torch-32-b1-float32-deployed",
        ),
    ],
)
def test_a_study_goes_on_with_what_it_began_with(
    old: Sweep, new: Sweep, goes_on_as: str, tmp_path: Path
) -> None:
    path = begin(old, tmp_path)
    now, notes = as_begun(new, path)
    assert ids(now) == [goes_on_as]
    assert len(notes) == (ids(new) != [goes_on_as])
    assert all("as the study began; a new study" in note for note in notes)
    begin(now, tmp_path)  # not refused


def test_what_a_file_says_stands(tmp_path: Path) -> None:
    path = begin(search({"runtime": "torch"}), tmp_path)
    said, notes = as_begun(search({"runtime": "best"}), path)
    assert (ids(said), notes) == ([BEST], [])
    with pytest.raises(StoreError, match=r"targets\[0\].runtime: 'torch' -> 'best'"):
        begin(said, tmp_path)
    fresh, notes = as_begun(search({}), tmp_path / "elsewhere.db")
    assert (ids(fresh), notes) == ([BEST], [])


def test_a_deployed_form_on_a_gpu_is_a_graph_unless_a_runtime_is_named() -> None:
    on = {"device": "cuda", "form": "deployed"}
    assert ids(rows(on)) == [GRAPH]
    assert ids(rows(on | {"runtime": "torch"})) == ["cuda0-torch-32-b1-float32-deployed"]
    assert ids(rows({"device": "cuda"})) == ["cuda0-torch-32-b1-float32"]
    assert ids(rows({"form": "deployed"})) == [f"{TORCH}-deployed"]
    weighed = search(on, objectives={"peak_mib": "min", "latency_ms": "min"})
    assert (ids(weighed), ids(search(on))) == ([GRAPH], [GRAPH.replace("cuda_graph", "best")])
    again = sweep_of(rows(on).spec.to_dict())
    assert again.identity() == rows(on).identity()


@pytest.mark.parametrize(
    ("device", "overrides", "runtime"),
    [
        ("cuda", ["device=cpu"], "torch"),
        ("cuda", ["form=plain"], "torch"),
        ("cuda", ["form=plain", "mode=training"], "torch"),
        ("cpu", ["device=cuda"], "cuda_graph"),
        ("auto", ["device=cuda"], "cuda_graph"),
        ("cuda", ["runtime=torch", "batch_size=2"], "torch"),
        ("auto", ["runtime=torch", "device=cuda"], "torch"),
    ],
)
@pytest.mark.parametrize("changes", [{}, {"name": "other"}, {"quick": True}])
def test_an_override_of_device_or_form_is_read_as_if_the_file_said_it(
    device: str, overrides: list[str], runtime: str, changes: dict[str, Any], tmp_path: Path
) -> None:
    file = tmp_path / "sweep.yaml"
    file.write_text(json.dumps(ABLATION | {"targets": [{"device": device, "form": "deployed"}]}))
    said = [f"targets[0].{text}" for text in overrides]
    (target,) = load_sweep(file, overrides=said, **changes).spec.targets
    assert target.runtime == runtime


@pytest.mark.parametrize("named", ["targets[*].runtime=torch", "targets[0].runtime=torch"])
def test_a_runtime_that_an_override_names_stands(
    named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    file = tmp_path / "sweep.yaml"
    file.write_text(json.dumps(ABLATION | {"targets": [{"device": "auto", "form": "deployed"}]}))
    path = begin(on_this_machine(load_sweep(file)), tmp_path)
    sweep = on_this_machine(load_sweep(file, overrides=[named]))
    assert as_begun(sweep, path) == (sweep, [])
    assert sweep.spec.targets[0].runtime == "torch"


def test_auto_is_a_graph_where_it_means_a_gpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_ = {"device": "auto", "form": "deployed"}
    path = begin(rows(open_), tmp_path)
    assert on_this_machine(rows(open_)).identity() == rows(open_).identity()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    here = on_this_machine(rows(open_))
    assert here.spec.targets[0].runtime == "cuda_graph"
    for said in ({"runtime": "torch"}, {"form": "plain"}, {"mode": "training", "form": "plain"}):
        assert on_this_machine(rows(open_ | said)).spec.targets[0].runtime == "torch"
    (best,) = on_this_machine(search({"device": "auto"})).spec.targets
    assert (best.runtime, best.form) == ("best", "deployed")
    now, (note,) = as_begun(here, path)
    assert now.spec.targets[0].runtime == "torch"
    assert "goes on with runtime torch" in note and "would take runtime cuda_graph" in note
    benched = {"device": "auto", "form": "deployed"}
    assert bench_target(benched).spelt().parts[:2] == ("cuda0", "cuda_graph")
    assert bench_target(benched | {"runtime": "torch"}).runtime == "torch"


def test_a_study_from_before_its_strategy_had_versions_goes_on_with_the_first(
    tmp_path: Path,
) -> None:
    new = search({}, strategy="evolution")
    identity = json.loads(json.dumps(new.identity()))
    del identity["strategy"]["version"]
    path = tmp_path / "study.db"
    Store.create(path, sweep=new.spec.to_dict(), environment={}, identity=identity).close()
    now, (note,) = as_begun(new, path)
    assert isinstance(now.spec, SearchSpec)
    assert now.spec.strategy.model_dump()["version"] == 1
    assert "strategy evolution goes on in version 1" in note and "version 2" in note
    begin(now, tmp_path)  # not refused
    asked, notes = as_begun(
        search({}, strategy={"kind": "evolution", "version": 2, "seed": 0}), path
    )
    assert notes == []
    with pytest.raises(StoreError, match=r"strategy.version: 1 -> 2"):
        begin(asked, tmp_path)


@pytest.mark.parametrize("named", ["strategy.version=2", "strategy={kind: evolution, version: 2}"])
def test_a_version_that_an_override_names_stands(named: str, tmp_path: Path) -> None:
    file = write(tmp_path / "sweep.yaml", tiny_search())
    path = begin(load_sweep(file, overrides=["strategy.version=1"]), tmp_path)
    asked, notes = as_begun(load_sweep(file, overrides=[named]), path)
    assert notes == []
    with pytest.raises(StoreError, match=r"strategy.version: 1 -> 2"):
        begin(asked, tmp_path)
    usual, notes = as_begun(load_sweep(file), path)
    assert len(notes) == 1
    begin(usual, tmp_path)  # not refused


def test_what_is_chosen_among_is_that_of_the_beginning(tmp_path: Path) -> None:
    path = begin(search({}), tmp_path)
    with Store.append_to(path) as store:
        assert choices(store, ["torch", "onnx"], {"torch": "2.14"}) == (("torch", "onnx"), [])
        again = choices(store, ["torch", "onnx"], {"torch": "2.14"})
        assert again == (("torch", "onnx"), [])
        among, (joined,) = choices(store, ["torch", "onnx", "openvino"], {"torch": "2.14"})
        assert among == ("torch", "onnx")
        assert "openvino would join in a new study" in joined
        _, (newer, gone) = choices(store, ["torch"], {"torch": "2.15"})
        assert newer.startswith("torch was 2.14 when the study began and is 2.15")
        assert "chose among onnx too" in gone


def test_a_search_says_which_runtime_it_took(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    sweep = search({}, proxy=None, objectives={"params_m": "min", "latency_ms": "min"})
    sweep = sweep_of(sweep.spec.to_dict() | {"budget": {"trials": 2}, "strategy": "random"})
    study = evnas.run(sweep, results=tmp_path)
    with Store.read(tmp_path / "tiny" / "study.db") as store:
        speeds = [record for _, record in store.records() if record.phase == "speed"]
        noted = store.meta("runtimes")
    assert len(speeds) == 2 == len(study.frame)
    assert noted["among"] == ["torch", "onnx", "openvino"]
    for record in speeds:
        assert (record.status, record.target) == ("complete", BEST)
        ran = record.details["conditions"]["runtime"]
        assert ran["name"] in noted["among"]
        assert set(ran["best"]["survey_ms"]) == set(noted["among"])
        kept = not ran["best"].get("survey_disturbed")
    assert len(list((tmp_path / "cache").rglob("*.json"))) == kept

"""A search settled on this machine: what it refuses, and what it asks an engine to do."""

from pathlib import Path

import pytest
import yaml
from paper_setting import targets_called

from evnas.arch.catalog import entry
from evnas.arch.paths import diff, edit
from evnas.errors import SpecError, StoreError
from evnas.phases.base import Need
from evnas.phases.proxy import ProxyTask
from evnas.phases.speed import SpeedTask
from evnas.search.preflight import checked
from evnas.search.prepare import PreparedSearch, prepared
from evnas.search.state.begun import as_begun
from evnas.search.state.history import History
from evnas.search.state.objectives import resolved_objectives
from evnas.search.state.study import open_study
from evnas.store import Store
from evnas.sweep.candidate import Candidate
from evnas.sweep.strategy_spec import ONCE_COMMON
from evnas.sweep.sweep import sweep_of


def session(**changes: object) -> PreparedSearch:
    found = prepared(
        sweep_of(
            {
                "name": "small",
                "base": "efficientvim_m1",
                "space": {"axes": {"stages[*].depth": {"each": [1, 2, 3]}}},
                "strategy": {"kind": "mo_asha"},
                "objectives": {"params_m": "min", "top1_percent": "max"},
                "budget": {"trials": 9},
                "targets": [{"device": "cpu", "batch_size": 1}],
                "proxy": {"epochs": 9, "images_per_epoch": 320},
                **changes,
            }
        ),
        checkpoints=Path("kept"),
    )
    assert isinstance(found, PreparedSearch)
    return found


def training(found: PreparedSearch, budget: float) -> ProxyTask:
    assert found.space is not None
    candidate = Candidate(label="3", arch=found.space.base, published="")
    task = found.setting.work(candidate, "proxy", Need(budget=budget)).task
    assert isinstance(task, ProxyTask)
    return task


def test_rungs_share_one_schedule_and_one_checkpoint():
    found = session()
    tasks = [training(found, budget) for budget in (320.0, 960.0, 2880.0)]
    assert [w.until_epoch for w in tasks] == [1, 3, None]
    assert {w.proxy["epochs"] for w in tasks} == {9}
    assert {Path(w.checkpoint).name for w in tasks} == {f"{found.space.base.digest}-seed0.pt"}


def test_other_strategies_keep_no_checkpoint():
    found = session(strategy={"kind": "random"})
    work = training(found, 2880.0)
    assert (work.until_epoch, work.checkpoint) == (None, "")


def test_rungs_that_break_an_epoch_are_refused():
    with pytest.raises(SpecError, match="a rung must be whole epochs of 320"):
        session(proxy={"epochs": 4, "images_per_epoch": 320})
    with pytest.raises(SpecError, match="a rung must be whole epochs of 320"):
        session(strategy={"kind": "mo_asha", "rungs": [500.0, 2880.0]})


def test_an_objective_that_training_gives_needs_a_proxy():
    with pytest.raises(SpecError, match=r"needs a training; say proxy: \{\}"):
        session(proxy=None)


def test_an_ablation_takes_no_warm_start():
    with pytest.raises(SpecError, match="one_at_a_time proposes its own rows") as caught:
        session(strategy="one_at_a_time", warm_start=[{"published": True}])
    assert caught.value.path == "warm_start"


def test_a_winner_is_ablated_from_its_file(tmp_path):
    winner = edit(entry("efficientvim_m1").arch, {"stages[1].depth": 3})
    file = tmp_path / "17.arch.yaml"
    file.write_text(yaml.safe_dump(winner.to_dict()))
    strategy = {"kind": "one_at_a_time", "base": str(file), "replicates": 2}
    found = session(strategy=strategy)
    history = History(objectives=found.spec.objectives, full_budget=found.full_budget)
    first, second = found.schedule(history).strategy.propose(history, 2)
    assert (first.arch, first.origin, first.seeds) == (winner, "base", (0, 1))
    assert second.arch is not None and len(diff(winner, second.arch)) == 1


def test_an_objective_may_be_the_throughput_of_a_training():
    forward, step = "cpu-torch-224-b2-float32", "cpu-torch-224-b2-float32-train"
    both = {"device": "cpu", "runtime": "torch", "batch_size": 2}
    found = session(
        strategy={"kind": "random"},
        targets=[both, both | {"mode": "training"}],
        objectives={f"throughput_img_s@{step}": "max", f"throughput_img_s@{forward}": "max"},
        constraints=["latency_ms@train < 100"],
    )
    metrics = [
        o.metric for o in resolved_objectives(found.spec.objectives, targets_called(forward, step))
    ]
    assert metrics == [f"throughput_img_s@{step}", f"throughput_img_s@{forward}"]
    candidate = Candidate(label="1", arch=found.space.base, published="")
    work = found.setting.work(candidate, "speed", Need(target=step))
    assert isinstance(work.task, SpeedTask)
    assert (work.target, work.task.target["mode"]) == (step, "training")
    with pytest.raises(SpecError, match="names several targets"):
        session(
            targets=[both, both | {"mode": "training"}],
            objectives={"params_m": "min", "latency_ms": "min"},
        )


def test_a_study_from_when_strategies_shared_their_knobs_goes_on(tmp_path):
    """Its identity holds every knob at its default, and a name that has changed."""
    for kind, before in (("evolution", "evolution"), ("one_at_a_time", "ablation")):
        sweep = session(strategy=kind).sweep
        folder = tmp_path / kind
        identity = sweep.identity() | {"strategy": {"kind": before, "seed": 0, **ONCE_COMMON}}
        Store.create(
            folder / "study.db", sweep=sweep.spec.to_dict(), environment={}, identity=identity
        ).close()
        now, _ = as_begun(sweep, folder / "study.db")
        open_study(now, folder, environment={}, fresh=False).close()
        other, _ = as_begun(session(strategy={"kind": kind, "seed": 3}).sweep, folder / "study.db")
        with pytest.raises(StoreError, match=r"strategy\.seed: 0 -> 3"):
            open_study(other, folder, environment={}, fresh=False)


def test_a_study_from_before_measurements_ended_by_themselves_goes_on(tmp_path):
    """Its identity spells the budget that was usual, and nothing of an interval."""
    cpu = {"device": "cpu", "batch_size": 1}
    new = session(targets=[cpu]).sweep
    (target,) = new.identity()["targets"]
    assert target["budget_s"] == 8.0 and "uncertainty_percent" not in target
    identity = new.identity()
    Store.create(
        tmp_path / "study.db", sweep=new.spec.to_dict(), environment={}, identity=identity
    ).close()
    for more in ({"budget_s": 8}, {"uncertainty_percent": 1}, {"uncertainty_percent": None}):
        same = session(targets=[cpu | more]).sweep
        open_study(same, tmp_path, environment={}, fresh=False).close()
    with pytest.raises(StoreError, match="budget_s"):
        open_study(
            session(targets=[cpu | {"budget_s": 3}]).sweep, tmp_path, environment={}, fresh=False
        )


def test_a_command_is_a_target_by_its_name_and_its_program_is_looked_for():
    board = {"kind": "command", "name": "board", "command": "no-such-program {model} {batch}"}
    found = session(
        strategy="random",
        targets=[board],
        objectives={"latency_ms@board": "min", "params_m": "min"},
        constraints=["latency_ms@board <= 90"],
    )
    candidate = Candidate(label="1", arch=found.space.base, published="")
    ((name, on),) = found.setting.targets_of(candidate).items()
    assert name == "board-command-224-b1-float32-deployed"
    assert on.command is not None and on.command["timeout_s"] == 60.0
    work = found.setting.work(candidate, "speed", Need(target=name))
    assert work.task.device == "cpu"  # whose worker reaches the board
    (note,) = (note for note in checked(found.sweep) if "program" in note)
    assert note == "targets[0].command: the program 'no-such-program' is not found here"


def test_a_search_times_for_less_than_a_table_and_in_the_same_batches():
    found = session(targets=[{"device": "cpu"}])
    candidate = Candidate(label="1", arch=found.space.base, published="")
    (on,) = found.setting.targets_of(candidate).values()
    assert (on.budget_s, on.uncertainty_percent) == (2.5, 2.0)
    spelt = session(targets=[{"device": "cpu", "budget_s": 8, "uncertainty_percent": None}])
    (same,) = spelt.setting.targets_of(candidate).values()
    assert (same.budget_s, same.uncertainty_percent) == (8.0, None)
    assert same.fields == on.fields

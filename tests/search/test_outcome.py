"""Confirmation and the files of a front, from closed-form records."""

import json
from pathlib import Path

import pytest
import yaml
from inline_engine import InlineEngine
from paper_setting import asking, make_work

from evnas.arch.catalog import entry
from evnas.arch.paths import edit
from evnas.arch.spec import ArchSpec
from evnas.phases.work import Work
from evnas.record import Measurement, Record
from evnas.search.confirm import Confirm, final_front
from evnas.search.driver import Ask, drive
from evnas.search.results.front_files import write_front
from evnas.search.state.history import History
from evnas.space.space import SearchSpace
from evnas.space.spec import SpaceSpec
from evnas.store import Store
from evnas.sweep.search_spec import ObjectiveSpec
from evnas.sweep.sweep import load_sweep, sweep_of

M1 = entry("m1").arch
SPACE = SearchSpace.from_spec(SpaceSpec.model_validate({"axes": {"stages[0].depth": [1, 2]}}), M1)
SWEEP = sweep_of(
    {
        "name": "x",
        "base": "m1",
        "space": {"axes": {"stages[0].depth": [1, 2]}},
        "strategy": "random",
        "objectives": {"throughput_img_s": "max", "top1_percent": "max"},
        "budget": {"trials": 4},
        "proxy": {"data": "fashion-mnist-12k", "epochs": 3},
    }
)
FOUND = {  # label -> images/s, top-1 by seed
    "0": (100.0, [70.0, 70.2, 69.8]),
    "1": (130.0, [66.0, 66.1, 65.9]),
    "2": (131.0, [68.0, 60.0, 60.4]),  # lucky once: confirmation takes it off the front
    "3": (90.0, [65.0]),
}


def ask(label: str, phase: str, seed: int) -> Ask:
    arch = edit(M1, {"stages[0].depth": 2 + int(label)})
    return asking(label, arch, phase, seed=seed, budget=10.0)


def found_by(work: Work) -> Record:
    speed, top1 = FOUND[work.label]
    found: dict[str, object] = {"values": {"params": 5e6, "macs_exact": 2e8}}
    if work.phase == "speed":
        samples = tuple(speed * (1 + i / 500) for i in range(-3, 4))
        found = {
            "values": {"throughput_img_s": speed},
            "measurements": {"throughput_img_s": Measurement("throughput_img_s", samples)},
        }
    elif work.phase == "proxy":
        found = {"values": {"top1_percent": top1[work.seed]}}
    return work.record("complete", started=0.0, seconds=1.0, found=found)


@pytest.fixture
def history() -> History:
    wanted = ("throughput_img_s@cpu", "top1_percent")
    found = History(
        objectives=tuple(ObjectiveSpec(metric=m, goal="max") for m in wanted), full_budget=10.0
    )
    for label in FOUND:
        arch = edit(M1, {"stages[0].depth": 2 + int(label)})
        for phase, budget, target in (
            ("count", 0.0, ""),
            ("speed", 0, "cpu"),
            ("proxy", 10.0, ""),
        ):
            asked = asking(label, arch, phase, budget=budget, target=target)
            found.take(found_by(make_work(asked)))
    return found


def test_confirmation_repeats_until_the_front_stands(history: History, tmp_path: Path) -> None:
    assert final_front(history) == ["2", "0"]
    engine = InlineEngine(found_by)
    with Store.create(tmp_path / "study.db", sweep={}, environment={}) as store:
        drive(Confirm(history, 3, 10.0), store, engine, make_work=make_work)
        assert store.last_id() == len(engine.asked)
    # 2 fell by its further seeds, 1 came up in its place and was confirmed too; 3 never was
    assert {(w.label, w.phase, w.seed) for w in engine.asked} == {
        (label, phase, seed) for label in "012" for phase in ("speed", "proxy") for seed in (1, 2)
    }
    assert final_front(history) == ["2", "1", "0"]
    assert history.trials["2"].value("top1_percent") == pytest.approx((68 + 60 + 60.4) / 3)


def test_the_front_is_written_with_all_that_it_takes(history: History, tmp_path: Path) -> None:
    write_front(history, tmp_path / "front", space=SPACE, sweep=SWEEP, records=[])
    found = json.loads((tmp_path / "front" / "front.json").read_text())
    fast, good = found["members"]
    assert (fast["trial"], good["trial"]) == ("2", "0")
    assert good["nearest_published"] == "efficientvim_m1" and good["diff_to_base"] == []
    assert fast["diff_to_base"] == ["stages[0].depth: 2 -> 4"]
    speed = fast["objectives"]["throughput_img_s@cpu"]
    assert speed["low"] < 131 < speed["high"] and speed["goal"] == "max"
    assert good["front_probability"] > 0.99 and good["tied_with"] == []
    arch = yaml.safe_load((tmp_path / "front" / "2.arch.yaml").read_text())
    assert ArchSpec.from_dict(arch).digest == fast["digest"]
    (why,) = [r for r in found["not_on_front"]["3"]["dominated_by"] if r["trial"] == "0"]
    assert why["margins"] == pytest.approx([10.0, 5.0]) and why["probability"] == 1.0
    assert found["not_on_front"]["1"]["dominated_by"][0]["trial"] == "2"


def test_a_member_has_its_curves_and_its_measurements_with_intervals(
    history: History, tmp_path: Path
) -> None:
    records = [
        make_work(ask(label, "proxy", seed)).record(
            "complete",
            started=0.0,
            seconds=1.0,
            found={"curve": ({"epoch": 1.0, "loss": 2.0}, {"epoch": 2.0, "loss": 1.0 + seed})},
        )
        for label, seed in (("0", 0), ("0", 1), ("3", 0))
    ]
    write_front(history, tmp_path, space=SPACE, sweep=SWEEP, records=records)
    lines = (tmp_path / "0.curves.csv").read_text().splitlines()
    assert lines[0] == "seed,budget,epoch,loss" and len(lines) == 5
    assert lines[-1] == "1.0,10.0,2.0,2.0"
    assert not (tmp_path / "3.curves.csv").exists()  # not a member
    member = yaml.safe_load((tmp_path / "0.yaml").read_text())
    speed = member["measurements"]["throughput_img_s@cpu"]
    assert speed["low"] < speed["mid"] == 100.0 < speed["high"] and speed["samples"] == 7


def test_the_command_of_a_member_sweeps_all_members_beside_the_base(
    history: History, tmp_path: Path
) -> None:
    folder = tmp_path / "front"
    write_front(history, folder, space=SPACE, sweep=SWEEP, records=[])
    member = yaml.safe_load((folder / "0.yaml").read_text())
    command, file = member["again"].rsplit(" ", 1)
    assert command == "evnas sweep"
    again = load_sweep(Path(file))
    assert again.reference.label == "base" and again.base == SWEEP.base
    rows = {c.label: c.digest for c in again.candidates}
    assert rows == {"base": M1.digest} | {x: history.trials[x].digest for x in ("2", "0")}
    assert again.spec.seeds == (0,) and again.spec.proxy == SWEEP.spec.proxy
    assert again.spec.targets == SWEEP.spec.targets

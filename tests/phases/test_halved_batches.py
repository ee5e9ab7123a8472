"""A batch that does not fit is halved until it does, and the record says so."""

from dataclasses import asdict
from typing import Any

import pytest

from evnas.arch.catalog import entry
from evnas.errors import SpecError
from evnas.measure.target import Target
from evnas.measure.timing import speed as timing
from evnas.measure.timing.protocol import OutOfMemory
from evnas.phases import speed
from evnas.phases.speed import SpeedTask
from evnas.phases.work import Work
from evnas.record import Measurement, Record
from evnas.search.evaluate import Evaluator, silent
from evnas.sweep.parts import TargetSpec
from evnas.sweep.sweep import load_sweep, sweep_of

ARCH = entry("efficientvim_m1").arch.to_dict()
SEARCH = {
    "name": "s",
    "base": "efficientvim_m1",
    "space": {"axes": {"stages[0].depth": [1, 2]}},
    "strategy": {"kind": "random"},
    "objectives": {"params_m": "min", "latency_ms": "min"},
    "budget": {"trials": 2},
    "targets": [{"device": "cpu", "halve_batch": True}],
}


@pytest.fixture
def largest(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What fits, to be set; nothing is built or timed."""
    holds: dict[str, Any] = {"batch": 4, "tried": []}

    def ready(
        arch: Any, task: SpeedTask, target: Target, workshop: Any, device_lock: Any
    ) -> Target:
        return target

    def measured(subject: Target, base: Any, **_: Any) -> timing.Speed:
        assert base is None or base == subject  # one batch for both
        batch = int(subject.batch_size)
        holds["tried"].append(batch)
        if batch > holds["batch"]:
            raise OutOfMemory(f"out of memory: {batch} images")
        found = {
            name: Measurement(name, (1.0, 1.1), {"batch_size": batch})
            for name in ("latency_ms", "throughput_img_s")
        }
        return timing.Speed(found, 7.0, {"warnings": [], "runtime": {}}, {}, None)

    monkeypatch.setattr(speed, "ready_model", ready)
    monkeypatch.setattr(timing, "measure_speed", measured)
    return holds


def work_of(
    *, mode: str = "inference", halve: bool = True, base: bool = False, side: int = 32
) -> Work:
    target = Target(device="cpu", batch_size=16, resolution=side, mode=mode)  # type: ignore[arg-type]
    task = SpeedTask(
        target=asdict(target),
        budget_s=0.1,
        halve_batch=halve,
        reference=ARCH if base else None,
    )
    return Work(label="x", digest="d", arch=ARCH, phase="speed", target=target.id, task=task)


def timed(*, mode: str = "inference", halve: bool = True, base: bool = False) -> Record:
    return Evaluator().run(work_of(mode=mode, halve=halve, base=base), silent).record


@pytest.mark.parametrize("base", [False, True], ids=["alone", "beside the base"])
def test_it_is_halved_until_it_fits(largest: dict[str, Any], base: bool) -> None:
    record = timed(base=base)
    assert record.status == "complete"
    assert largest["tried"] == [16, 8, 4]
    assert record.measurements["latency_ms"].conditions["batch_size"] == 4
    assert record.details["batch_halved"] == {
        "asked": 16,
        "timed": 4,
        "refused": {"16": "out of memory: 16 images", "8": "out of memory: 8 images"},
    }
    assert record.target == "cpu-torch-32-b16-float32"  # the work that was asked for


def test_what_fits_is_not_halved(largest: dict[str, Any]) -> None:
    largest["batch"] = 16
    assert "batch_halved" not in timed().details
    assert largest["tried"] == [16]


def test_one_image_that_does_not_fit_is_out_of_memory(largest: dict[str, Any]) -> None:
    largest["batch"] = 0
    record = timed()
    assert (record.status, record.error) == ("oom", "out of memory: 1 images")
    assert largest["tried"] == [16, 8, 4, 2, 1]


def test_a_training_step_has_two_images_at_least(largest: dict[str, Any]) -> None:
    largest["batch"] = 0
    assert timed(mode="training").status == "oom"
    assert largest["tried"] == [16, 8, 4, 2]


def test_unless_it_is_asked_for_nothing_is_halved(largest: dict[str, Any]) -> None:
    assert timed(halve=False).status == "oom"
    assert largest["tried"] == [16]


def test_other_errors_end_it_at_once(
    largest: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any, **__: Any) -> None:
        raise RuntimeError("no such operator")

    monkeypatch.setattr(timing, "measure_speed", fails)
    assert timed().status == "failed"


def test_the_reference_of_another_batch_makes_room_first(
    largest: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    held = []

    def ready(
        arch: Any, task: SpeedTask, target: Target, workshop: Any, device_lock: Any
    ) -> Target:
        held.append(dict(workshop._kept))
        return target

    monkeypatch.setattr(speed, "ready_model", ready)
    evaluator = Evaluator()
    for side in (32, 64):
        evaluator.run(work_of(side=side, base=True), silent)
    subject, reference = held[-2:]
    assert subject == reference == {}


def test_a_study_without_it_is_the_one_that_it_was() -> None:
    assert "halve_batch" not in TargetSpec(device="cpu").identity()
    assert TargetSpec(device="cpu", halve_batch=True).identity()["halve_batch"] is True


def test_a_search_compares_at_one_batch() -> None:
    with pytest.raises(SpecError, match=r"targets\[0\].halve_batch.*at one batch"):
        sweep_of(SEARCH)
    targets = [{"device": "cpu", "halve_batch": False}]
    assert sweep_of(SEARCH | {"targets": targets}).spec.targets[0].halve_batch is False


def test_a_command_s_batch_is_its_own(tmp_path: Any) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(
        "name: x\nbase: efficientvim_m1\nrows: {A: {}}\ntargets:\n"
        "- {kind: command, name: phone, command: 'run {model}', halve_batch: true}\n"
    )
    with pytest.raises(SpecError, match="halve_batch is the command's own affair"):
        load_sweep(path)

"""`runtime: best` on made-up runtimes with an injected clock, and once for real."""

import itertools
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from evnas.errors import MeasurementError
from evnas.measure.best import TOLERANCE, Survey, family_of, surveyed, taken
from evnas.measure.ranking import considered, must_run, ranked
from evnas.measure.target import Target
from evnas.measure.timing.device_lock import DeviceLock
from evnas.measure.timing.protocol import OutOfMemory
from evnas.measure.timing.speed import TimedModel

BEST = Target(
    device="cpu", runtime="best", resolution=32, batch_size=1, precision="float32", form="deployed"
)


class Clock:
    """Calls take as long as they say."""

    def __init__(self) -> None:
        self.s = 0.0

    def now(self) -> float:
        return self.s

    def time(self, call: Callable[[], object], repeats: int) -> float:
        start = self.s
        for _ in range(repeats):
            call()
        return self.s - start


class Watch:
    """What is said to have disturbed."""

    def __init__(self, disturbed: str = "") -> None:
        self.disturbed = disturbed

    def read(self) -> dict[str, float]:
        return {}

    def spoiled(self, before: Mapping[str, float], after: Mapping[str, float]) -> str:
        return self.disturbed


class Machine:
    """Runtimes by how long their calls take, in seconds, or why they refuse."""

    def __init__(self, **runtimes: float | MeasurementError) -> None:
        self.runtimes = runtimes
        self.clock = Clock()
        self.prepared: list[str] = []

    def prepare(self, target: Target) -> TimedModel:
        """One call of each runtime in twelve is disturbed, and takes ten times as long."""
        self.prepared.append(target.runtime)
        takes = self.runtimes[target.runtime]
        if isinstance(takes, MeasurementError):
            raise takes

        calls = itertools.count(1)

        def call() -> None:
            self.clock.s += takes * (10 if next(calls) % 12 == 0 else 1)

        return TimedModel(nn.Identity(), torch.zeros(1), call, target, {"threads": 1})


def survey(**times: float) -> Survey:
    places = [{"runtime": n, "latency_ms": ms} for n, ms in times.items()]
    return Survey(tuple(sorted(places, key=lambda p: p["latency_ms"])))


def take(machine: Machine, seen: Survey, folder: Path) -> TimedModel:
    lock = DeviceLock("cpu", folder)
    return taken(seen, BEST, machine.prepare, device_lock=lock, stopwatch=machine.clock)


def seen_by(machine: Machine, folder: Path, **more: Any) -> Survey:
    lock = DeviceLock("cpu", folder)
    return surveyed(
        "hsm_ssd",
        more.pop("target", BEST),
        machine.prepare,
        among=("torch", "onnx", "openvino"),
        folder=folder,
        device_lock=lock,
        stopwatch=machine.clock,
        watch=more.pop("watch", Watch()),
    )


def test_places_are_by_their_times_and_those_refused_come_last() -> None:
    machine = Machine(torch=0.03, onnx=MeasurementError("no such operator"), openvino=0.01)
    targets = [Target(device="cpu", runtime=name) for name in machine.runtimes]
    places = ranked(targets, machine.prepare, stopwatch=machine.clock, clock=machine.clock.now)
    assert [place.runtime for place in places] == ["openvino", "torch", "onnx"]
    assert [place.latency_ms for place in places[:2]] == pytest.approx([10.0, 30.0])
    assert places[2].to_dict()["refused"] == "no such operator"


def test_a_model_that_no_runtime_runs_is_an_error_with_all_reasons() -> None:
    machine = Machine(torch=MeasurementError("too odd"), onnx=MeasurementError("no form"))
    targets = [Target(device="cpu", runtime=name) for name in machine.runtimes]
    with pytest.raises(MeasurementError, match="torch: too odd; onnx: no form") as caught:
        must_run(ranked(targets, machine.prepare, stopwatch=machine.clock))
    assert not isinstance(caught.value, OutOfMemory)
    machine.runtimes["torch"] = OutOfMemory("2 GiB more")
    with pytest.raises(OutOfMemory):
        must_run(ranked(targets, machine.prepare, stopwatch=machine.clock))


def test_a_family_is_surveyed_once_a_target(tmp_path: Path) -> None:
    machine = Machine(torch=0.03, onnx=0.02, openvino=0.01)
    first = seen_by(machine, tmp_path)
    assert first.order == ("openvino", "onnx", "torch")
    slower = Machine(torch=0.01, onnx=0.02, openvino=0.03)
    assert seen_by(slower, tmp_path) == first
    assert not slower.prepared
    other = Target(device="cpu", runtime="best", resolution=64, batch_size=1, form="deployed")
    assert seen_by(slower, tmp_path, target=other).order == ("torch", "onnx", "openvino")


@pytest.mark.parametrize("package", ["evnas", "torch", "onnxruntime", "openvino"])
def test_another_version_of_what_a_runtime_needs_is_surveyed_again(
    package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Machine(torch=0.03, onnx=0.02, openvino=0.01)
    seen_by(machine, tmp_path)
    before = len(machine.prepared)
    known = metadata.version
    monkeypatch.setattr(metadata, "version", lambda n: "9.9" if n == package else known(n))
    seen_by(machine, tmp_path)
    assert len(machine.prepared) == 2 * before


def test_a_broken_cache_is_measured_again(tmp_path: Path) -> None:
    machine = Machine(torch=0.03, onnx=0.02, openvino=0.01)
    first = seen_by(machine, tmp_path)
    (file,) = tmp_path.glob("*.json")
    file.write_text('{"places": ')
    assert seen_by(machine, tmp_path) == first


def test_a_disturbed_survey_is_used_and_not_kept(tmp_path: Path) -> None:
    machine = Machine(torch=0.03, onnx=0.02, openvino=0.01)
    survey = seen_by(machine, tmp_path, watch=Watch("foreign load of 60% of the CPU"))
    assert not list(tmp_path.glob("*.json"))
    timed = take(machine, survey, tmp_path)
    assert timed.facts["best"]["survey_disturbed"] == "foreign load of 60% of the CPU"
    assert seen_by(machine, tmp_path).disturbed == ""


def test_of_a_shortlist_of_one_nothing_is_timed(tmp_path: Path) -> None:
    machine = Machine(torch=0.01, onnx=0.02, openvino=0.03)
    timed = take(machine, survey(openvino=1.0, onnx=1.0 + 1.1 * TOLERANCE, torch=9.0), tmp_path)
    assert (timed.runtime, timed.target, machine.prepared) == ("openvino", BEST, ["openvino"])
    assert machine.clock.s == 0


def test_those_near_the_fastest_are_tried_on_each_candidate(tmp_path: Path) -> None:
    machine = Machine(torch=0.01, onnx=0.02, openvino=0.03)
    seen = survey(openvino=1.0, onnx=1.0 + 0.9 * TOLERANCE, torch=9.0)
    timed = take(machine, seen, tmp_path)
    assert timed.runtime == "onnx"
    chosen = timed.facts["best"]
    assert chosen["tried_ms"] == pytest.approx({"onnx": 20.0, "openvino": 30.0})
    assert chosen["survey_ms"] == pytest.approx({"openvino": 1.0, "onnx": 1.09, "torch": 9.0})
    assert chosen["tolerance"] == TOLERANCE


@pytest.mark.parametrize("near", [1.05, 3.0])
def test_what_cannot_run_a_candidate_makes_way_for_the_next(near: float, tmp_path: Path) -> None:
    """Refused as the only one of the shortlist, or all of them."""
    no = MeasurementError("no operator aten::sort")
    machine = Machine(torch=0.01, onnx=no, openvino=no)
    timed = take(machine, survey(openvino=1.0, onnx=near, torch=9.0), tmp_path)
    assert timed.runtime == "torch"
    assert timed.facts["best"]["refused"] == {"openvino": str(no), "onnx": str(no)}


def test_what_nothing_runs_is_refused(tmp_path: Path) -> None:
    no = MeasurementError("no operator aten::sort")
    with pytest.raises(MeasurementError, match="aten::sort"):
        take(Machine(torch=no, openvino=no), survey(openvino=1.0, torch=9.0), tmp_path)
    with pytest.raises(MeasurementError, match="aten::sort"):
        take(Machine(torch=no, openvino=no), survey(openvino=1.0, torch=1.01), tmp_path)


def test_families_are_told_apart_by_their_mixers() -> None:
    def arch(*kinds: str | None) -> Mapping[str, Any]:
        return {"stages": [{"mixer": kind and {"kind": kind}} for kind in kinds]}

    assert family_of(arch("hsm_ssd", "hsm_ssd", "sa")) == family_of(arch("sa", "hsm_ssd"))
    assert family_of(arch("ss2d")) != family_of(arch("es2d"))
    assert family_of(arch(None)) == "no mixer"
    assert family_of({"timm": "resnet18"}) == "timm:resnet18"


def test_only_what_is_here_is_considered() -> None:
    assert considered("cpu") == ("torch", "onnx", "openvino")
    assert "cuda_graph" in considered("cuda:0")

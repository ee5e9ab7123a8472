"""`evnas bench` of several models on several targets, with made-up speeds and a made-up clock."""

import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from tiny_training import tiny_arch
from typer.testing import CliRunner

from evnas.arch.catalog import entry
from evnas.cli import app
from evnas.commands.bench_figure import svg_of
from evnas.commands.bench_models import models_of
from evnas.commands.bench_table import text_of
from evnas.commands.bench_targets import target_fields
from evnas.errors import MeasurementError, SpecError
from evnas.measure import best
from evnas.measure.stopwatch import CpuStopwatch
from evnas.measure.timing.named_protocols import PROTOCOLS, how_far, time_as
from evnas.phases.work import Finished, Work
from evnas.record import Measurement, Record
from evnas.search.bench import bench_target
from evnas.search.bench_grid import BenchGrid, batches_of, grid_of, widened
from evnas.search.evaluate import Evaluator
from evnas.stats.interval import Interval
from evnas.store import Store
from evnas.sweep.parts import TargetSpec

MODELS = {"m1": {"timm": "a"}, "m2": {"timm": "b"}}
CPU = TargetSpec(device="cpu", batch_size=1)
AGAIN = [{"why": "foreign load of 83% of the CPU", "samples_ms": [1.0]}] * 2


class MadeUp(Evaluator):
    """Speeds by model and batch; what is no number is how it ended."""

    def __init__(
        self,
        latency_ms: Callable[[str, int], float | str],
        *,
        spread: tuple[float, ...] = (-1, -0.5, 0, 0.5, 1),
    ) -> None:
        super().__init__()
        self.latency_ms = latency_ms
        self.spread = spread
        """Of the samples, in percent."""
        self.asked: list[Work] = []

    def run(self, work: Work, on_progress: object) -> Finished:
        if work.phase == "count":
            found = {"values": {"macs_exact": 1e8}}
            return Finished(work, work.record("complete", started=0, seconds=0, found=found))
        self.asked.append(work)
        task: Any = work.task
        batch = task.target["batch_size"]
        latency = self.latency_ms(work.arch["timm"], batch)
        if isinstance(latency, str):
            return Finished(work, work.record("oom", error="no room", started=0, seconds=0))
        conditions = {"ended": "30 rounds", "warnings": [], "retaken": AGAIN, "batch_size": batch}
        samples = {"latency_ms": latency, "throughput_img_s": 1e3 * batch / latency}
        if task.reference is not None:
            samples["throughput_ratio"] = 0.5
        measured = {
            name: Measurement(name, tuple(x * (1 + p / 100) for p in self.spread), conditions)
            for name, x in samples.items()
        }
        more: dict[str, Any] = {
            "values": {"peak_mib": 7.0},
            "measurements": measured,
            "details": {"conditions": conditions},
        }
        return Finished(work, work.record("complete", started=0, seconds=0, found=more))


def test_each_is_timed_in_alternation_with_the_first_and_named_in_the_answer():
    engine = MadeUp(lambda name, batch: 10.0 if name == "a" else 20.0)
    specs = widened(
        [CPU, CPU.model_copy(update={"form": "deployed"})], batches=(1, 4), resolutions=()
    )
    grid = grid_of(MODELS, specs, evaluator=engine)
    assert [(row.name, row.target) for row in grid.rows[:4]] == [
        ("m1", "cpu-torch-224-b1-float32"),
        ("m2", "cpu-torch-224-b1-float32"),
        ("m1", "cpu-torch-224-b4-float32"),
        ("m2", "cpu-torch-224-b4-float32"),
    ]
    assert len(grid.rows) == 8
    tasks: list[Any] = [work.task for work in engine.asked]
    assert [task.reference for task in tasks[:2]] == [None, MODELS["m1"]]
    data = json.loads(json.dumps(grid.to_dict()))
    assert data["ratio_of_throughputs_to"] == "m1"
    assert [r["ratio_of_throughputs_to"] for r in data["rows"][:2]] == ["", "m1"]
    text = text_of(data)
    assert "images/s over m1's" in text
    assert "what spoiled them: foreign load (4)" in text
    assert "m2       20.00 [19.80, 20.20]" in text and "0.5000 [0.4950, 0.5050]" in text


def test_without_the_first_the_others_are_timed_alone():
    engine = MadeUp(lambda name, batch: "oom" if name == "a" else 20.0)
    grid = grid_of(MODELS, [CPU], evaluator=engine)
    task: Any = engine.asked[1].task
    assert task.reference is None
    text = text_of(grid.to_dict())
    assert "oom" in text and "no room" in text and "over m1's" not in text


def test_a_target_that_is_not_here_is_refused_before_any_is_measured():
    engine = MadeUp(lambda name, batch: 10.0)
    absent = TargetSpec(device="cuda:63", batch_size=1)
    with pytest.raises(MeasurementError):
        grid_of(MODELS, [CPU, absent], evaluator=engine)
    assert engine.asked == []


def test_who_listens_hears_each_row_and_how_many_are_missing():
    engine = MadeUp(lambda name, batch: 10.0 if batch < 4 else 100.0)
    heard: list[tuple[int, int, str]] = []

    def hear(grid: BenchGrid) -> None:
        data = grid.to_dict()
        heard.append((len(data["rows"]), data["missing"], text_of(data)))

    grid_of(MODELS, [CPU], evaluator=engine, heard=hear)
    assert [row[:2] for row in heard] == [(0, 2), (1, 1), (2, 0)]
    assert "1 missing" in heard[1][2] and "missing" not in heard[2][2]
    heard.clear()
    batches_of(MODELS, [CPU], evaluator=engine, heard=hear)
    assert [row[:2] for row in heard] == [
        *((0, 2), (1, 2), (2, 2), (3, 2), (3, 1)),
        *((4, 1), (5, 1), (6, 1), (6, 0)),
    ]


@pytest.mark.parametrize(
    ("latency_ms", "batches", "reason"),
    [
        (lambda name, b: 10.0 + b, [2**i for i in range(13)], "batch 4096 is the largest"),
        (lambda name, b: 10.0 + b**2, [1, 2, 4, 8], "batch 8 is slower than the best before it"),
        (lambda name, b: "oom" if b > 2 else 10.0, [1, 2, 4], "batch 4 ended oom: no room"),
    ],
)
def test_batches_double_until_throughput_falls_or_memory_ends(latency_ms, batches, reason):
    found = batches_of({"m1": MODELS["m1"]}, [CPU], evaluator=MadeUp(latency_ms))
    assert [row.batch for row in found.rows] == batches
    assert reason in found.ended["m1 on cpu-torch-224-float32"]
    text = text_of(found.to_dict())
    assert reason in text and "most images a second at batch" in text


@pytest.mark.parametrize("spread", [(0,), (-1, 0, 1)])
def test_one_slower_batch_of_few_rounds_may_be_chance(spread):
    engine = MadeUp(lambda name, b: {4: 30.0}.get(b, 10.0 + max(0, b - 16) ** 2), spread=spread)
    found = batches_of({"m1": MODELS["m1"]}, [CPU], evaluator=engine)
    assert [row.batch for row in found.rows] == [1, 2, 4, 8, 16, 32, 64]
    (reason,) = found.ended.values()
    assert reason == "batches 32 and 64 are slower than the best before them"


def test_the_figure_is_svg_with_each_model_in_it():
    engine = MadeUp(lambda name, batch: 10.0 + batch)
    for specs in ([CPU], widened([CPU], batches=(1, 4), resolutions=())):
        drawn = ET.fromstring(svg_of(grid_of(MODELS, specs, evaluator=engine).to_dict()))
        words = [element.text for element in drawn.iter() if element.text]
        assert {"m1", "m2"} <= set(words)
    broken = grid_of({"<m1>": MODELS["m1"]}, [CPU], evaluator=engine)
    ET.fromstring(svg_of(broken.to_dict()))


def test_a_batch_that_was_halved_is_told_and_drawn_where_it_was_timed():
    engine = MadeUp(lambda name, batch: 10.0)
    grid = grid_of({"m1": MODELS["m1"]}, widened([CPU], batches=(64,), resolutions=()),
                   evaluator=engine)  # fmt: skip
    (row,) = grid.rows
    halved = {"batch_halved": {"asked": 64, "timed": 16, "refused": {}}}
    details = {**row.record.details, **halved}
    grid.rows[0] = replace(row, record=replace(row.record, details=details))
    data = grid.to_dict()
    assert (data["rows"][0]["batch_size"], data["rows"][0]["batch_timed"]) == (64, 16)
    assert "m1: timed at batch 16, since more did not fit into memory" in text_of(data)
    assert "at batch 16" in svg_of(data)


def test_energy_has_a_column_where_it_is_counted():
    grid = grid_of(MODELS, [CPU], evaluator=MadeUp(lambda name, batch: 10.0))
    assert "mJ" not in text_of(grid.to_dict())
    row = grid.rows[1]
    values = {**row.record.values, "energy_mj_per_image": 12.5}
    grid.rows[1] = replace(row, record=replace(row.record, values=values))
    text = text_of(grid.to_dict())
    assert "mJ/image" in text and "12.5" in text


def test_a_figure_is_a_file_which_is_said_before_anything_is_measured(tmp_path):
    (tmp_path / "s.svg").mkdir()
    said = CliRunner().invoke(app, ["bench", "m1", "--figure", str(tmp_path / "s.svg")])
    assert isinstance(said.exception, SpecError) and "s.svg: must be a file" in str(said.exception)


def test_the_command_measures_and_draws(tmp_path):
    drawn = tmp_path / "speeds.svg"
    said = CliRunner().invoke(
        app,
        [
            *("bench", "m1", "m1", "--target", "device=cpu,batch_size=1,resolution=32"),
            *("--budget-s", "0.1", "--json", "--figure", str(drawn), "--protocol", "paper/vmamba"),
        ],
    )
    assert said.exit_code == 0, said.output
    data = json.loads(said.stdout.strip().rpartition("\n")[2])
    assert [row["name"] for row in data["rows"]] == ["m1", "m1 (2)"]
    assert data["rows"][1]["measurements"]["throughput_ratio"]["samples"]
    assert data["rows"][0]["named_protocols"][0].startswith("paper/vmamba: ")
    assert ET.parse(drawn).getroot().tag.endswith("svg")


def test_protocols_are_set_beside_what_best_took_and_beside_int8(tmp_path, monkeypatch):
    pytest.importorskip("onnxruntime")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(best, "considered", lambda device: ("onnx",))
    shape = {"device": "cpu", "batch_size": 1, "resolution": 32, "budget_s": 0.1}
    specs = [TargetSpec(runtime=name, **shape) for name in ("best", "onnx_int8")]
    models = {"m1": tiny_arch().to_dict()}
    grid = grid_of(models, specs, protocols=["paper/vmamba"])
    assert [row.record.status for row in grid.rows] == ["complete", "complete"], grid
    for row in grid.rows:
        assert "of ours" in row.beside[0], row.beside
    of_best, of_int8 = text_of(grid.to_dict()).split("\n\n")
    assert re.search(r"^m1 +onnx  ", of_best, re.M), of_best
    assert "runtime" not in of_int8


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", {"runtime": "torch", "budget_s": 1, "uncertainty_percent": 2}),
        ("onnx", {"runtime": "onnx", "budget_s": 1, "uncertainty_percent": 2}),
        ("cpu", {"runtime": "torch", "device": "cpu", "budget_s": 1, "uncertainty_percent": 2}),
        (
            "runtime=compile,batch_size=4,budget_s=2.5",
            {"runtime": "compile", "batch_size": 4, "budget_s": 2.5, "uncertainty_percent": 2},
        ),
    ],
)
def test_targets_are_told_in_short(text, found):
    usual = {"runtime": "torch", "budget_s": 1, "uncertainty_percent": 2}
    assert target_fields(text, usual) == found


def test_a_target_may_be_a_file(tmp_path):
    file = tmp_path / "phone.yaml"
    file.write_text('kind: command\nname: phone\ncommand: "run {model}"\n')
    usual = {"runtime": "torch", "device": "auto", "budget_s": 8, "uncertainty_percent": 2}
    TargetSpec.model_validate(target_fields(str(file), usual))
    assert bench_target(target_fields(str(file), usual | {"form": "plain"})).form == "plain"
    with pytest.raises(SpecError, match="mode is the command's own affair"):
        bench_target(target_fields(str(file), usual | {"mode": "training"}))
    wrong = {str(tmp_path / "no.yaml"): "readable", "a=1,b": "KEY=VALUE", "onxx": "mean 'onnx'"}
    for text, reason in wrong.items():
        with pytest.raises(SpecError, match=reason):
            target_fields(text, usual)
    file.write_text("- kind: command\n")
    with pytest.raises(SpecError, match="must hold the keys of one target, got list"):
        target_fields(str(file), usual)


def test_models_of_a_study_are_named_by_it(tmp_path):
    arch = entry("m1").arch.to_dict()
    with Store.create(tmp_path / "study.db", sweep={}, environment={}) as store:
        store.append(Record(label="17", digest="d", arch=arch, phase="count", status="complete"))
    found = models_of(["m1", f"{tmp_path}:17", "timm:resnet18", "m1"])
    assert list(found) == ["m1", f"{tmp_path}:17", "timm:resnet18", "m1 (2)"]
    assert found[f"{tmp_path}:17"] == arch and found["timm:resnet18"] == {"timm": "resnet18"}
    with pytest.raises(SpecError, match=r"'knee'; --from .* --pick knee is how to ask for it"):
        models_of([f"{tmp_path}:knee"])
    with pytest.raises(SpecError, match="no trial or row 'zz'; it has 17"):
        models_of([f"{tmp_path}:zz"])
    with pytest.raises(SpecError, match="no trial or row '18'"):
        models_of([f"{tmp_path}:18"])
    with pytest.raises(SpecError, match="has no front"):
        models_of([f"{tmp_path}:front"])


def test_the_front_of_a_study_is_that_of_its_records(tmp_path):
    goals = [{"metric": "params_m", "goal": "min"}, {"metric": "macs_g", "goal": "min"}]
    arch = entry("m1").arch.to_dict()
    with Store.create(tmp_path / "study.db", sweep={"objectives": goals}, environment={}) as store:
        for label, params in (("17", 5e6), ("18", 6e6)):
            store.append(
                Record(label=label, digest=label, arch=arch, phase="count", status="complete",
                       values={"params": params, "macs_exact": 2e8})
            )  # fmt: skip
    assert models_of([f"{tmp_path}:front"]) == {f"{tmp_path}:17": arch}


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("name", "calls", "timed", "throughput"),
    [
        ("timm", 50, 40, 8 / 0.3),  # each tenth of its 40 calls takes two seconds more
        ("paper/vmamba", 80, 30, 8 / 0.3),
        ("paper/efficientvim", None, None, None),
    ],
)
def test_named_protocols_warm_up_and_mean_as_theirs_do(name, calls, timed, throughput):
    clock, done = Clock(), []

    def call() -> None:
        done.append(clock.now)
        clock.now += 2.1 if len(done) % 10 == 0 else 0.1

    theirs = time_as(name, call, images=8, stopwatch=CpuStopwatch(clock))
    if calls is None:
        assert 70 <= clock.now < 75 and 60 <= theirs.seconds < 63
        return
    assert (len(done), theirs.calls) == (calls, timed)
    assert theirs.throughput_img_s == pytest.approx(throughput)
    far = how_far(theirs, Interval(78, 80, 82), images=8)
    assert "-66.7% of ours, outside our interval [78, 80]" in far[0].replace("82", "80")
    if PROTOCOLS[name].waits_each:
        assert "-66.7% by its mean in place of the median, +0.0% by its warm-up" in far[1]
    else:
        assert "cannot be distinguished" in far[1]
    assert not any("beside them" in line for line in far)
    raised = how_far(theirs, Interval(78, 80, 82), images=8, before_others=True)
    assert raised[:2] == far[:2] and "theirs beside them" in raised[2]

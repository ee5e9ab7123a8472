"""`evnas calibrate` and `evnas lut export`: what they print, and a user's mistakes."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from made_up_device import MadeUpDevice
from typer.testing import CliRunner

from evnas.cli import app
from evnas.commands.calibrate import calibration_text
from evnas.commands.latency_targets import asked_target, space_of, target_spec
from evnas.errors import EvnasError
from evnas.latency import measuring, report
from evnas.latency.design import design_of
from evnas.latency.report import calibrated

SWEEPS = Path(__file__).parents[2] / "sweeps"
SEARCH = SWEEPS / "search_cpu.yaml"


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> MadeUpDevice:
    """In the place of this machine, with a cache of its own."""
    made_up = MadeUpDevice(noise=0.01)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(report, "TargetMeasurer", lambda target, device_lock: made_up)
    return made_up


def said(*arguments: str) -> Any:
    """What a command prints; its mistake is raised."""
    return CliRunner().invoke(app, list(arguments), catch_exceptions=False)


def test_what_is_calibrated_runs_as_what_is_benched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    for fields in ("device=auto,form=deployed", "device=cuda,form=deployed"):
        assert target_spec(fields).runtime == "cuda_graph"
    assert target_spec("device=auto,form=deployed,runtime=torch").runtime == "torch"


def test_calibrate_measures_once_and_the_table_can_be_exported(
    device: MadeUpDevice, tmp_path: Path
) -> None:
    command = ("calibrate", str(SEARCH), "--target", "torch", "--json")
    found = json.loads(said(*command).stdout)
    assert found["target"] == "cpu-torch-224-b8-float32"
    assert found["measured"] == len(device.asked) == found["parts"] + found["networks"]
    assert found["cross_validated"]["both"]["mean_error_percent"] < 3
    again = json.loads(said(*command).stdout)
    assert (again["measured"], again["id"]) == (0, found["id"])
    assert "both: the predictor" in calibration_text(again)

    sheet = tmp_path / "lut.csv"
    assert "latencies of" in said("lut", "export", str(sheet), "--target", "torch").stdout
    with sheet.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == found["measured"]
    blocks = [row for row in rows if row["kind"] == "block"]
    assert all(float(row["latency_ms"]) > 0 for row in blocks)
    assert {json.loads(row["numbers"])["side"] for row in blocks} == {14, 7, 4}
    said("lut", "export", str(tmp_path / "lut.json"), "--target", "torch")
    whole = json.loads((tmp_path / "lut.json").read_text())
    assert whole["of"]["runtime"] == "torch"
    assert len(whole["entries"]) == len(rows)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ("calibrate", str(SEARCH), "--target", "best"),
            "name one, such as --target runtime=openvino",
        ),
        (
            ("calibrate", str(SEARCH), "--target", "runtime=torch,mode=training"),
            "times parts of models in",
        ),
        (("calibrate", str(SWEEPS / "table_c.yaml")), "must have a space; this is an ablation"),
        (("calibrate", str(SEARCH), "--target", "opnvino"), "did you mean 'openvino'"),
        (("lut", "export", "lut.xls"), "must end in .csv or .json, got '.xls'"),
        (("lut", "export", "lut.csv"), "nothing was measured yet on device cpu"),
        (("lut", "export", "/nowhere/lut.csv"), "nothing was measured yet on device cpu"),
    ],
)
def test_a_mistake_is_a_sentence(
    arguments: tuple[str, ...], sentence: str, device: MadeUpDevice
) -> None:
    with pytest.raises(EvnasError, match=sentence):
        said(*arguments)


def test_the_searchs_own_target_is_what_is_calibrated() -> None:
    sweep, _ = space_of(SEARCH)
    own = asked_target(sweep, "runtime=torch", batch_size=None, resolution=None)
    assert (own.runtime, own.batch_size, own.form) == ("torch", 8, "plain")
    other = asked_target(sweep, "openvino", batch_size=1, resolution=96)
    assert (other.runtime, other.batch_size, other.resolution) == ("openvino", 1, 96)
    assert other.form == "deployed"


@pytest.mark.parametrize("runtime", ["torch", "openvino"])
def test_this_machine_times_a_part_and_a_network(
    runtime: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("openvino")
    monkeypatch.setattr(measuring, "ANCHOR_SIDE", 64)
    sweep, space = space_of(SEARCH)
    spec = asked_target(sweep, f"runtime={runtime},form=deployed", batch_size=2, resolution=64)
    target = report.settled_target(sweep, spec)
    measurer = measuring.TargetMeasurer(target)
    design = design_of(space, sweep.base, 64)
    network = measurer.network(design.networks[0])
    parts = [measurer.part(part) for part in design.parts[:5]]
    assert not any(timed.refused for timed in (network, *parts))
    assert {part.kind for part in design.parts[:5]} == {"stem", "block", "downsample"}
    assert network.latency_ms is not None and network.macs is not None
    assert all(0 < (timed.latency_ms or 0) < 10 * network.latency_ms for timed in parts)
    assert network.macs > 1e6


def test_too_little_time_is_said_with_the_command_that_goes_on(
    device: MadeUpDevice, tmp_path: Path
) -> None:
    sweep, space = space_of(SEARCH)
    spec = asked_target(sweep, "torch", batch_size=None, resolution=None)
    with pytest.raises(EvnasError, match=r"needs 12 networks .*the same command goes on"):
        calibrated(sweep, space, spec, minutes=0, measurer=device, folder=tmp_path)

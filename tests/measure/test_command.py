"""Targets by a command: one that answers, and those that hang, fail, print nonsense or lie."""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from evnas.errors import MeasurementError, SpecError
from evnas.measure.command.answer import read_answer
from evnas.measure.command.process import output_of
from evnas.measure.command.speed import CommandTarget, ModelFile, measure_by_command
from evnas.measure.timing.device_lock import DeviceLock
from evnas.measure.timing.ending import EndRule
from evnas.measure.timing.protocol import Protocol
from evnas.sweep.parts import TargetSpec
from evnas.sweep.sweep import sweep_of

BOARD = Path(__file__).with_name("fake_board.py")
SHORT = Protocol(budget_s=10.0, most_rounds=3)


def board(how: str, **more: Any) -> CommandTarget:
    command = f"{sys.executable} -S {BOARD} {how} {{model}} {{batch}}"
    return CommandTarget(name="board", command=command, **more)


def measured(how: str, tmp_path: Path, *, batch: int = 1, base: bool = False, **more: object):
    model = ModelFile(b"onnx", batch, 32)
    return measure_by_command(
        model,
        ModelFile(b"onnx of the base", batch, 32) if base else None,
        board(how, **more),
        protocol=SHORT,
        one_image=lambda: ModelFile(b"onnx", 1, 32),
        device_lock=DeviceLock("command-board", tmp_path),
    )


def test_latencies_come_in_as_samples(tmp_path):
    found = measured("honest", tmp_path, batch=8)
    assert found.measurements["latency_ms"].samples == (4.0, 4.0, 4.0)
    assert found.measurements["throughput_img_s"].median == pytest.approx(2000)
    conditions = found.conditions
    assert (conditions["device_said"], conditions["batch_said"]) == ("a board", 8)
    assert conditions["ended"] == "3 rounds" and conditions["warnings"] == []
    assert conditions["outputs_checked"] is False


def test_a_base_is_timed_in_alternation_and_numbers_are_enough(tmp_path):
    found = measured("numbers", tmp_path, batch=8, base=True, parse="numbers")
    assert found.measurements["throughput_ratio"].samples == (1.0,) * 3
    assert found.conditions["warnings"] == []


def test_it_ends_as_soon_as_the_interval_is_narrow(tmp_path):
    protocol = Protocol(budget_s=60.0, end=EndRule(uncertainty_fraction=0.02))
    found = measure_by_command(
        ModelFile(b"onnx", 1, 32),
        None,
        board("honest"),
        protocol=protocol,
        device_lock=DeviceLock("command-board", tmp_path),
    )
    assert found.conditions["ended"] == "latency_ms within 2 %"


def must_be_gone(pid: int) -> None:
    for _ in range(100):  # its new parent takes a moment to bury it
        status = Path(f"/proc/{pid}/stat")
        if not status.exists() or status.read_text().split()[2] == "Z":
            return
        time.sleep(0.05)
    os.kill(pid, 9)
    raise AssertionError("what the command started outlived it")


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("lies", "says that it took batches of 1, asked for were 8"),
        ("microseconds", r"latencies of 700 s together and ran for .* milliseconds"),
        ("nonsense", r"must print latencies in milliseconds.*'Segmentation fault, sorry 4'"),
        ("nothing", "got nothing"),
        ("fails", "ended with code 1: no such delegate"),
        ("unreachable", "ended with code 255: ssh: connect to host board"),
        ("crashes", "was ended by signal 6"),
        ("floods", "printed more than 1024 KiB"),
    ],
)
def test_a_command_that_does_not_do_its_part_is_refused(how, reason, tmp_path):
    with pytest.raises(MeasurementError, match=reason):
        measured(how, tmp_path, batch=8)


def test_a_batch_that_takes_no_longer_than_an_image_is_doubted(tmp_path):
    (warning,) = measured("per_image", tmp_path, batch=8).conditions["warnings"]
    assert warning.startswith("a batch of 8 took 1.00 times as long as one image")
    assert measured("per_image", tmp_path, batch=2).conditions["warnings"] == []  # cannot tell


def test_one_that_hangs_is_killed_with_its_children(tmp_path, monkeypatch):
    child = tmp_path / "child"
    monkeypatch.setenv("CHILD_FILE", str(child))
    start = time.perf_counter()
    with pytest.raises(MeasurementError, match=r"did not end within 1\.5 s and was killed"):
        measured("hangs", tmp_path, timeout_s=1.5)
    assert time.perf_counter() - start < 10
    must_be_gone(int(child.read_text()))


def test_one_whose_asker_is_killed_dies_too_and_leaves_its_lane(tmp_path):
    child, script = tmp_path / "child", tmp_path / "ask.py"
    script.write_text(
        "from evnas.measure.command.process import output_of\n"
        "from evnas.measure.timing.device_lock import DeviceLock\n"
        "with DeviceLock('command-board').measuring():\n"
        f"    output_of([{sys.executable!r}, '-S', {str(BOARD)!r}, 'hangs', {str(script)!r}, '1'],"
        " timeout_s=60)\n"
    )
    seen = os.environ | {"CHILD_FILE": str(child), "XDG_RUNTIME_DIR": str(tmp_path)}
    asker = subprocess.Popen([sys.executable, str(script)], env=seen, cwd=BOARD.parents[2])
    for _ in range(600):
        if child.exists() and child.read_text():
            break
        time.sleep(0.05)
    asker.kill()
    asker.wait()
    must_be_gone(int(child.read_text()))
    with DeviceLock("command-board", tmp_path / "evnas").measuring(timeout_s=1):
        pass


def test_its_lane_is_its_own(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    with DeviceLock("cpu").measuring():  # a measurement on this machine is no hindrance
        measure_by_command(ModelFile(b"onnx", 1, 32), None, board("honest"), protocol=SHORT)
    lane = DeviceLock("command-board")
    assert (lane.folder / "command-board.lane").exists()
    late = CommandTarget(name="board", command="no-such-program {model}")
    with lane.measuring(), pytest.raises(MeasurementError, match="held command-board for more"):
        measure_by_command(
            ModelFile(b"onnx", 1, 32), None, late, protocol=SHORT, device_lock_timeout_s=0.1
        )


def test_a_program_that_is_not_there_is_named():
    with pytest.raises(
        MeasurementError, match="'no-such-program' cannot be started: it must be a"
    ):
        output_of(["no-such-program"], timeout_s=1)


@pytest.mark.parametrize(
    ("text", "parse", "found"),
    [
        ("1 2\n3,4", "numbers", (1.0, 2.0, 3.0, 4.0)),
        ("[1, 2.5]", "json", (1.0, 2.5)),
        ("7", "json", (7.0,)),
        ('log\n{"latency_ms": 3}\n', "json", (3.0,)),
    ],
)
def test_what_is_read(text, parse, found):
    assert read_answer(text, parse).latencies_ms == found


@pytest.mark.parametrize(
    ("text", "parse"),
    [
        *((text, "json") for text in ("", "[]", "[0]", "[-1]", "[true]", "[NaN]", "[1e999]")),
        *((text, "json") for text in ('{"ms": 3}', '{"latency_ms": "3"}', "12.1 ms", "null")),
        *((text, "json") for text in ('{"latency_ms": 3, "batch": "8"}', "[1] done")),
        *((text, "numbers") for text in ("", "12 ms", "nan", "0", "inf", "-3 4")),
    ],
)
def test_what_is_no_latency_is_refused(text, parse):
    with pytest.raises(MeasurementError, match="command"):
        read_answer(text, parse)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"command": "x {model}"}, "needs a name for its device"),
        ({"name": "cpu", "command": "x {model}"}, "must tell it from this machine's devices"),
        ({"name": "phone"}, "must hold {model}"),
        ({"name": "phone", "command": "x {model} {threads}"}, r"{resolution}, got {threads}"),
        ({"name": "phone", "command": "x '{model}"}, "No closing quotation"),
        ({"name": "phone", "command": "x {model}", "runtime": "onnx"}, "runtime is the command's"),
        ({"name": "phone", "command": "x {model}", "device": "cpu"}, "device is the command's"),
        ({"kind": "runtime", "command": "x {model}"}, "command is of a target of kind: command"),
    ],
)
def test_a_target_that_is_not_whole_is_refused(fields, reason):
    with pytest.raises(ValidationError, match=reason):
        TargetSpec.model_validate({"kind": "command", **fields})


def test_a_command_has_a_name_of_its_own_and_older_targets_keep_theirs():
    spec = TargetSpec.model_validate({"kind": "command", "name": "phone", "command": "x {model}"})
    assert spec.spelt().id == "phone-command-224-b1-float32-deployed"
    assert {"phone", "phone-command"} <= spec.spelt().names and spec.is_settled
    assert spec.identity()["command"] == "x {model}"
    assert TargetSpec.model_validate(spec.model_dump(mode="json")) == spec
    assert "command" not in TargetSpec().identity() and "kind" not in TargetSpec().identity()
    spaces = CommandTarget(name="phone", command="run '{model}' --b={batch}")
    words = spaces.words(Path("/a b/m.onnx"), batch=4, resolution=224)
    assert words == ["run", "/a b/m.onnx", "--b=4"]


def test_two_commands_on_one_name_are_refused_where_only_one_would_be_run():
    phone = {"kind": "command", "name": "phone", "command": "x {model}"}
    sweep = {"name": "s", "base": "efficientvim_m1", "rows": {"A": {}}}
    other = phone | {"command": "y {model}"}
    with pytest.raises(
        SpecError, match=r"targets\[0\] and targets\[1\] are both phone-command-224"
    ):
        sweep_of(sweep | {"targets": [phone, other]})
    sweep_of(sweep | {"targets": [phone, other | {"name": "tablet"}, other | {"resolution": 64}]})
    sweep_of(sweep | {"targets": [phone, phone | {"timeout_s": 5}]})

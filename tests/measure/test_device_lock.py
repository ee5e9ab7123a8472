"""The lock of a device between real processes, one of them killed."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

import evnas.measure.timing.device_lock as device_lock_module
from evnas.errors import MeasurementError
from evnas.measure.timing.device_lock import (
    DeviceLock,
    kept_from_measurements,
    runtime_folder,
)

HOLD = """
import sys
from pathlib import Path
from evnas.measure.timing.device_lock import DeviceLock
with getattr(DeviceLock("cpu", Path(sys.argv[2])), sys.argv[1])():
    print("held", flush=True)
    sys.stdin.readline()
print("left", flush=True)
"""


USE = HOLD.replace('"cpu"', '"gpu-1"')


class Holder:
    """Another process that holds the lock until it is asked to leave, or killed."""

    def __init__(self, kind: str, folder: Path, code: str = HOLD) -> None:
        self.process: Any = subprocess.Popen(
            [sys.executable, "-c", code, kind, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def wait_until(self, word: str) -> None:
        assert self.process.stdout.readline() == f"{word}\n"

    def leave(self) -> None:
        self.process.stdin.write("leave\n")
        self.process.stdin.flush()
        self.wait_until("left")
        self.process.wait(60)

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate(timeout=60)


@pytest.fixture
def holders():
    started: list[Holder] = []
    yield started
    for holder in started:
        holder.kill()


def free(device_lock: DeviceLock, kind: str) -> bool:
    try:
        with getattr(device_lock, kind)(timeout_s=0.0):
            return True
    except MeasurementError:
        return False


def test_a_measurement_is_alone_and_training_is_not(tmp_path, holders):
    device_lock = DeviceLock("cpu", tmp_path)
    training = Holder("working", tmp_path)
    holders.append(training)
    training.wait_until("held")
    assert free(device_lock, "working")
    assert not free(device_lock, "measuring")
    training.leave()

    measuring = Holder("measuring", tmp_path)
    holders.append(measuring)
    measuring.wait_until("held")
    assert not free(device_lock, "working")
    assert not free(device_lock, "measuring")
    assert free(DeviceLock("gpu-1", tmp_path), "measuring"), "another device has another lock"
    measuring.leave()
    assert free(device_lock, "measuring")


def test_a_killed_holder_leaves_the_lane(tmp_path, holders):
    device_lock = DeviceLock("cpu", tmp_path)
    measuring = Holder("measuring", tmp_path)
    holders.append(measuring)
    measuring.wait_until("held")
    assert not free(device_lock, "working")
    measuring.kill()
    assert measuring.process.returncode != 0
    with device_lock.measuring(timeout_s=60.0):
        pass


def test_a_waiting_measurement_lets_no_new_work_start(tmp_path):
    """Else a stream of short trainings would keep a measurement waiting for ever."""
    device_lock = DeviceLock("cpu", tmp_path)
    measured = threading.Event()

    def measure() -> None:
        with device_lock.measuring(timeout_s=60.0):
            measured.set()

    with device_lock.working():
        waiting = threading.Thread(target=measure)
        waiting.start()
        while free(device_lock, "working"):  # until the other thread has taken its turn
            pass
        assert not measured.is_set(), "it must wait for the chunk under way"
    waiting.join(60)
    assert measured.is_set()
    assert free(device_lock, "working")


def test_waiting_in_vain_says_for_what(tmp_path):
    device_lock = DeviceLock("cpu", tmp_path)
    with (
        device_lock.working(),
        pytest.raises(MeasurementError, match="evnas work held cpu for more than 0 s"),
        device_lock.measuring(timeout_s=0.0),
    ):
        pass
    assert free(device_lock, "measuring")


def test_the_folder_is_the_users_own(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert runtime_folder() == tmp_path / "evnas"
    assert (tmp_path / "evnas").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("kind", ["measuring", "working"])
def test_who_waits_is_told_for_whom(tmp_path, holders, monkeypatch, kind):
    monkeypatch.setattr(device_lock_module, "SAID_AFTER_S", 0.05)
    holder = Holder("measuring", tmp_path)
    holders.append(holder)
    holder.wait_until("held")
    said: list[str] = []
    waiting = DeviceLock("cpu", tmp_path, on_wait=said.append)
    with (
        pytest.raises(MeasurementError, match=f"process {holder.process.pid} "),
        getattr(waiting, kind)(timeout_s=0.3),
    ):
        raise AssertionError
    assert said
    assert f"held by process {holder.process.pid} (python" in said[0]
    assert "stopped" not in said[0]


@pytest.mark.parametrize("kind", ["measuring", "working"])
def test_a_stopped_process_holds_nobody_up_and_goes_on_beside_the_others(
    tmp_path, holders, monkeypatch, kind
):
    monkeypatch.setattr(device_lock_module, "SAID_AFTER_S", 0.05)
    monkeypatch.setattr(device_lock_module, "STOPPED_S", 0.2)
    stopped = Holder(kind, tmp_path)
    holders.append(stopped)
    stopped.wait_until("held")
    stopped.process.send_signal(signal.SIGSTOP)
    said: list[str] = []
    with DeviceLock("cpu", tmp_path, on_wait=said.append).measuring(timeout_s=30):
        assert any("stopped" in sentence for sentence in said)
        assert not free(DeviceLock("cpu", tmp_path), "working"), "the fresh lock holds"
        stopped.process.send_signal(signal.SIGCONT)
        stopped.leave()
        assert not free(DeviceLock("cpu", tmp_path), "measuring"), "what it left was the old one"
    assert free(DeviceLock("cpu", tmp_path), "measuring")


def test_who_measures_may_make_ready_what_it_measures(tmp_path):
    device_lock = DeviceLock("gpu-1", tmp_path)
    with device_lock.measuring(), kept_from_measurements("cuda:0", device_lock):
        assert not free(device_lock, "working")  # of anyone else
    with kept_from_measurements("cuda:0", device_lock):
        assert free(device_lock, "working") and not free(device_lock, "measuring")
    with kept_from_measurements("cpu", DeviceLock("cpu", tmp_path)):
        assert free(DeviceLock("cpu", tmp_path), "measuring")


def test_a_process_that_has_used_a_gpu_is_known_as_ours_until_it_ends(
    tmp_path, holders, monkeypatch
):
    monkeypatch.setattr(device_lock_module, "runtime_folder", lambda: tmp_path)
    mine = {os.getpid()}
    assert device_lock_module.our_processes("gpu-1") == mine
    other = Holder("working", tmp_path, USE)
    holders.append(other)
    other.wait_until("held")
    assert device_lock_module.our_processes("gpu-1") == mine | {other.process.pid}
    assert device_lock_module.our_processes("gpu-2") == mine
    other.leave()
    assert device_lock_module.our_processes("gpu-1") == mine

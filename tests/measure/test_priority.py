"""Rounds before other processes: what is asked of the system, given back, and refused."""

import os
import threading
from pathlib import Path
from typing import Any

import pytest

from evnas.measure.timing import noise_monitor, priority
from evnas.measure.timing.noise_monitor import CpuNoiseMonitor, waited_seconds
from evnas.measure.timing.priority import LONGEST_S, PAUSE_S, RealTime, priority_for


class System:
    """Threads and their classes, in place of Linux's."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, threads: list[int]) -> None:
        self.threads = threads
        self.classes: dict[int, int] = {}
        self.permits = True
        monkeypatch.setattr(priority, "_threads", lambda: list(self.threads))
        monkeypatch.setattr(os, "sched_getscheduler", self.class_of)
        monkeypatch.setattr(os, "sched_getparam", lambda thread: os.sched_param(0))
        monkeypatch.setattr(os, "sched_setscheduler", self.put)
        monkeypatch.setattr(os, "getpriority", lambda which, who: 0)
        monkeypatch.setattr(priority, "cpu_quota", lambda root: None)

    def class_of(self, thread: int) -> int:
        return self.classes.get(thread, os.SCHED_OTHER)

    def put(self, thread: int, policy: int, param: Any) -> None:
        if thread and thread not in self.threads:
            raise ProcessLookupError(thread)
        if policy == os.SCHED_RR and not self.permits:
            raise PermissionError(thread)
        self.classes[thread] = policy

    def real_time(self) -> list[int]:
        return [thread for thread in self.threads if self.class_of(thread) == os.SCHED_RR]


@pytest.fixture
def system(monkeypatch: pytest.MonkeyPatch) -> System:
    return System(monkeypatch, [10, 11, 12])


def test_all_threads_go_before_others_and_back(system: System, tmp_path: Path) -> None:
    system.classes[12] = os.SCHED_BATCH
    mine = RealTime(root=tmp_path)
    assert mine.why_not() == "" and system.real_time() == []
    with mine.raised():
        assert system.real_time() == [10, 11, 12]
        system.threads.append(13)  # as the one that started it
        system.classes[13] = os.SCHED_RR
        system.threads.remove(11)  # it ends
    assert system.real_time() == []
    assert system.class_of(12) == os.SCHED_BATCH
    assert system.class_of(13) == os.SCHED_OTHER


def test_what_fails_within_leaves_no_thread_there(system: System, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="out of memory"), RealTime(root=tmp_path).raised():
        raise RuntimeError("out of memory")
    assert system.real_time() == []


def test_what_is_not_permitted_is_said_with_who_may(system: System, tmp_path: Path) -> None:
    system.permits = False
    assert "not permitted (root may" in RealTime(root=tmp_path).why_not()
    assert system.real_time() == []


def test_who_was_started_by_nice_gives_way(
    system: System, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(os, "getpriority", lambda which, who: 1)
    assert "started by `nice`, to give way" in RealTime(root=tmp_path).why_not()
    assert system.real_time() == []


def test_a_quota_is_not_got_round(
    system: System, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(priority, "cpu_quota", lambda root: 1.5)
    reason = RealTime(root=tmp_path).why_not()
    assert reason == "SCHED_RR would get round the quota of 1.5 cores"


def test_where_others_would_get_nothing_at_all_it_is_not_done(
    system: System, tmp_path: Path
) -> None:
    file = tmp_path / "proc/sys/kernel/sched_rt_runtime_us"
    file.parent.mkdir(parents=True)
    file.write_text("-1\n")
    assert "would leave others nothing" in RealTime(root=tmp_path).why_not()
    file.write_text("950000\n")
    assert RealTime(root=tmp_path).why_not() == ""


def test_others_get_the_cores_in_between(system: System, tmp_path: Path) -> None:
    """So that the kernel does not take them within a sample."""
    now, slept = [0.0], []
    mine = RealTime(root=tmp_path, clock=lambda: now[0], sleep=lambda s: slept.append(s))
    for _ in range(9):
        assert not system.real_time()
        with mine.raised():
            now[0] += LONGEST_S / 2.5
    assert slept == [PAUSE_S, PAUSE_S]


def test_this_system_gives_and_takes_back(tmp_path: Path) -> None:
    mine = RealTime()
    if mine.why_not():
        pytest.skip(mine.why_not())
    seen: dict[str, int] = {}

    def started() -> None:
        seen["thread"] = os.sched_getscheduler(threading.get_native_id())
        ready.set()
        over.wait()
        seen["after"] = os.sched_getscheduler(threading.get_native_id())

    ready, over = threading.Event(), threading.Event()
    thread = threading.Thread(target=started)
    with mine.raised():
        assert os.sched_getscheduler(0) == os.SCHED_RR
        thread.start()
        ready.wait()
    over.set()
    thread.join()
    assert os.sched_getscheduler(0) == os.SCHED_OTHER
    assert seen == {"thread": os.SCHED_RR, "after": os.SCHED_OTHER}


def test_a_gpus_rounds_are_left_as_they_are() -> None:
    assert priority_for("cuda:0") is None
    assert isinstance(priority_for("cpu"), RealTime)


def test_waits_of_all_threads_are_added(tmp_path: Path) -> None:
    for thread, text in {"7": "900 2000000000 5", "8": "1 500000000 2", "9": ""}.items():
        folder = tmp_path / "proc/self/task" / thread
        folder.mkdir(parents=True)
        (folder / "schedstat").write_text(text)
    assert waited_seconds(tmp_path) == 2.5
    assert waited_seconds(tmp_path / "elsewhere") == 0.0


@pytest.mark.parametrize(("waited_s", "spoils"), [(0.0, False), (0.02, False), (0.3, True)])
def test_a_round_whose_threads_waited_for_a_core_is_spoiled(
    waited_s: float, spoils: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(noise_monitor, "running_others", lambda: ["cc1plus"])
    names = ("now", "waited", "busy", "stolen", "total", "own", "throttled", "mhz")
    before = dict.fromkeys(names, 5.0)
    after = before | {"now": 6.0, "waited": 5.0 + waited_s}
    said = "threads waited for a core for 30% of the round (cc1plus)" if spoils else ""
    assert CpuNoiseMonitor().spoiled(before, after) == said

"""Rounds that run before other processes on the CPU, where the system allows it.

Threads of a forward wait for each other at the end of each operator, so one core that others take
holds up all of them. In Linux's real-time class they get their cores at once, also from processes
of other sessions and containers, between which nice values decide nothing.
"""

import os
import resource
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch

from evnas.measure.timing.cpu_limits import ROOT, cpu_quota
from evnas.words import counted

LONGEST_S = 0.6
"""After so long in the real-time class others get the cores for `PAUSE_S`."""
PAUSE_S = 0.06
"""Linux keeps 50 ms of each second for others, and takes them in one piece, within a sample,
unless they have had them."""


class Priority(Protocol):
    """Lets a process run before others for a while."""

    def why_not(self) -> str:
        """Why it cannot; "" where it can."""
        ...

    def raised(self) -> AbstractContextManager[None]:
        """Within, all threads of this process go before those of others."""
        ...


@dataclass(slots=True)
class RealTime:
    """All threads of this process in the class SCHED_RR at its lowest level, and back."""

    root: Path = ROOT
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    since_pause_s: float = 0.0

    def why_not(self) -> str:
        """A missing permission, a start by `nice`, a quota that the class would get round, or
        nothing left to others."""
        if sys.platform != "linux":
            return "only Linux has SCHED_RR"
        if os.getpriority(os.PRIO_PROCESS, 0) > 0:
            return "this process was started by `nice`, to give way to others"
        quota = cpu_quota(self.root)
        if quota is not None:
            return f"SCHED_RR would get round the quota of {counted(quota, 'core', form='g')}"
        if _read(self.root / "proc/sys/kernel/sched_rt_runtime_us") == "-1":
            return "sched_rt_runtime_us is -1, so that SCHED_RR would leave others nothing"
        if resource.getrlimit(resource.RLIMIT_RTTIME)[0] != resource.RLIM_INFINITY:
            return "RLIMIT_RTTIME bounds the time in SCHED_RR"
        before = os.sched_getscheduler(0), os.sched_getparam(0)
        try:
            os.sched_setscheduler(0, os.SCHED_RR, _lowest())
        except OSError:
            return "SCHED_RR is not permitted (root may, or others by `ulimit -r 1`)"
        os.sched_setscheduler(0, *before)
        return ""

    @contextmanager
    def raised(self) -> Iterator[None]:
        """Within, the threads that there are and that they start go before others.

        Raises:
            OSError: the system does not permit it; see `why_not`.
        """
        if self.since_pause_s > LONGEST_S:
            self.sleep(PAUSE_S)
            self.since_pause_s = 0.0
        usual = os.sched_getscheduler(0), os.sched_getparam(0)
        before = {}
        began = self.clock()
        try:
            for thread in _threads():
                with suppress(ProcessLookupError):  # it has ended
                    before[thread] = os.sched_getscheduler(thread), os.sched_getparam(thread)
                    os.sched_setscheduler(thread, os.SCHED_RR, _lowest())
            yield
        finally:
            for thread in _threads():
                with suppress(ProcessLookupError):
                    os.sched_setscheduler(thread, *before.get(thread, usual))
            self.since_pause_s += self.clock() - began


@dataclass(slots=True)
class Precedence:
    """Before others, once others were seen to disturb: what a measurement did about them."""

    priority: Priority | None
    """None leaves everything as it is."""
    disturbed: bool = False
    rounds: int = 0
    """That ran before others."""
    refused: str = ""
    """Why none could."""

    def heard(self, why: str) -> None:
        """Of something that spoiled a call or a round; "" of nothing."""
        if why and self.priority is not None and not self.disturbed:
            self.disturbed = True
            self.refused = self.priority.why_not()

    @property
    def raises(self) -> bool:
        """Whether what runs next goes before others."""
        return self.disturbed and not self.refused

    def taken(self) -> AbstractContextManager[None]:
        """What runs within does so, where it has to and can."""
        return self.priority.raised() if self.priority and self.raises else nullcontext()

    def __str__(self) -> str:
        """A sentence on what was done against others; "" where nothing was to be done."""
        if self.rounds:
            return "rounds were disturbed, so later ones ran before other processes (SCHED_RR)"
        if self.refused:
            return f"rounds could not run before other processes: {self.refused}"
        return ""


def priority_for(device: torch.device | str) -> Priority | None:
    """That of calls on a torch device; None where the CPU is not what is measured."""
    return RealTime() if torch.device(device).type == "cpu" else None


def _lowest() -> "os.sched_param":
    return os.sched_param(os.sched_get_priority_min(os.SCHED_RR))


def _threads() -> list[int]:
    return [int(name) for name in os.listdir("/proc/self/task")]


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""

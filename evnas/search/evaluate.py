"""Evaluate one phase of one candidate: work in, record out, whatever happens.

Out of memory, a loss that is not finite and an exception are records too.
"""

import platform
import time
import traceback
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch

from evnas.errors import EvnasError
from evnas.measure.timing.device_lock import WAITS, OnWait
from evnas.measure.timing.memory_bound import bounded_by_free_memory
from evnas.measure.timing.protocol import OutOfMemory, is_out_of_memory
from evnas.phases.base import Found, OnProgress, Workshop
from evnas.phases.work import Finished, Work
from evnas.tables import PHASES


@dataclass(slots=True)
class Evaluator:
    """Evaluates work in one process; keeps the reference model and the data between works."""

    _workshop: Workshop = field(default_factory=Workshop)

    def run(self, work: Work, on_progress: OnProgress) -> Finished:
        """Do the work. Never raises for what the candidate does."""
        started, clock = time.time(), time.perf_counter()
        try:
            with bounded_by_free_memory() if work.task.device == "cpu" else nullcontext():
                found = PHASES.get(work.phase).evaluate(work, self._workshop, on_progress)
        except Exception as e:  # the one place: a candidate's failure is a result
            found = _failure(e)
        seconds = time.perf_counter() - clock
        record = work.record(
            found.status,
            error=found.error,
            started=started,
            seconds=seconds,
            found={"values": found.values, **_placed(found.rest)},
        )
        return Finished(work, record, found.busy_s)


def silent(fraction: float, text: str) -> None:
    """Progress that nobody watches."""


def only_waits(say: OnWait) -> OnProgress:
    """Progress of which `say` hears for whom a device is waited, and no more."""
    return lambda _, text: say(text) if text.startswith(WAITS) else None


def _placed(rest: Mapping[str, Any]) -> dict[str, Any]:
    """What a phase found, with the machine among its conditions."""
    details = rest.get("details", {})
    conditions = {"machine": platform.node(), **details.get("conditions", {})}
    return {**rest, "details": {**details, "conditions": conditions}}


def _failure(error: Exception) -> Found:
    if isinstance(error, OutOfMemory) or is_out_of_memory(error):
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        return Found(status="oom", error=str(error).splitlines()[0] if str(error) else "")
    if isinstance(error, EvnasError):
        return Found(status="failed", error=str(error))
    return Found(status="failed", error="".join(traceback.format_exception(error)))

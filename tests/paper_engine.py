"""An engine of paper: whatever is asked ends at once, with figures of its digest, on a clock of
its own; and sweeps run with it."""

import sqlite3
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from evnas.phases.work import Event, Finished, Work
from evnas.record import Status
from evnas.search.prepare import prepared
from evnas.search.runner import run_of
from evnas.search.state.study import StudyClock, open_study
from evnas.search.terminal.view import PlainView
from evnas.sweep.sweep import sweep_of

STEP_S = 7.0
"""Of its clock, which a piece of work moves on; more than what a kill may cost a study."""


class PaperEngine:
    """See the module; it breaks off before the `stop_after`-th piece of work."""

    slots = 1

    def __init__(
        self,
        folder: Path,
        *,
        stop_after: int = 10**9,
        fails: bool = False,
        ends: Mapping[int, Status] | None = None,
    ) -> None:
        self.done: list[Work] = []
        self.now_s = 0.0
        self._folder = folder
        self._stop_after = stop_after
        self._fails = fails
        self._ends = ends or {}
        """Piece of work, from 0 -> how it ends, if not well."""

    def clock(self) -> float:
        return self.now_s

    def submit(self, work: Work) -> None:
        self.work = work

    def wait(self, timeout_s: float) -> list[Event]:
        if len(self.done) >= self._stop_after:
            self._keep_as_killed()
            raise KeyboardInterrupt
        self.now_s += STEP_S
        self.done.append(self.work)
        seed = int(self.work.digest[:6], 16)
        values = {"params": 1.0 + seed % 97, "macs_exact": 1.0 + seed % 89}
        if self.work.phase == "speed":
            values = {"throughput_img_s": 10.0 + seed % 83}
        if self.work.phase == "proxy":
            values = {"top1_percent": 10.0 + seed % 79}
        usual: Status = "failed" if self._fails else "complete"
        status = self._ends.get(len(self.done) - 1, usual)
        found = {"values": values} if status == "complete" else {}
        record = self.work.record(status, error="a fault", started=0.0, seconds=3.0, found=found)
        return [Finished(self.work, record, 3.0)]

    def close(self) -> None:
        pass

    def _keep_as_killed(self) -> None:
        """What a SIGKILL would leave: nothing is noted after it."""
        kept = self._folder.with_name(f"{self._folder.name}-as-killed")
        kept.mkdir()
        there, copy = (sqlite3.connect(f / "study.db") for f in (self._folder, kept))
        there.backup(copy)
        there.close()
        copy.close()


def search(budget: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A random search of counts."""
    depths = {"stages[*].depth": {"each": [1, 2, 3]}, "head.fusion": ["hidden", "none"]}
    return {
        "name": "paper",
        "base": "efficientvim_m1",
        "space": {"axes": depths},
        "strategy": "random",
        "objectives": {"params_m": "min", "macs_g": "min"},
        "budget": budget,
        "targets": [],
        **more,
    }


def run(sweep: dict[str, Any], folder: Path, engine: PaperEngine) -> list[Work]:
    """A sweep gone on with, what it says in the file `said`; what was done of it this time."""
    loaded = sweep_of(sweep)
    study = open_study(loaded, folder, environment={}, fresh=False)
    with Path("said").open("a") as out, study as store:
        view = PlainView
        whole = run_of(
            prepared(loaded),
            store=store,
            engine=engine,
            view_of=lambda progress: view(progress, out),
        )
        replaced = replace(whole, clock=StudyClock(store, began=0.0, clock=engine.clock))
        replaced.to_its_end()
    return engine.done

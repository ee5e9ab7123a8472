"""Our part of Ray Tune's loop: a searcher that hands out work, and who watches over its trials.

All of it runs in Tune's thread.
"""

import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ray
from ray.tune.progress_reporter import TrialProgressCallback
from ray.tune.schedulers import FIFOScheduler
from ray.tune.search import Searcher

from evnas.search.engines.tune import ray_internals
from evnas.search.engines.tune.idle_actors import IdleActors
from evnas.search.engines.tune.mailbox import Closed, Job, Mailbox
from evnas.search.engines.tune.trainable import Parcel
from evnas.words import counted

RETRIES = 3
"""Times that work is run again whose worker or node went away."""
START_S = 300.0
"""A worker that has its room and is not ready after so long is ended: a library may take its time
to load."""
LOOK_EVERY_S = 0.5
"""How often the cluster is asked whether a node that is waited for is still there."""

Pack = Callable[[Job], Parcel]


@dataclass(slots=True)
class Jobs:
    """Jobs that have a trial, and what ends them."""

    mailbox: Mailbox
    open: dict[str, Job] = field(default_factory=dict)
    """By the trial's id."""
    idle: IdleActors = field(default_factory=IdleActors)

    def lost(self, job: Job) -> None:
        """A job's worker or node went away."""
        if not job.over:
            self.idle.distrust()
            job.failures += 1
            why = _last_line(job.trial.error_file)
            if job.failures > RETRIES:
                text = f"its worker was lost {counted(job.failures, 'time')}: {why}"
                self.mailbox.give_up(job, "lost", text)
            else:
                self.mailbox.again(job, f"its worker was lost: {why}")
        job.began = None


class WorkSearcher(Searcher):
    """Hands submitted work to Tune. What is next is our strategies' choice, made in the driver."""

    def __init__(self, jobs: Jobs, pack: Pack) -> None:
        super().__init__()
        self._jobs = jobs
        self._pack = pack

    def suggest(self, trial_id: str) -> dict[str, Any] | None:
        """The next piece of work, or None while there is none.

        With nothing running it waits here: Tune itself would look again only after a second.
        """
        job = self._jobs.mailbox.next_job(patient=not self._jobs.open)
        if job is None:
            return None
        self._jobs.open[trial_id] = job
        return {"parcel": self._pack(job)}

    def on_trial_complete(
        self, trial_id: str, result: Mapping[str, Any] | None = None, error: bool = False
    ) -> None:
        """Nothing: `Listener` hears of it with the trial's result."""


class Listener(TrialProgressCallback):
    """Brings results from Tune to the driver, and drops what Tune would keep of ended trials.

    It stands for Tune's own callback, which Tune would else add: that keeps every trial for ever.
    """

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs

    # Tune calls all of these by keyword, and may add keywords
    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """An actor has taken the trial: its time starts now."""
        self._jobs.open[trial.trial_id].began = time.monotonic()

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        """The end of its work, taken out of what Tune keeps."""
        result.pop("config", None)
        self._jobs.mailbox.end(self._jobs.open[trial.trial_id], result.pop("finished"))

    def on_trial_complete(
        self, iteration: int, trials: list[Any], trial: Any, **info: Any
    ) -> None:
        """The trial has ended, or was taken away."""
        self._forget(trial)

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Its worker is lost; Tune runs it again."""
        self._jobs.lost(self._jobs.open[trial.trial_id])

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Tune gives a trial up: its last worker is lost, or an idle one was dead when reused."""
        job = self._jobs.open[trial.trial_id]
        if job.began is not None:
            self._jobs.lost(job)
        self._forget(trial)
        if not job.over:
            self._jobs.mailbox.take_back(job)

    def _forget(self, trial: Any) -> None:
        del self._jobs.open[trial.trial_id]
        trial.config.clear()
        trial.evaluated_params.clear()
        shutil.rmtree(trial.local_path, ignore_errors=True)  # nothing of ours is in it


class Keeper(FIFOScheduler):
    """Ends trials that take too long, and frees those that wait for a node that is gone."""

    def __init__(self, jobs: Jobs, *, timeout_s: float, start_s: float = START_S) -> None:
        super().__init__()  # type: ignore[no-untyped-call] # Ray has none
        self._jobs = jobs
        self._timeout_s = timeout_s
        self._start_s = start_s
        self._looked = 0.0

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        """A job has its trial."""
        ray_internals.serve(self._jobs.idle, tune_controller)
        self._jobs.open[trial.trial_id].trial = trial

    def choose_trial_to_run(self, tune_controller: Any) -> None:
        """Called once a turn of Tune's loop; the choice itself is left to Tune: first come first.

        Raises:
            Closed: the engine was closed; Tune cleans up and ends.
        """
        jobs = list(self._jobs.open.values())
        if self._jobs.mailbox.closing:
            for job in jobs:
                _kill(job)
            raise Closed
        ray_internals.forget_ended(tune_controller)
        for job in jobs:
            self._end_if_late(job)
            self._end_if_not_started(job, ray_internals.starting(tune_controller, job.trial))
            if job.over and job.trial.status == "PENDING":
                ray_internals.take_away(tune_controller, job.trial)
        if time.monotonic() - self._looked > LOOK_EVERY_S:
            self._looked = time.monotonic()
            self._free_stranded(tune_controller, jobs)

    def _end_if_late(self, job: Job) -> None:
        late = job.began is not None and time.monotonic() - job.began > self._timeout_s
        if late and not job.over:
            error = f"took more than engine.timeout_s, {self._timeout_s:g} s"
            self._jobs.mailbox.give_up(job, "timeout", error)
            _kill(job)

    def _end_if_not_started(self, job: Job, actor: Any | None) -> None:
        """Ray waits for ever for a process that stands still while it starts, or has since."""
        if actor is None:
            job.starts_since = None
        elif job.starts_since is None:
            job.starts_since = time.monotonic()
        elif time.monotonic() - job.starts_since > self._start_s:
            job.starts_since = None
            ray.kill(actor)

    def _free_stranded(self, tune_controller: Any, jobs: list[Job]) -> None:
        """Start again what waits for a node that is gone: Ray would keep it waiting for ever."""
        waiting = [job for job in jobs if job.node and job.trial.status == "PENDING"]
        here = ray.cluster_resources().keys() if waiting else set()  # type: ignore[no-untyped-call] # Ray has none
        for job in waiting:
            if job.node not in here and not job.over:
                ray_internals.take_away(tune_controller, job.trial)
                self._jobs.mailbox.take_back(job)


def _kill(job: Job) -> None:
    """End the actor; Tune sees a lost worker."""
    if job.trial is not None and job.trial.temporary_state.ray_actor is not None:
        ray.kill(job.trial.temporary_state.ray_actor)


def _last_line(file: str | None) -> str:
    lines = Path(file).read_text().split("\n") if file and Path(file).exists() else []
    return next((line.strip() for line in reversed(lines) if line.strip()), "no reason was given")

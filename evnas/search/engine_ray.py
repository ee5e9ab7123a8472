"""The Ray engine: phases as Ray tasks, on one machine or a cluster. Only this file imports ray.

Tasks and not Tune trials: a phase is a function of its work and leaves one record, which the
driver alone stores, so there is nothing for Tune to keep, and a task that loses its node is run
again elsewhere by Ray itself. Workers are reused, so torch is loaded once in each.
"""

import functools
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, RayError, TaskCancelledError

from evnas.record import Status
from evnas.search.work import Event, Finished, Work

Evaluate = Callable[[Work], Finished]
RETRIES = 3
"""Times that Ray runs a task again whose worker or node went away."""
NO_GPU: Mapping[str, Any] = {"env_vars": {"CUDA_VISIBLE_DEVICES": ""}}
"""num_gpus=0 alone does not hide the GPUs of a node from a task (Ray 2.60)."""


@dataclass(frozen=True, slots=True)
class _Task:
    work: Work
    began: float
    node: str = ""
    """The target's resource that holds it to a node; "" where any node will do."""


class RayEngine:
    """Runs work wherever the cluster has room for it."""

    def __init__(
        self,
        *,
        address: str,
        resources: Mapping[str, float],
        timeout_s: float,
        evaluate: Evaluate | None = None,
    ) -> None:
        """Join a cluster.

        Args:
            address: `auto` joins the one that runs here, or starts one on this machine alone;
                else a cluster's address.
            resources: what a phase takes: `cpu` (1 unless given), `gpu`, or resources of your own.
                A node that was started with a resource named like a target's id measures it.
            timeout_s: work that takes longer is stopped and ends as `timeout`.
            evaluate: what is run; the evaluator of `evnas.search.evaluate` unless given.
        """
        self._own = not ray.is_initialized()
        if self._own:
            _join(address)
        self._needs = {"cpu": 1.0, **resources}
        self._timeout_s = timeout_s
        self._evaluate = evaluate or _evaluate
        self._remote = ray.remote(max_retries=RETRIES)(self._evaluate)
        self._tasks: dict[Any, _Task] = {}

    @property
    def slots(self) -> int:
        """How many phases the cluster holds now; it grows and shrinks with the cluster."""
        have: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call] # Ray has none
        names = {"cpu": "CPU", "gpu": "GPU"}
        room = [
            have.get(names.get(name, name), 0.0) // need
            for name, need in self._needs.items()
            if need > 0
        ]
        return max(1, int(min(room, default=1.0)))

    def submit(self, work: Work) -> None:
        """Start a phase: on a GPU where its device is one, measured where its target is."""
        self._start(work, time.monotonic())

    def _start(self, work: Work, began: float) -> None:
        own = {k: v for k, v in self._needs.items() if k not in ("cpu", "gpu")}
        node = work.target if work.target in ray.cluster_resources() else ""  # type: ignore[no-untyped-call] # as above
        if node:
            own[node] = 1.0
        gpus = self._needs.get("gpu", 0.0) if _wants_gpu(work) else 0.0
        task = self._remote.options(
            num_cpus=self._needs["cpu"],
            num_gpus=gpus,
            resources=own,
            runtime_env=None if gpus else dict(NO_GPU),
        ).remote(work)
        self._tasks[task] = _Task(work, began, node)

    def wait(self, timeout_s: float) -> list[Event]:
        """What has ended since the last call."""
        if not self._tasks:
            return []
        ready, _ = ray.wait(list(self._tasks), num_returns=1, timeout=timeout_s)
        events: list[Event] = [self._ended(task) for task in ready]
        self._free_stranded()
        for task, running in list(self._tasks.items()):
            if time.monotonic() - running.began > self._timeout_s:
                ray.cancel(task, force=True)
                events.append(self._given_up(task, "timeout", "took more than engine.timeout_s"))
        return events

    def _free_stranded(self) -> None:
        """Start anew what waits for a node that is gone: Ray would keep it waiting for ever."""
        nodes = {running.node for running in self._tasks.values() if running.node}
        gone = nodes - ray.cluster_resources().keys() if nodes else set()  # type: ignore[no-untyped-call] # as above
        for task, running in list(self._tasks.items()):
            if running.node in gone:
                ray.cancel(task, force=True)
                del self._tasks[task]
                self._start(running.work, running.began)

    def close(self) -> None:
        """Stop what runs, and leave the cluster if this engine joined it."""
        for task in self._tasks:
            ray.cancel(task, force=True)
        self._tasks.clear()
        if self._own:
            ray.shutdown()

    def _ended(self, task: Any) -> Finished:
        try:
            finished: Finished = ray.get(task)
        except (TaskCancelledError, GetTimeoutError) as e:
            return self._given_up(task, "timeout", str(e))
        except RayError as e:  # the worker or its node went away, more often than Ray retries
            return self._given_up(task, "lost", str(e).strip().splitlines()[0])
        del self._tasks[task]
        return finished

    def _given_up(self, task: Any, status: Status, error: str) -> Finished:
        running = self._tasks.pop(task)
        seconds = time.monotonic() - running.began
        record = running.work.record(
            status, error=error, started=time.time() - seconds, seconds=seconds
        )
        return Finished(running.work, record)


def _join(address: str) -> None:
    options: dict[str, Any] = {"include_dashboard": False, "log_to_driver": False}
    if address != "auto":
        ray.init(address=address, **options)
        return
    try:
        ray.init(address="auto", log_to_driver=False)
    except ConnectionError:  # no cluster runs here: one machine is a cluster too
        ray.init(**options)


def _wants_gpu(work: Work) -> bool:
    device = (work.speed or work.proxy or {}).get("device", "cpu")
    return str(device) != "cpu"


@functools.cache
def _evaluator() -> Any:
    """One a worker process, which Ray keeps for the next task: torch and the data stay loaded."""
    from evnas.search.evaluate import Evaluator  # torch loads in the worker, not in the driver

    return Evaluator()


def _evaluate(work: Work) -> Finished:
    # a task has no way to tell its driver how far it is
    finished: Finished = _evaluator().run(work, lambda fraction, text: None)
    return finished

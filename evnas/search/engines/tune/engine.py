"""The Ray engine: Ray Tune runs phases of candidates, on one machine or a cluster.

A trial of Tune is one piece of work. Tune places it, keeps actors for the next, and runs it again
elsewhere when its worker or node is lost; our strategies stay in the driver, which alone stores
records.
"""

import logging
import os
import tempfile
import threading
from collections.abc import Mapping
from typing import Any

import ray
from ray.tune import CheckpointConfig, FailureConfig, RunConfig, TuneConfig, Tuner

from evnas.errors import ClusterGone, SpecError
from evnas.phases.work import Event, Work
from evnas.search.engines.tune.cluster import NAMES, Packer, join, nodes, room
from evnas.search.engines.tune.control import RETRIES, Jobs, Keeper, Listener, WorkSearcher
from evnas.search.engines.tune.head import Head, gone
from evnas.search.engines.tune.mailbox import Closed, Mailbox
from evnas.search.engines.tune.trainable import Evaluate, WorkTrainable

SETTINGS = {
    "RAY_IGNORE_UNHANDLED_ERRORS": "1",  # of trials whose worker is lost: they are records
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",  # checkpoints of rungs are at the driver's paths
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # the store holds the results
    "TUNE_FORCE_TRIAL_CLEANUP_S": "10",
    "TUNE_GLOBAL_CHECKPOINT_S": "1e12",  # the store is the state
    "TUNE_MAX_PENDING_TRIALS_PG": "1000000",  # `slots` bounds them; one must not hold up the rest
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",  # they are records
}
"""Of Tune, in its environment variables: it takes them no other way."""
ENDS_WITHIN_S = 30.0
ANSWERS_WITHIN_S = 3.0
"""A head that is there answers so soon, when Tune has ended."""
PATH = "engine.resources"


class TuneEngine:
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

        Raises:
            SpecError: no node has what a phase takes.
        """
        self._own = not ray.is_initialized()
        if self._own:
            join(address)
        self._needs = {NAMES.get(k, k): v for k, v in {"cpu": 1.0, **resources}.items()}
        if not room(here := nodes(), self._needs | {"GPU": 0.0}):
            self._leave()
            have = "; ".join(f"{n.get('CPU', 0):g} CPUs" for n in here)
            raise SpecError(f"no node has room for {dict(resources)}: they have {have}", PATH)
        self._head = Head(nodes, self._needs)
        self._is_gone = False
        self._mailbox = Mailbox()
        self._folder = tempfile.TemporaryDirectory(prefix="evnas-tune-")
        tuner = self._tuner(Packer(self._needs, evaluate), timeout_s)
        self._thread = threading.Thread(target=self._run, args=(tuner,), name="tune", daemon=True)
        self._thread.start()

    @property
    def slots(self) -> int:
        """How many phases the cluster holds now; it grows and shrinks with the cluster."""
        return max(1, self._head.room)

    def submit(self, work: Work) -> None:
        """Start a phase: on a GPU where its device is one, measured where its target is."""
        self._mailbox.submit(work)

    def wait(self, timeout_s: float) -> list[Event]:
        """What has ended since the last call.

        Raises:
            ClusterGone: its head is gone.
            RuntimeError: Tune has ended by itself.
        """
        try:
            found = self._mailbox.wait(timeout_s)
            self._head.must_answer()
        except ClusterGone:
            self._is_gone = True
            raise
        except RuntimeError as e:
            if self._head.answers_within(ANSWERS_WITHIN_S):
                raise
            self._is_gone = True
            raise gone() from e
        return found

    def close(self) -> None:
        """Stop what runs, and leave the cluster if this engine joined it."""
        self._head.close()
        self._mailbox.close()
        if not self._is_gone:  # else every call would wait for it
            self._thread.join(ENDS_WITHIN_S)
            self._leave()
        self._folder.cleanup()

    def _leave(self) -> None:
        if self._own:
            ray.shutdown()

    def _tuner(self, pack: Packer, timeout_s: float) -> Tuner:
        for name, value in SETTINGS.items():
            os.environ.setdefault(name, value)
        logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # the driver tells what ends how
        jobs = Jobs(self._mailbox)
        return Tuner(
            WorkTrainable,
            tune_config=TuneConfig(
                num_samples=-1,
                search_alg=WorkSearcher(jobs, pack),
                scheduler=Keeper(jobs, timeout_s=timeout_s),
                reuse_actors=True,
                trial_name_creator=str_of_id,
                trial_dirname_creator=str_of_id,
            ),
            run_config=RunConfig(
                name="evnas",
                storage_path=self._folder.name,
                callbacks=[Listener(jobs)],
                checkpoint_config=CheckpointConfig(checkpoint_at_end=False),
                failure_config=FailureConfig(max_failures=RETRIES),
                verbose=0,
            ),
        )

    def _run(self, tuner: Tuner) -> None:
        try:
            tuner.fit()
            raise RuntimeError("its trials came to an end")
        except Closed:
            return
        except BaseException as e:  # the driver raises it: a search must not wait for ever
            self._mailbox.broke(e)


def str_of_id(trial: Any) -> str:
    """A trial's name and folder: Tune's own would hold its settings."""
    return str(trial.trial_id)

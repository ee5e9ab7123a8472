"""What Ray Tune runs: one piece of work, in an actor that keeps torch loaded for the next."""

import os
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import ray
from ray.tune import PlacementGroupFactory, Trainable

from evnas.phases.work import Finished, Work
from evnas.registry import adopt

Evaluate = Callable[[Work], Finished]


@dataclass(frozen=True, slots=True)
class Parcel:
    """Work on its way to an actor. Tune copies its trials' settings at each turn; not this."""

    work: Work
    bundle: Mapping[str, float]
    """What the actor holds: `CPU`, `GPU` and resources of one's own."""
    evaluate: Evaluate | None
    """What is run; None is the evaluator of `evnas.search.evaluate`."""
    added: tuple[tuple[str, str, Any], ...] = ()
    """What the driver's script registered: an actor does not run the script."""

    def __deepcopy__(self, memo: dict[int, Any]) -> "Parcel":
        return self

    def __str__(self) -> str:
        return f"{self.work.label} {self.work.phase}"


class WorkTrainable(Trainable):
    """A trial of one step, which does the work of its parcel."""

    @classmethod
    def default_resource_request(cls, config: dict[str, Any]) -> PlacementGroupFactory:
        """What this parcel's actor holds; Tune reuses actors that hold the same."""
        return PlacementGroupFactory([dict(config["parcel"].bundle)])

    def setup(self, config: dict[str, Any]) -> None:
        """A new actor, before torch loads: without a GPU of its own it shall see none."""
        self._parcel: Parcel = config["parcel"]
        self._evaluator: Any = None
        if not ray.get_gpu_ids():  # num_gpus=0 alone does not hide a node's GPUs (Ray 2.60)
            os.environ["CUDA_VISIBLE_DEVICES"] = ""

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """The next parcel for this actor."""
        self._parcel = new_config["parcel"]
        return True

    def step(self) -> dict[str, Any]:
        """Do the work; what it raises is recorded, since a retry would raise it again."""
        started, clock = time.time(), time.perf_counter()
        work = self._parcel.work
        try:
            adopt(self._parcel.added)
            finished = (self._parcel.evaluate or self._evaluated)(work)
        except Exception as e:  # as in `Evaluator.run`: our bug or theirs is a result
            text = "".join(traceback.format_exception(e))
            seconds = time.perf_counter() - clock
            record = work.record("failed", error=text, started=started, seconds=seconds)
            finished = Finished(work, record)
        return {"finished": finished, "done": True}

    def _evaluated(self, work: Work) -> Finished:
        if self._evaluator is None:
            self._evaluator = _loaded(threads=int(self._parcel.bundle.get("CPU", 0)))
        finished: Finished = self._evaluator.run(work, lambda fraction, text: None)
        return finished


def _loaded(*, threads: int) -> Any:
    import torch  # here, after the GPUs were hidden

    from evnas.measure.timing.allocator import keep_freed_memory
    from evnas.measure.timing.cpu_limits import heed_quota
    from evnas.search.evaluate import Evaluator

    keep_freed_memory()  # as in the local engine's workers
    if threads:
        torch.set_num_threads(threads)
    else:
        heed_quota()
    return Evaluator()

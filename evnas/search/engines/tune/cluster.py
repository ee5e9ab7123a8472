"""The cluster: joining it, what its nodes have, and what a piece of work holds of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ray

from evnas.phases.work import Work
from evnas.registry import additions
from evnas.search.engines.tune.mailbox import Job
from evnas.search.engines.tune.trainable import Evaluate, Parcel

NAMES = {"cpu": "CPU", "gpu": "GPU"}
"""Ray's names of what a sweep calls otherwise."""


def join(address: str) -> None:
    """Join the cluster at an address; `auto`: the one that runs here, or one of one machine."""
    options: dict[str, Any] = {"include_dashboard": False, "log_to_driver": False}
    if address != "auto":
        ray.init(address=address, **options)
        return
    try:
        ray.init(address="auto", log_to_driver=False)
    except ConnectionError:  # no cluster runs here: one machine is a cluster too
        ray.init(**options)


def nodes() -> list[Mapping[str, float]]:
    """What each node that is alive has in all."""
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call] # Ray has none


def room(nodes: Sequence[Mapping[str, float]], needs: Mapping[str, float]) -> int:
    """How many pieces of work with such needs the nodes hold at a time; none spans two."""
    wanted = {name: need for name, need in needs.items() if need > 0}
    return sum(
        int(min((have.get(name, 0.0) // need for name, need in wanted.items()), default=1.0))
        for have in nodes
    )


@dataclass(frozen=True, slots=True)
class Packer:
    """Makes of a job what travels, with what its actor is to hold as the cluster is now."""

    needs: Mapping[str, float]
    """Of a phase on a GPU; others hold the same, but for the GPU."""
    evaluate: Evaluate | None

    def __call__(self, job: Job) -> Parcel:
        """The parcel; sets the job's node."""
        bundle = {k: v for k, v in self.needs.items() if v > 0 and k != "GPU"}
        if self.needs.get("GPU") and _wants_gpu(job.work):
            bundle["GPU"] = self.needs["GPU"]
        job.node = _held_to(job.work.target)
        if job.node:
            bundle[job.node] = 1.0
        return Parcel(job.work, bundle, self.evaluate, additions())


def _held_to(target: str) -> str:
    """The target, where some nodes have it and others have not; one actor for all else."""
    have = {target in node for node in nodes()} if target else {False}
    return target if have == {True, False} else ""


def _wants_gpu(work: Work) -> bool:
    return work.task.device != "cpu"

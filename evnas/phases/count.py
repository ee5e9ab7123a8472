"""`count`: parameters and FLOPs."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from evnas.arch.spec import ArchSpec
from evnas.phases.base import Phase, Quantity, Setting
from evnas.phases.task import Found, Goal, Need, OnProgress, Seen, Task, Workshop
from evnas.phases.work import Work
from evnas.record import Record
from evnas.sweep.candidate import Candidate


@dataclass(frozen=True, slots=True, kw_only=True)
class CountTask(Task):
    """Count one image's forward."""

    resolution: int = 224
    """Side of the image."""
    convention: str | None = None
    """The paper's way of counting beside the exact one."""


class Count(Phase):
    """Parameters, and multiply-adds exactly and as the sweep's paper counts them."""

    name = "count"
    guess_s = 0.3
    needs_alike = True
    quantities = (
        Quantity("params", "Parameters", "", "min"),
        Quantity("params_m", "Parameters", "M", "min", source="params", factor=1e-6),
        Quantity("macs_exact", "FLOPs, exact", "", "min"),
        Quantity("macs_g", "FLOPs, exact", "G", "min", source="macs_exact", factor=1e-9),
        Quantity("macs", "FLOPs", "", "min"),
    )

    def needed(self, setting: Setting, candidate: Candidate, goal: Goal) -> Iterator[Need]:
        """Once."""
        yield Need()

    def task(self, setting: Setting, candidate: Candidate, need: Need) -> CountTask:
        """At the candidate's own resolution."""
        side = setting.counted_at(candidate)
        return CountTask(resolution=side, convention=setting.convention)

    def evaluate(self, work: Work, workshop: Workshop, on_progress: OnProgress) -> Found:
        """`params`, `macs_exact` and, of a convention, `macs`; parts among the details."""
        assert isinstance(work.task, CountTask)
        counts = counts_of(work.arch, work.task.resolution)
        convention = work.task.convention
        values = {"params": float(counts.params), "macs_exact": float(counts.macs["exact"])}
        if convention is not None:
            values["macs"] = float(counts.macs[convention])
        parts = [
            {"path": part.path, "params": part.params, "macs_exact": part.macs("exact")}
            for part in counts.parts
        ]
        details = {"convention": convention, "resolution": work.task.resolution, "parts": parts}
        return Found(values=values, rest={"details": details})

    def expected_s(self, work: Work, seen: Seen) -> float:
        """What it took just now."""
        return seen.counted.seconds

    def shown(self, record: Record) -> dict[str, str]:
        """Both in millions."""
        macs = record.values.get("macs", record.values["macs_exact"])
        return {"params_m": f"{record.values['params'] / 1e6:.1f}", "flops_m": f"{macs / 1e6:.0f}"}

    def words(self, record: Record) -> str:
        """Parameters and FLOPs in millions."""
        macs = record.values.get("macs", record.values["macs_exact"])
        return f"{record.values['params'] / 1e6:.1f}M parameters, {macs / 1e6:.0f}M FLOPs"


def counts_of(arch: Any, resolution: int) -> Any:
    import torch  # with what counts, in the process that evaluates

    from evnas.measure.counting.flops import count, count_module
    from evnas.measure.models import model_for

    if "timm" not in arch:
        return count(ArchSpec.from_dict(arch), resolution)
    with torch.device("meta"):
        model = model_for(arch, resolution=resolution)
    return count_module(model, resolution)


COUNT = Count()

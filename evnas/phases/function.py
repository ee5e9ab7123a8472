"""An objective of one's own as a plain Python function: a phase that calls it."""

import inspect
import math
import pickle
import time
import typing
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from evnas.arch.spec import ArchSpec
from evnas.errors import MeasurementError, SpecError
from evnas.phases.base import Phase, Quantity, Setting
from evnas.phases.task import Found, Goal, Need, OnProgress, Task, Workshop
from evnas.phases.work import Work
from evnas.record import Record
from evnas.sweep.candidate import Candidate
from evnas.tables import PHASES, found_by


@dataclass(frozen=True)
class FunctionPhase(Phase):
    """Finds one quantity, which has the function's name."""

    function: Callable[..., float]
    """Of an `ArchSpec`; of the model, in evaluation mode with the parameters of seed 0, where its
    first parameter is annotated as a `torch.nn.Module`."""

    guess_s = 1.0
    needs_alike = True

    @property
    def name(self) -> str:  # type: ignore[override] # the function's, where others' is the class's
        """The function's."""
        return self.function.__name__

    @property
    def quantities(self) -> tuple[Quantity, ...]:  # type: ignore[override] # as above
        """One."""
        return (Quantity(self.name, self.name),)

    def needed(self, setting: Setting, candidate: Candidate, goal: Goal) -> Iterator[Need]:
        """Once."""
        yield Need()

    def task(self, setting: Setting, candidate: Candidate, need: Need) -> Task:
        """Nothing beside the candidate."""
        return Task()

    def evaluate(self, work: Work, workshop: Workshop, on_progress: OnProgress) -> Found:
        """What the function returns.

        Raises:
            MeasurementError: it is no finite number.
        """
        start = time.perf_counter()
        value = self.function(self._subject(ArchSpec.from_dict(work.arch)))
        if not isinstance(value, int | float) or not math.isfinite(value):
            raise MeasurementError(f"{self.name} must return a finite number, got {value!r}")
        return Found(values={self.name: float(value)}, busy_s=time.perf_counter() - start)

    def words(self, record: Record) -> str:
        """The value by its name."""
        return f"{self.name} {record.values[self.name]:.4g}"

    def _subject(self, arch: ArchSpec) -> Any:
        if not _takes_module(self.function):
            return arch
        from evnas.blocks.backbone import build

        return build(arch, seed=0).eval()


def add_objective(function: Callable[..., float]) -> str:
    """Make a function an objective, and return the name of its quantity.

    Raises:
        SpecError: workers cannot import it, or its name is another quantity's.
    """
    name = getattr(function, "__name__", repr(function))
    try:
        pickle.dumps(function)
    except (pickle.PicklingError, AttributeError, TypeError):
        reason = (
            f"must be defined by `def` in a module or script, for workers to import, got {name}"
        )
        raise SpecError(reason, "objectives") from None
    finder = found_by().get(name)
    if finder is not None and finder not in PHASES.added():
        raise SpecError(
            f"{name} is a quantity that evnas finds; rename the function", "objectives"
        )
    PHASES.add(name, FunctionPhase(function))
    return name


def _takes_module(function: Callable[..., float]) -> bool:
    """Whether the first parameter is annotated as a module; looked at where torch is loaded."""
    import torch

    first = next(iter(inspect.signature(function).parameters), "")
    hint = typing.get_type_hints(function).get(first)
    return inspect.isclass(hint) and issubclass(hint, torch.nn.Module)

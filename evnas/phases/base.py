"""What a phase of an evaluation is, and what it asks of a sweep: plain data, no torch."""

import functools
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

from evnas.phases.task import Found, Goal, Need, OnProgress, Seen, Task, Workshop
from evnas.record import Record
from evnas.stats.interval import Z95, Interval
from evnas.sweep.candidate import Candidate

if TYPE_CHECKING:
    from evnas.phases.work import Work
    from evnas.sweep.search_spec import Sense

__all__ = [
    "Found",
    "Goal",
    "Need",
    "OnProgress",
    "Phase",
    "Quantity",
    "Seen",
    "Setting",
    "Task",
    "TimedOn",
    "Workshop",
]


@dataclass(frozen=True, slots=True)
class Quantity:
    """One figure that a phase finds."""

    name: str
    """With its unit in it, as records, objectives and constraints spell it."""
    heading: str
    """As the page has it."""
    unit: str = ""
    goal: "Sense | Literal['']" = ""
    """Which way is better, where one is."""
    source: str = ""
    """The value of the record that it is made from; "" is its own name."""
    factor: float = 1.0
    """What that value is multiplied by."""
    ends: tuple[str, str] | None = None
    """The values of the record that are the ends of its interval."""
    ends_hold: float = 0.95
    """The share of cases in which the value lies between them."""

    def interval(self, values: Mapping[str, float]) -> Interval | None:
        """The 95 % interval that a record spells; ends that hold another share are moved as far
        as those of a normal error. None where the record has none.

        Args:
            values: of the record, or of all that a trial's records found.
        """
        if self.ends is None or not {self.name, *self.ends} <= values.keys():
            return None
        mid, low, high = (values[name] for name in (self.name, *self.ends))
        times = Z95 / NormalDist().inv_cdf(0.5 + self.ends_hold / 2)
        return Interval(mid - times * (mid - low), mid, mid + times * (high - mid))

    def of(self, value: float) -> float:
        """The quantity for a value of its source: the float nearest to the decimal, so that
        6679458 parameters are the 6.679458 million that a file may spell."""
        if self.factor == 1.0 or not math.isfinite(value):
            return value * self.factor
        times, over = _ratio(self.factor)
        up, down = value.as_integer_ratio()
        return up * times / (down * over)  # of whole numbers: the nearest float


@functools.cache
def _ratio(factor: float) -> tuple[int, int]:
    """The decimal that a factor is written as, of whole numbers."""
    return Fraction(repr(factor)).as_integer_ratio()


class Setting(Protocol):
    """A sweep with its targets settled on this machine, as far as phases ask for it."""

    @property
    def convention(self) -> str | None:
        """The paper's way of counting beside the exact one."""

    @property
    def proxy(self) -> Mapping[str, Any] | None:
        """`ProxySpec` as plain data."""

    @property
    def predict(self) -> Mapping[str, Any] | None:
        """`PredictSpec` as plain data, where the sweep says how to predict."""

    @property
    def paper(self) -> str:
        """Which prints the sweep's rows; "" for none."""

    @property
    def wanted(self) -> frozenset[str]:
        """Quantities that an objective or constraint names."""

    @property
    def among(self) -> tuple[str, ...]:
        """Runtimes that `best` chooses among; none means all that are here."""

    def counted_at(self, candidate: Candidate) -> int:
        """The side of the images that a candidate is counted for."""

    def targets_of(self, candidate: Candidate) -> Mapping[str, "TimedOn"]:
        """Id -> target of all that a candidate is timed on."""

    def alternates_with(self, candidate: Candidate) -> Mapping[str, Any] | None:
        """The architecture timed in alternation with it; None for the reference itself."""

    def rung(self, candidate: Candidate, need: Need) -> tuple[int | None, str]:
        """Where a training breaks off (None: at its end), and the checkpoint that it keeps."""

    @property
    def base(self) -> Mapping[str, Any]:
        """`ArchSpec.to_dict()` of what the sweep starts from."""

    @property
    def weights(self) -> str:
        """The folder of weights that trained candidates hand down; "" keeps none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TimedOn:
    """A target settled for one candidate."""

    fields: Mapping[str, Any]
    """Of `evnas.measure.target.Target`."""
    index: int
    """Which of the sweep's targets it is."""
    budget_s: float
    resolution: int
    uncertainty_percent: float | None = None
    """How far its interval may reach from the median; None measures for the whole budget."""
    halve_batch: bool = False
    """Whether half the batch is timed where it does not fit into memory."""
    command: Mapping[str, Any] | None = None
    """Fields of `evnas.measure.command.speed.CommandTarget`; None where a runtime runs it."""


class Phase(ABC):
    """One kind of evaluation: its tasks, its quantities, its words and what it costs.

    A candidate goes through them in the order of `evnas.tables.phases`.
    """

    name: str
    quantities: tuple[Quantity, ...]
    guess_s: float
    """Seconds of one that nobody has seen yet; phases are done in its order."""
    needs: ClassVar[str] = ""
    """What a sweep must have for it, as its key: `targets` or `proxy`; "" needs nothing."""
    needs_alike: ClassVar[bool] = False
    """Whether what it needs of a search's candidates hangs on the goal alone and not on which they
    are: a search that goes on then looks at those only that lack something."""
    by_digest: ClassVar[bool] = False
    """Whether rows of one architecture share it, whatever their resolution and batch."""
    per_target: ClassVar[bool] = False
    """Whether a record is of one target; its samples add up over records."""
    per_seed: ClassVar[bool] = False
    """Whether a record is of one seed; its values are meaned over seeds."""
    trains: ClassVar[bool] = False
    """Whether a record is of a budget of image presentations; the largest counts."""
    trains_whole: ClassVar[bool] = False
    """Whether its trainings cannot be broken off at a rung."""
    caution: ClassVar[str] = ""
    """What a check, a plan and a run say where one of its quantities is wanted."""
    status_column: ClassVar[str] = "params_m"
    """The column of the terminal's table that says how it ended where it ended badly."""

    @abstractmethod
    def needed(self, setting: Setting, candidate: Candidate, goal: Goal) -> Iterator[Need]:
        """What a candidate needs of this phase, in order."""

    @abstractmethod
    def task(self, setting: Setting, candidate: Candidate, need: Need) -> Task:
        """The task of one need."""

    @abstractmethod
    def evaluate(self, work: "Work", workshop: Workshop, on_progress: OnProgress) -> Found:
        """Do the work. What it raises is recorded by the caller."""

    @abstractmethod
    def words(self, record: Record) -> str:
        """A complete record's figures in a few words."""

    def within(self, task: Task, limits: Sequence[Mapping[str, Any]]) -> Task:
        """A task of this phase that may be broken off beyond limits; by default it takes none.

        Args:
            limits: fields of `evnas.measure.timing.ending.Limit`.
        """
        return task

    def shown(self, record: Record) -> Mapping[str, str]:
        """Column of the terminal's table -> text, of a complete record; by default none."""
        return {}

    def rehearsal(self, work: "Work") -> "Work | None":
        """Short work that a plan does twice to see how fast it is; by default none."""
        return None

    def expected_s(self, work: "Work", seen: Seen) -> float:
        """Seconds that work is expected to take; by default the guess."""
        return self.guess_s

    def again(self, timed: Sequence[str], seed: int, budget: float) -> Iterator[Need]:
        """What is repeated with a further seed when a front is confirmed; by default nothing.

        Args:
            timed: ids of the targets that the candidate was timed on.
            budget: image presentations of a whole training; 0 where nothing is trained.
        """
        return iter(())

    def lacking(self, metric: str) -> str:
        """The message for a sweep that wants `metric` and lacks what `needs` names."""
        return f"{metric} needs {self.needs}"

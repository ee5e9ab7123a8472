"""`one_at_a_time`: an ablation of a space around a base, over paired seeds."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field

from evnas.arch.catalog import entry
from evnas.arch.spec import ArchSpec
from evnas.errors import SpecError
from evnas.files import shown
from evnas.search.propose import Proposal, Strategy
from evnas.search.state.history import History
from evnas.space.space import Point, SearchSpace
from evnas.sweep.file_paths import is_arch_file
from evnas.sweep.strategy_spec import StrategySpec
from evnas.sweep.yaml_lines import YamlSpecError, read_arch


class OneAtATimeSpec(StrategySpec):
    """The base, then each of its axes moved alone to each other value."""

    kind: Literal["one_at_a_time"] = "one_at_a_time"
    base: str | dict[str, Any] = ""
    """A catalogue name, an architecture, or its YAML such as a front member's
    (`results/NAME/front/17.arch.yaml`); "" is the space's base."""
    replicates: int = Field(default=1, ge=1, le=10_000)
    """Seeds of each row, the same for all (paired)."""

    own_rows = True

    @property
    def seeds(self) -> tuple[int, ...]:
        """As many as there are replicates."""
        return tuple(range(self.replicates))

    def with_files_read(self) -> Self:
        """With the architecture itself in place of its file."""
        if not is_arch_file(self.base):
            return self
        return self.model_copy(update={"base": _read(str(self.base)).to_dict()})

    def strategy(
        self, space: SearchSpace, *, warm: Sequence[tuple[str, ArchSpec]], full_budget: float
    ) -> Strategy:
        """The rows around the base. Raises SpecError where it lies outside the space."""
        base = self._base(space)
        try:
            rows = one_at_a_time(space, base)
        except ValueError as e:
            named = isinstance(self.base, str) and self.base
            name = shown(named) if named else "the base"
            raise SpecError(f"{name} lies outside the space: {e}", "strategy.base") from None
        return Listed(rows, seeds=self.seeds)

    def _base(self, space: SearchSpace) -> ArchSpec:
        if not self.base:
            return space.base
        if not isinstance(self.base, str):
            return ArchSpec.from_dict(self.base)
        return _read(self.base)


def _read(base: str) -> ArchSpec:
    """The architecture of a file or a name. Raises SpecError where it is neither."""
    try:
        return read_arch(Path(shown(base))) if is_arch_file(base) else entry(base).arch
    except YamlSpecError:  # a fault inside that file
        raise
    except SpecError as e:
        raise SpecError(e.reason, "strategy.base") from None


@dataclass(frozen=True, slots=True)
class Listed(Strategy):
    """A list of architectures, in its order."""

    rows: Sequence[tuple[str, ArchSpec]]
    """Origin and architecture."""
    seeds: tuple[int, ...] = (0,)

    def propose(self, history: History, n: int) -> list[Proposal]:
        """The next `n` that were not proposed; of equal ones the first."""
        found: dict[str, Proposal] = {}
        for origin, arch in self.rows:
            if len(found) < n and arch.digest not in history.digests:
                found.setdefault(arch.digest, Proposal(arch=arch, origin=origin, seeds=self.seeds))
        return list(found.values())


def one_at_a_time(space: SearchSpace, base: ArchSpec) -> list[tuple[str, ArchSpec]]:
    """The base, then each of its axes moved alone to each other value.

    A branch just entered takes the values that the one left behind had, else the first ones.
    Conditions drop what they forbid. Raises ValueError when the space does not hold the base.
    """
    point = space.encode(base)
    if isinstance(point, str):
        raise ValueError(point)
    rows = [("base", base)]
    for axis in list(space.active(point)):
        for value in axis.domain.values:
            if value != point[axis.key]:
                moved = _settled(space, {**point, axis.key: value})
                found = space.check(moved)
                if isinstance(found, ArchSpec) and space.is_ordered(moved):
                    rows.append((f"{axis.key} = {value}", found))
    return rows


def _settled(space: SearchSpace, point: Point) -> Point:
    there = {place: value for key, value in point.items() for place in space.by_key[key].places}
    whole: Point = {}
    for axis in space.active(whole):
        value = point.get(axis.key, there.get(axis.places[0]))
        whole[axis.key] = (
            value if value is not None and value in axis.domain else (axis.domain.values[0])
        )
    return whole

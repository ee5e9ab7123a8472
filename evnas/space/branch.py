"""One branch of a choice while a space is compiled: what it fixes, and what stands there then."""

from collections.abc import Sequence
from typing import Any

from evnas.arch import paths
from evnas.arch.paths import Concrete
from evnas.arch.plain import Plain, copied, look, put
from evnas.mixers import MIXERS
from evnas.space.domains import Value


class Branch:
    """The plain base as it is in one branch of a choice."""

    def __init__(
        self, raw: Plain, places: Sequence[Concrete], label: str, *, sets_kind: bool
    ) -> None:
        self.raw: Plain = copied(raw)
        self.places = places
        self.fixed: list[tuple[Concrete, Any]] = []
        kinds = places[0][-1] in ("mixer", "stem")
        for place in places:
            if place[-1] == "mixer" and look(self.raw, place) is None:
                put(self.raw, place, _first_mixer())
        if kinds and not sets_kind:
            self.fix("kind", label)

    def resolve(self, rel: str) -> list[Concrete]:
        """The places of a path that is relative to the choice."""
        return [
            found for place in self.places for found in paths.resolve(self.raw, _below(place, rel))
        ]

    def fix(self, rel: str, value: Value) -> None:
        """Set a value that this branch always has."""
        for place in self.places:
            where = _below(place, rel)
            mixer = where[: where.find(".mixer.") + len(".mixer")] if ".mixer." in where else ""
            if mixer and paths.get(self.raw, mixer) == [None]:  # the base has `inres` here
                paths.assign(self.raw, mixer, _first_mixer())
            paths.assign(self.raw, where, value)
            self.fixed += [(found, value) for found in paths.resolve(self.raw, where)]

    def templates(self) -> tuple[Any, ...]:
        """What the branch puts at each place of the choice."""
        return tuple(copied(look(self.raw, place)) for place in self.places)


def _first_mixer() -> dict[str, Any]:
    """Any mixer, where the base has none and a branch changes one."""
    return MIXERS.get(MIXERS.names()[0]).fields()


def _below(place: Concrete, rel: str) -> str:
    spelt = paths.spell(place)
    return f"{spelt}.{rel}" if spelt else rel

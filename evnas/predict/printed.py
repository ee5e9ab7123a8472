"""The architectures whose ImageNet top-1 is printed, as a list that ships with the package."""

import csv
import functools
import importlib.resources
import json
from dataclasses import dataclass

from evnas.sweep.candidate import Candidate, candidate_of, named_arch


@dataclass(frozen=True, slots=True, kw_only=True)
class Printed:
    """An architecture and its printed top-1, trained at its resolution without distillation."""

    candidate: Candidate
    paper: str
    """Which prints it, in `table`, `row`."""
    table: str
    row: str
    recipe: str
    """Whose way of training it is: the paper's own, or the peer's."""
    resolution: int
    """It was trained and tested at."""
    top1_percent: float

    @property
    def name(self) -> str:
        """Its name in the list."""
        return self.candidate.label


@functools.cache
def printed_architectures() -> tuple[Printed, ...]:
    """All of them, each architecture once, those of the four papers first.

    In: what the catalogue and the tables of the four papers express, trained 300 epochs; peers of
    their tables that timm has and that trained 300 epochs at 224 on ImageNet-1k alone. Out: rows
    with distillation, MESA, 450 epochs, fine-tuned or tested at another resolution; VMamba's
    Table 11 (one architecture, initialised otherwise); VSSD's appendix (its rows do not follow
    from the released code); peers with other schedules (XCiT 400 epochs, RegNetY 100).
    Where an architecture is printed more than once, the first of its paper's main table counts.
    """
    text = importlib.resources.files("evnas.predict").joinpath("data", "architectures.csv")
    return tuple(map(_printed, csv.DictReader(text.read_text(encoding="utf-8").splitlines())))


def _printed(raw: dict[str, str]) -> Printed:
    return Printed(
        candidate=_candidate(raw),
        paper=raw["paper"],
        table=raw["table"],
        row=raw["row"],
        recipe=raw["recipe"],
        resolution=int(raw["resolution"]),
        top1_percent=float(raw["top1"]),
    )


def _candidate(raw: dict[str, str]) -> Candidate:
    if raw["timm"]:
        return Candidate(label=raw["name"], arch=None, timm=raw["timm"], published=raw["row"])
    changes = json.loads(raw["changes"] or "{}")
    return candidate_of(raw["name"], changes, named_arch(raw["base"]))


@functools.cache
def by_digest() -> dict[str, Printed]:
    """Digest -> the printed architecture."""
    return {p.candidate.digest: p for p in printed_architectures()}


@functools.cache
def known_recipes() -> frozenset[str]:
    """Recipes, each also a paper's name, of the rows that predictions rest on: peers are none."""
    return frozenset(p.recipe for p in printed_architectures() if not p.candidate.timm)


def held_out_beside(paper: str, digest: str) -> tuple[str, ...]:
    """What a predictor must not know of that predicts a row of a printed table.

    Args:
        paper: that prints the table.
        digest: of the row's architecture, whose own paper and recipe are held out too; of a
            peer, which no predictor knows, nothing is.
    """
    known = by_digest().get(digest)
    own = set[str]()
    if known is not None and not known.candidate.timm:
        own = {known.paper, known.recipe}
    return tuple(sorted({paper, *own} & known_recipes()))

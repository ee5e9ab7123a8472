"""Every published parameter and FLOP figure that we can express, counted and set beside its print.

A figure matches when ours rounds to the very text that is printed. Where it does not, the known
reason comes from `data/known_differences.csv`; a difference without one is unexplained.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from evnas.arch.catalog import catalog
from evnas.arch.spec import ArchSpec
from evnas.measure.counting.conventions import PAPER_CONVENTIONS
from evnas.measure.counting.flops import Cost, count, count_module
from evnas.measure.models import peer
from evnas.papers.known_differences import known_reason
from evnas.papers.published import PublishedRow, prints_as, published_row, published_table
from evnas.sweep.sweep import Sweep

QUANTITIES = ("params_m", "flops_g")


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One printed figure beside ours."""

    paper: str
    table: str
    row: str
    model: str
    """Catalogue name, `timm:NAME`, or the sweep's name and row."""
    resolution: int
    quantity: str
    """`params_m` or `flops_g`."""
    convention: str
    printed: str
    counted: float
    """In the unit of the print."""
    reason: str = ""
    """Why it differs, where that is known; "" where it matches."""

    @property
    def matches(self) -> bool:
        """Whether ours prints the same."""
        return prints_as(self.counted, self.printed)

    @property
    def verdict(self) -> str:
        """`matches`, or the difference and its reason."""
        if self.matches:
            return "matches"
        difference = self.counted - float(self.printed)
        return f"differs by {difference:+.3g}: {self.reason or 'unexplained'}"

    @property
    def unexplained(self) -> bool:
        """Whether it differs for no known reason."""
        return not self.matches and not self.reason


@dataclass(frozen=True, slots=True)
class _Subject:
    """What a printed row is, expressed here."""

    row: PublishedRow
    model: str
    arch: ArchSpec | None
    timm: str
    resolution: int
    convention: str


def verify(sweeps: Sequence[Sweep], *, peers: bool = True) -> list[Check]:
    """Count what the catalogue and the sweeps express of the published tables.

    Args:
        sweeps: whose rows are compared with a published table; others are passed over.
        peers: whether to count timm's models too.

    Returns:
        A check a figure, in the order of catalogue and sweeps; no figure twice.
    """
    subjects = {(s.row.paper, s.row.table, s.row.row): s for s in reversed(_subjects(sweeps))}
    checks: list[Check] = []
    for subject in reversed(subjects.values()):
        if subject.arch is not None or peers:
            checks += _checks(subject)
    return checks


def _subjects(sweeps: Sequence[Sweep]) -> list[_Subject]:
    found = []
    for entry in catalog().values():
        if entry.published is not None:
            row = published_row(*entry.published)
            convention = PAPER_CONVENTIONS[row.paper]
            found.append(_Subject(row, entry.name, entry.arch, "", entry.resolution, convention))
    for sweep in sweeps:
        found += _of_sweep(sweep)
    return found


def _of_sweep(sweep: Sweep) -> Iterator[_Subject]:
    published = sweep.spec.published
    if published is None:
        return
    rows = published_table(published.paper, published.table)
    convention = sweep.spec.convention or PAPER_CONVENTIONS[published.paper]
    for candidate in sweep.candidates:
        row = rows[candidate.published]
        if candidate.absent or not set(QUANTITIES) & set(row.printed):
            continue
        model = (
            f"timm:{candidate.timm}" if candidate.timm else f"{sweep.spec.name}:{candidate.label}"
        )
        resolution = candidate.resolution or row.resolution or sweep.spec.resolution
        yield _Subject(row, model, candidate.arch, candidate.timm, resolution, convention)


def _checks(subject: _Subject) -> Iterator[Check]:
    counted = _count(subject)
    figures = {
        "params_m": counted.params / 1e6,
        "flops_g": counted.macs[subject.convention] / 1e9,
    }
    for quantity in QUANTITIES:
        printed = subject.row.printed.get(quantity)
        if printed is not None:
            check = Check(
                paper=subject.row.paper,
                table=subject.row.table,
                row=subject.row.row,
                model=subject.model,
                resolution=subject.resolution,
                quantity=quantity,
                convention=subject.convention,
                printed=printed,
                counted=figures[quantity],
                reason=_reason(subject.row, quantity, figures[quantity], printed),
            )
            yield check


def _reason(row: PublishedRow, quantity: str, counted: float, printed: str) -> str:
    if prints_as(counted, printed):
        return ""
    return known_reason(row, quantity)


def _count(subject: _Subject) -> Cost:
    if subject.arch is not None:
        return count(subject.arch, subject.resolution)
    with torch.device("meta"):
        model = peer(subject.timm, resolution=subject.resolution)
    return count_module(model, subject.resolution)

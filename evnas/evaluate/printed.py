"""Accuracies that the papers print of a model at a resolution."""

from dataclasses import asdict, dataclass
from typing import Any

from evnas.arch.catalog import Entry
from evnas.papers.published import published_rows, published_top1

BY_RESOLUTION: dict[str, tuple[tuple[str, str, str], ...]] = {
    "efficientvim_m4": (("EfficientViM", "B", "EfficientViM-M4"),),
    "vmamba_tiny_s1l8": (("VMamba", "9", "VMamba-T"), ("VSSD", "1", "VMamba-T")),
    "vmamba_tiny_s2l5": (("VMamba", "9", "VMamba-T[s2l5]"),),
    "vanilla_vmamba_tiny": (("VMamba", "9", "Vanilla-VMamba-T"),),
    "vssd_tiny_appendix": (("VSSD", "1", "VSSD-T"),),
}
"""Catalogue name -> paper, table and model of tables that go through resolutions. VSSD's Table 1
is of the appendix's Tiny (28M), not of the released one (24M)."""


@dataclass(frozen=True, slots=True)
class PrintedAccuracy:
    """One printed accuracy."""

    paper: str
    table: str
    top1_percent: float
    about: str
    """How its weights came about, as printed; "" where the table does not say."""

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)

    def __str__(self) -> str:
        return f"{self.top1_percent:g} ({self.paper} Table {self.table})"


def printed_top1(known: Entry | None, resolution: int) -> list[PrintedAccuracy]:
    """What is printed of a catalogue entry at a resolution, on ImageNet; nothing of others."""
    if known is None:
        return []
    found = []
    place = known.published_top1 or known.published
    at_home = published_top1(place)
    if resolution == known.resolution and at_home is not None and place is not None:
        found.append(PrintedAccuracy(place[0], place[1], at_home, ""))
    models = BY_RESOLUTION.get(known.name, ())
    for row in published_rows():
        top1 = row.number("top1")
        if (
            (row.paper, row.table, row.model) in models
            and row.resolution == resolution
            and top1 is not None
        ):
            found.append(PrintedAccuracy(row.paper, row.table, top1, row.change))
    return found

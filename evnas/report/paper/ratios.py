"""An ablation's ratios for a paper: each row's speed over the reference's, beside print."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from evnas.errors import EvnasError
from evnas.report.frame.study_reader import StudyReader
from evnas.report.page.colours import MUTED, PALETTE
from evnas.report.panels.reproduction import compute_reproduction
from evnas.report.paper.legend import legend_above
from evnas.report.paper.points import RATIO
from evnas.report.paper.style import Style

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratios:
    """Rows that were measured, from the top."""

    title: str
    rows: tuple[dict[str, Any], ...]
    """`label`, `measured`, `low`, `high` and `published`."""


def ratios_of(reader: StudyReader) -> Ratios:
    """Of a study that reproduces a printed table.

    Raises:
        EvnasError: it reproduces none, or no row has a ratio on both sides.
    """
    data = compute_reproduction(reader)
    pairs = [] if data is None else data["pairs"]
    found = next((pair for pair in pairs if pair["name"] == RATIO), None)
    if found is None:
        raise EvnasError(
            f"{reader.folder}: no row has a speed ratio that is printed too; front --x "
            f"{RATIO} shows measured ones"
        )
    return Ratios(title=found["title"], rows=tuple(found["points"]))


def draw_ratios(axes: "Axes", found: Ratios, style: Style) -> None:
    """A line a row: measured with its 95 % interval, and printed as a hollow star."""
    places = range(len(found.rows), 0, -1)
    axes.axvline(1.0, color=MUTED, linewidth=style.line_pt, zorder=0.9)
    for place, row in zip(places, found.rows, strict=True):
        mid = row["measured"]
        ends = [[mid - (row["low"] or mid)], [(row["high"] or mid) - mid]]
        axes.errorbar(
            [mid], [place], xerr=ends, fmt="o", color=PALETTE[0], elinewidth=style.line_pt,
            capsize=style.mark_pt * 0.4, capthick=style.line_pt,
            label="measured here, 95 %" if place == places[0] else None,
        )  # fmt: skip
        axes.plot(
            [row["published"]], [place], "*", color=MUTED, markerfacecolor="none",
            markersize=style.mark_pt * 1.5, markeredgewidth=style.line_pt,
            label="published" if place == places[0] else None,
        )  # fmt: skip
    axes.set_yticks(list(places), [row["label"] for row in found.rows], parse_math=False)
    axes.set_ylim(0.4, len(found.rows) + 0.6)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel(found.title)
    legend_above(axes, style)

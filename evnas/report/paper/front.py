"""The front of a study for a paper: its members with intervals, what ties, the cloud, print."""

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from evnas.report.page.colours import FAINT, INK, MARKS, MUTED, PALETTE, WARN, mixer_groups
from evnas.report.paper.labels import placed_labels
from evnas.report.paper.legend import heading, legend_above
from evnas.report.paper.points import FrontPoints
from evnas.report.paper.style import Style
from evnas.tables import quantity_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Rows = NDArray[np.int64]

MARKERS = {
    "circle": "o",
    "square": "s",
    "diamond": "D",
    "triangle-up": "^",
    "pentagon": "p",
    "hexagon": "h",
    "star": "*",
    "triangle-down": "v",
}
"""The page's marks as matplotlib calls them."""
PUBLISHED = "published"
FEW = 40
"""Trials up to which all have labels and intervals; of more, those of the front."""
MANY = 2_000
"""Marks beyond which a cloud becomes pixels within a PDF, which would not open otherwise."""


def draw_front(axes: "Axes", found: FrontPoints, style: Style) -> None:
    """Draw into empty axes; the legend stands above them."""
    groups, few = found.groups, len(found.columns) <= FEW
    _rules(axes, found, style)
    _cloud(axes, found, style, few=few)
    _marks(axes, found, groups.infeasible, "infeasible", MUTED, "x", style)
    _marks(axes, found, groups.ended, "ended early", WARN, "+", style)
    line = found.place(_ordered(found, groups.front))
    axes.plot(
        *line, color=INK, linestyle=":", linewidth=style.line_pt, drawstyle=found.step, zorder=2
    )
    _members(axes, found, groups.front, style, filled=True, bars=True)
    _members(axes, found, groups.tied, style, filled=False, bars=few)
    _name_tied(axes, found, style)
    _marks(axes, found, groups.peers, "timm peers, measured here", INK, "1", style)
    _print(axes, found, style)
    targets = len(found.columns.targets)
    axes.set_xlabel(heading(found.keys[0], targets=targets), parse_math=False)
    axes.set_ylabel(heading(found.keys[1], targets=targets), parse_math=False)
    legend_above(axes, style, last=PUBLISHED)
    _label(axes, found, style, few=few)


def _rules(axes: "Axes", found: FrontPoints, style: Style) -> None:
    """The reference of a ratio, and bounds on either axis."""
    rule = {"linewidth": style.line_pt, "zorder": 0.9}
    for key, draw in zip(found.keys, (axes.axvline, axes.axhline), strict=True):
        if quantity_of(key).endswith("_ratio"):
            draw(1.0, color=MUTED, **rule)
        for bound in found.bounds:
            if bound.key == key:
                name = None if "bound" in axes.get_legend_handles_labels()[1] else "bound"
                draw(bound.bound, color=WARN, linestyle="--", label=name, **rule)


def _cloud(axes: "Axes", found: FrontPoints, style: Style, *, few: bool) -> None:
    rows = found.groups.cloud
    if not len(rows):
        return
    colour = MUTED if few else FAINT
    if few:
        _bars(axes, found, rows, FAINT, style)
    size = style.mark_pt * (0.8 if few else 0.5)
    axes.plot(
        *found.place(rows), "o", color=colour, markersize=size, markeredgewidth=0,
        label="dominated", rasterized=len(rows) > MANY, zorder=1,
    )  # fmt: skip


def _members(
    axes: "Axes", found: FrontPoints, rows: Rows, style: Style, *, filled: bool, bars: bool
) -> None:
    """Marks by mixer, each named once; those that only tie with the front are hollow."""
    named = axes.get_legend_handles_labels()[1]
    names = found.texts("mixers", np.arange(len(found.columns)))
    groups = mixer_groups(Counter(names))
    for name in dict.fromkeys(sorted((names[row] for row in rows), key=lambda n: groups[n])):
        mine = np.array([row for row in rows if names[row] == name])
        colour, mark = PALETTE[groups[name]], MARKERS[MARKS[groups[name]]]
        if bars:
            _bars(axes, found, mine, colour if filled else FAINT, style)
        axes.plot(
            *found.place(mine), mark, color=colour, zorder=4 if filled else 3,
            markerfacecolor=colour if filled else "white", markeredgewidth=style.line_pt,
            label=None if name in named else name,
        )  # fmt: skip


def _name_tied(axes: "Axes", found: FrontPoints, style: Style) -> None:
    if len(found.groups.tied):
        axes.plot(
            [], [], "o", color=INK, markerfacecolor="white", markeredgewidth=style.line_pt,
            label="tied within error",
        )  # fmt: skip


def _bars(axes: "Axes", found: FrontPoints, rows: Rows, colour: str, style: Style) -> None:
    x, y = found.place(rows)
    across, up = found.bars(0, rows), found.bars(1, rows)
    if across.any() or up.any():
        axes.errorbar(
            x, y, xerr=across, yerr=up, fmt="none", ecolor=colour, elinewidth=style.line_pt,
            capsize=style.mark_pt * 0.3, capthick=style.line_pt, zorder=2,
        )  # fmt: skip


def _marks(
    axes: "Axes", found: FrontPoints, rows: Rows, name: str, colour: str, mark: str, style: Style
) -> None:
    if len(rows):
        place = found.place(rows)
        axes.plot(*place, mark, color=colour, label=name, markeredgewidth=style.line_pt)


def _print(axes: "Axes", found: FrontPoints, style: Style) -> None:
    if found.printed:
        _, x, y = zip(*found.printed, strict=True)
        axes.plot(
            x, y, "*", color=MUTED, markerfacecolor="none", markeredgewidth=style.line_pt,
            markersize=style.mark_pt * 1.3, label=PUBLISHED,
        )  # fmt: skip


def _ordered(found: FrontPoints, rows: Rows) -> Rows:
    return rows[np.argsort(found.place(rows)[0], kind="stable")]


def _label(axes: "Axes", found: FrontPoints, style: Style, *, few: bool) -> None:
    """Of few trials all labels, else those of the front; none lies on another."""
    groups = found.groups
    shown = np.concatenate([groups.front, groups.tied, groups.cloud, groups.peers])
    rows = shown if few else _ordered(found, groups.front)
    figure: Any = axes.figure
    figure.set_dpi(72)  # a pixel is a point from here on
    figure.draw_without_rendering()  # now the axes have their place
    figure.set_layout_engine("none")  # and keep it
    place = axes.transData.transform
    texts = found.texts("label", rows)
    centres = place(np.stack(found.place(rows), axis=1)).tolist()
    printed = [place((x, y)).tolist() for _, x, y in found.printed]
    marks = [(x, y, text) for (x, y), text in zip(centres, texts, strict=True)]
    marks += [(x, y, label) for (x, y), (label, *_) in zip(printed, found.printed, strict=True)]
    box = axes.get_window_extent()
    inside = (box.x0, box.y0, box.x1, box.y1)
    size = style.font_pt * 0.85
    for number, at in enumerate(placed_labels(marks, inside, size=size, away=style.mark_pt * 0.9)):
        if at is not None:
            colour = INK if number < len(rows) else MUTED
            figure.text(
                *figure.transFigure.inverted().transform(at[:2]), at[2], fontsize=size,
                color=colour, va="bottom", ha="left", parse_math=False,
            )  # fmt: skip

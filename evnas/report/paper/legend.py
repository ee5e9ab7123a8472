"""The legend above a figure, in as many columns as have room, and an axis' title."""

from typing import TYPE_CHECKING

from evnas.report.frame.columns import describe_column
from evnas.report.paper.style import Style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LETTER, SIGN = 0.56, 4.2
"""Width of a letter, and of a sign with the gaps around it, over the size of the font."""


def legend_above(axes: "Axes", style: Style, *, last: str = "") -> None:
    """Name what has a label, in the order of drawing; what is called `last` comes last."""
    handles, names = axes.get_legend_handles_labels()
    if not names:
        return
    order = sorted(range(len(names)), key=lambda i: names[i] == last)
    figure = axes.figure
    room_pt = 72 * figure.get_figure(root=True).get_figwidth()
    needed_pt = 0.92 * style.font_pt * (LETTER * max(map(len, names)) + SIGN)
    figure.legend(
        [handles[i] for i in order],
        [names[i] for i in order],
        loc="outside upper left",
        ncols=min(len(names), max(1, int(room_pt // needed_pt))),
    )


def heading(key: str, *, targets: int = 1) -> str:
    """An axis' title: the quantity, its unit, and its target where there are several."""
    column = describe_column(key)
    unit = f", {column.unit}" if column.unit else ""
    place = f" on {column.target}" if column.target and targets > 1 else ""
    return f"{column.label}{unit}{place}"

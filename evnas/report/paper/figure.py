"""A study's figures for papers and slides, drawn without a browser, as PDF, SVG and PNG."""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from evnas.files import make_folder_of, must_have_a_place, write_whole
from evnas.report.frame.study_reader import StudyReader
from evnas.report.paper.curves import draw_curves, learning_curves
from evnas.report.paper.front import draw_front
from evnas.report.paper.points import front_points
from evnas.report.paper.progress import draw_growth, front_growth
from evnas.report.paper.ratios import draw_ratios, ratios_of
from evnas.report.paper.style import Style, drawn_in, must_have_matplotlib

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FigureName = Literal["front", "curves", "hypervolume", "ratios"]
FIGURES: tuple[FigureName, ...] = get_args(FigureName)
FORMATS = (".pdf", ".svg", ".png")
DOTS_PER_INCH = 600
"""Of PNG files, and of clouds within the others."""
_UNDATED = {
    ".pdf": {"CreationDate": None, "Producer": None, "Creator": None},
    ".svg": {"Date": None, "Creator": None},
    ".png": {"Software": None},
}
"""What would make two files of one study differ."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A figure as it was asked for."""

    name: FigureName
    style: Style
    width_in: float
    height_in: float
    x: str | None = None
    """Of the front: a column; None is the study's own."""
    y: str | None = None
    trials: Sequence[str] = ()
    """Of the curves: labels; none takes the front's."""


def write_figure(folder: Path, wanted: Wanted, paths: Sequence[Path]) -> list[str]:
    """Draw a figure of a study into files, whose suffixes say their kinds.

    Returns:
        What the figure does not show, a sentence each.

    Raises:
        StoreError: the study cannot be read, or a file not be written.
        EvnasError: the study has nothing for it, or matplotlib is not installed.
    """
    must_have_matplotlib()
    for path in paths:  # known before anything is drawn
        make_folder_of(path)
        must_have_a_place(path)
    reader = StudyReader(folder)
    try:
        reader.read_all()
        draw, notes = _prepared(reader, wanted)
    finally:
        reader.close()
    from matplotlib.figure import Figure

    with drawn_in(wanted.style):
        figure = Figure(figsize=(wanted.width_in, wanted.height_in))
        draw(figure.add_subplot())
        for path in paths:
            held = io.BytesIO()
            kind = path.suffix.lower()
            figure.savefig(held, format=kind[1:], dpi=DOTS_PER_INCH, metadata=_UNDATED[kind])
            write_whole(path, held.getvalue())
    return list(notes)


def _prepared(
    reader: StudyReader, wanted: Wanted
) -> tuple[Callable[["Axes"], None], Sequence[str]]:
    """What draws it, and what it will not show."""
    style = wanted.style
    if wanted.name == "front":
        points = front_points(reader, x=wanted.x, y=wanted.y)
        return lambda axes: draw_front(axes, points, style), points.notes
    if wanted.name == "curves":
        curves = learning_curves(reader, wanted.trials)
        return lambda axes: draw_curves(axes, curves, style), curves.notes
    if wanted.name == "hypervolume":
        growth = front_growth(reader)
        return lambda axes: draw_growth(axes, growth), ()
    ratios = ratios_of(reader)
    return lambda axes: draw_ratios(axes, ratios, style), ()

"""Learning curves of a study for a paper: the mean over seeds of each trial, and their spread."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from evnas.errors import EvnasError, SpecError, nearest
from evnas.report.frame.slim_records import read_curve_points
from evnas.report.frame.study_reader import StudyReader
from evnas.report.page.colours import MARKS, PALETTE
from evnas.report.paper.front import MARKERS
from evnas.report.paper.legend import heading, legend_above
from evnas.report.paper.style import Style
from evnas.report.query.pick import front_rows, judged_by
from evnas.words import counted

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DASHES = (
    "-", (0, (5, 2)), (0, (1, 1.4)), (0, (5, 1.5, 1, 1.5)),
    (0, (8, 2)), (0, (8, 1.5, 1, 1.5)), (0, (6, 1, 1, 1, 1, 1)), (0, (12, 3)),
)  # fmt: skip
"""Beside each colour a dash, as on the page."""
Curve = Mapping[float, Sequence[float]]
"""Image presentations -> a value a seed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LearningCurves:
    """Curves of some trials, and what is not shown."""

    quantity: str
    across: str
    by_label: Mapping[str, Curve]
    notes: tuple[str, ...]


def learning_curves(reader: StudyReader, labels: Sequence[str]) -> LearningCurves:
    """Curves of the trials named, or of the front's members and then of the others.

    Raises:
        SpecError: a label is of no trial with a curve.
        EvnasError: nothing was trained yet.
    """
    points = _of_largest_budget(list(read_curve_points(reader.store, phase="proxy")))
    if not points:
        raise EvnasError(f"{reader.folder}: no proxy training has ended yet")
    quantity = "top1_percent" if any("top1_percent" in p for p in points) else "loss"
    across = "images" if all("images" in p for p in points) else "epoch"
    found: dict[str, dict[float, list[float]]] = {}
    for point in points:
        if quantity in point:
            curve = found.setdefault(str(point["label"]), {})
            curve.setdefault(float(point[across]), []).append(float(point[quantity]))
    for label in labels:
        if label not in found:
            hint = nearest(label, list(found))
            raise SpecError(f"--trial must name a trial that was trained, got {label!r}{hint}")
    shown = (list(dict.fromkeys(labels)) or _first(reader, list(found)))[: len(PALETTE)]
    left = len(found) - len(shown)
    notes = (
        (f"not drawn: {counted(left, 'further trial')}; --trial LABEL chooses",) if left else ()
    )
    return LearningCurves(
        quantity=quantity,
        across="image presentations" if across == "images" else "epochs",
        by_label={label: found[label] for label in shown},
        notes=notes,
    )


def _of_largest_budget(points: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Those of each trial's longest trainings: a shorter one of the same seed is its beginning, or
    of another schedule."""
    longest: dict[str, float] = {}
    for point in points:
        longest[point["label"]] = max(longest.get(point["label"], 0.0), point["budget"])
    return [point for point in points if point["budget"] == longest[point["label"]]]


def _first(reader: StudyReader, trained: Sequence[str]) -> list[str]:
    aims = judged_by(reader.sweep, reader.objectives())
    front = [reader.frame.text["label"][row] for row in front_rows(reader.frame, aims)]
    ranked = [label for label in front if label in trained]
    return [*ranked, *(label for label in trained if label not in ranked)]


def draw_curves(axes: "Axes", found: LearningCurves, style: Style) -> None:
    """A line a trial, between its lowest and its highest seed."""
    for i, (label, curve) in enumerate(found.by_label.items()):
        places = sorted(curve)
        means = [float(np.mean(curve[x])) for x in places]
        axes.plot(
            places, means, color=PALETTE[i], linestyle=DASHES[i], marker=MARKERS[MARKS[i]],
            markersize=style.mark_pt * 0.6, label=f"trial {label}",
        )  # fmt: skip
        if any(len(curve[x]) > 1 for x in places):
            low, high = ([end(curve[x]) for x in places] for end in (min, max))
            axes.fill_between(places, low, high, color=PALETTE[i], alpha=0.18, linewidth=0)
    axes.set_xlabel(found.across)
    axes.set_ylabel(heading(found.quantity))
    legend_above(axes, style)

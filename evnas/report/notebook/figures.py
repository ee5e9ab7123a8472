"""Plotly figures of a loaded study, for notebooks; the page draws from the same columns."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import plotly.graph_objects as go

from evnas.errors import EvnasError
from evnas.report.frame.columns import describe_column
from evnas.report.frame.objectives import Objective
from evnas.report.page.colours import PALETTE
from evnas.report.query.front import find_front, hypervolume_fraction

if TYPE_CHECKING:
    from evnas.report.notebook.study import Study

FigureKind = Literal["front", "curves", "hypervolume"]
KINDS: tuple[FigureKind, ...] = get_args(FigureKind)
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
"""Beside the colours, so that no line is known by its colour alone."""


def draw_figure(study: "Study", kind: FigureKind) -> Any:
    """The figure of that kind. Raises EvnasError when there is nothing to draw."""
    if kind not in KINDS:
        raise EvnasError(f"a figure is one of {', '.join(KINDS)}, got {kind!r}")
    drawn = {"front": _front, "curves": _curves, "hypervolume": _hypervolume}[kind](study)
    drawn.update_layout(template="plotly_white", legend={"orientation": "h", "y": 1.02})
    return drawn


def _objectives(study: "Study") -> tuple[str, str, Any, Any]:
    """Keys of the first two objectives, the complete trials, their values, less better."""
    if len(study.objectives) < 2:
        raise EvnasError(f"{study.name}: no trial has two objectives yet")
    x, y = study.objectives[:2]
    done = study.frame[study.frame["status"] == "complete"].dropna(subset=[x.key, y.key])
    if done.empty:
        raise EvnasError(f"{study.name}: no trial has both {x.key} and {y.key} yet")
    signs = [-1.0 if aim.better == "more" else 1.0 for aim in (x, y)]
    return x.key, y.key, done, done[[x.key, y.key]].to_numpy() * signs


def _front(study: "Study") -> Any:
    x, y, done, values = _objectives(study)
    member = find_front(values)
    drawn = go.Figure()
    dominated = {"mode": "markers", "marker": {"color": "#b4bdc7", "size": 6}}
    _add_points(drawn, "dominated", done[~member], (x, y), dominated)
    best = done[member].sort_values(x)
    front = {
        "mode": "lines+markers+text",
        "textposition": "top center",
        "error_x": _bars(best, x),
        "error_y": _bars(best, y),
        "line": {"dash": "dot", "color": PALETTE[0], "shape": _step_of(study.objectives[0])},
        "marker": {"color": PALETTE[0], "size": 10},
    }
    _add_points(drawn, "front", best, (x, y), front)
    drawn.update_xaxes(title=axis_title(x))
    drawn.update_yaxes(title=axis_title(y))
    return drawn


def _step_of(x: Objective) -> str:
    """How a front goes on: by what is had for at most, or with at least, so much across."""
    return "vh" if x.better == "more" else "hv"


def _add_points(
    drawn: Any, name: str, rows: Any, axes: tuple[str, str], look: Mapping[str, Any]
) -> None:
    x, y = axes
    points = {"x": rows[x], "y": rows[y], "text": rows["label"]}
    drawn.add_trace(go.Scatter({**points, "name": name, **look}))


def _bars(rows: Any, key: str) -> dict[str, Any] | None:
    if f"{key}:low" not in rows:
        return None
    return {
        "type": "data",
        "symmetric": False,
        "array": (rows[f"{key}:high"] - rows[key]).fillna(0),
        "arrayminus": (rows[key] - rows[f"{key}:low"]).fillna(0),
        "thickness": 1.2,
    }


def axis_title(key: str) -> str:
    """A column's name with its unit and target."""
    column = describe_column(key)
    unit = f", {column.unit}" if column.unit else ""
    return f"{column.label}{unit}" + (f" ({column.target})" if column.target else "")


def _curves(study: "Study") -> Any:
    if study.curves.empty:
        raise EvnasError(f"{study.name}: no proxy training has ended yet")
    found = "top1_percent" if "top1_percent" in study.curves else "loss"
    longest = study.curves.groupby("label")["budget"].transform("max")
    curves = study.curves[study.curves["budget"] == longest]  # shorter ones are their beginnings
    drawn = go.Figure()
    for i, ((label, seed), points) in enumerate(curves.groupby(["label", "seed"])):
        drawn.add_trace(
            go.Scatter(
                x=points["images"] if "images" in points else points["epoch"],
                y=points[found],
                mode="lines+markers",
                name=f"{label}, seed {seed}",
                line={"color": PALETTE[i % len(PALETTE)], "dash": DASHES[i % len(DASHES)]},
            )
        )
    drawn.update_xaxes(title="image presentations" if "images" in study.curves else "epochs")
    drawn.update_yaxes(title=axis_title(found))
    return drawn


def _hypervolume(study: "Study") -> Any:
    _, _, done, values = _objectives(study)
    worst, best = values.max(axis=0), values.min(axis=0)
    moments = np.unique(np.linspace(1, len(values), 120).round().astype(int))
    shares = [hypervolume_fraction(values[:m], worst=worst, best=best) for m in moments]
    numbers = done["number"].to_numpy()[moments - 1] + 1
    drawn = go.Figure(go.Scatter(x=numbers, y=shares, mode="lines", line={"shape": "hv"}))
    drawn.update_xaxes(title="trials")
    drawn.update_yaxes(title="share of the box between the worst and the best found")
    return drawn

"""What `evnas bench` found, drawn: throughput against the batch, or models one below the other."""

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from evnas.commands.svg_page import svg_page
from evnas.report.page.colours import PALETTE

Data = Mapping[str, Any]
"""`BenchGrid.to_dict()`."""
WIDTH, LEFT, RIGHT, LINE = 760, 250, 40, 22
PLOT_HEIGHT = 260


def svg_of(data: Data) -> str:
    """One panel for each target: dots with their 95 % intervals.

    Where a model was measured at several batches, throughput stands against the batch (both
    logarithmic); else models stand one below the other by throughput.
    """
    panels: list[str] = []
    height = 10
    for title, rows in _panels(data).items():
        drawn, tall = _curves(rows) if _has_batches(rows) else _dots(rows)
        panels.append(
            f'<g transform="translate(0,{height})"><text x="10" y="14" class="title">'
            f"{escape(title)}</text>{drawn}</g>"
        )
        height += tall
    return svg_page(panels, width=WIDTH, height=height)


def _panels(data: Data) -> dict[str, list[Data]]:
    """Target without its batch -> rows that were measured."""
    found: dict[str, list[Data]] = {}
    for row in data["rows"]:
        if row["status"] == "complete":
            parts = [p for p in row["target"].split("-") if p != f"b{row['batch_size']}"]
            found.setdefault("-".join(parts), []).append(row)
    return found


def _has_batches(rows: Sequence[Data]) -> bool:
    return len({row["batch_timed"] for row in rows}) > 1


def _dots(rows: Sequence[Data]) -> tuple[str, int]:
    batch = rows[0]["batch_timed"]
    spans = [row["intervals"]["throughput_img_s"] for row in rows]
    across = _scale(0.0, 1.05 * max(s["high"] for s in spans), LEFT, WIDTH - RIGHT)
    parts = []
    for i, (row, span) in enumerate(zip(rows, spans, strict=True)):
        y = 38 + i * LINE
        low, mid, high = (across(span[key]) for key in ("low", "mid", "high"))
        parts.append(
            f'<text x="{LEFT - 12}" y="{y + 4}" class="end">{escape(row["name"])}</text>'
            f"{_line(low, y, high, y, PALETTE[0])}{_dot(mid, y, PALETTE[0])}"
            f'<text x="{min(high + 8, WIDTH - 60):.1f}" y="{y + 4}">{span["mid"]:.4g}</text>'
        )
    bottom = 38 + len(rows) * LINE
    parts.append(_line(LEFT, bottom - 8, WIDTH - RIGHT, bottom - 8, "#999"))
    parts.append(f'<text x="{LEFT}" y="{bottom + 8}">images/s at batch {batch}, from 0</text>')
    return "".join(parts), bottom + 28


def _curves(rows: Sequence[Data]) -> tuple[str, int]:
    spans = [row["intervals"]["throughput_img_s"] for row in rows]
    batches = sorted({row["batch_timed"] for row in rows})
    top, bottom = 30, 30 + PLOT_HEIGHT
    x = _scale(math.log2(batches[0]), math.log2(batches[-1]), 70, WIDTH - LEFT)
    lowest, highest = min(s["low"] for s in spans), max(s["high"] for s in spans)
    y = _scale(math.log2(lowest), math.log2(max(highest, 1.01 * lowest)), bottom, top)
    parts = [_line(60, bottom + 6, WIDTH - LEFT, bottom + 6, "#999")]
    parts += [
        f'<text x="{x(math.log2(b)):.1f}" y="{bottom + 22}" text-anchor="middle">{b}</text>'
        for b in batches
    ]
    parts += [
        f'<text x="55" y="{y(math.log2(value)) + 4:.1f}" class="end">{value:.3g}</text>'
        for value in (lowest, highest)
    ]
    names = list(dict.fromkeys(row["name"] for row in rows))
    for i, name in enumerate(names):
        colour = PALETTE[i % len(PALETTE)]
        mine = [(r, s) for r, s in zip(rows, spans, strict=True) if r["name"] == name]
        at = [(x(math.log2(r["batch_timed"])), y(math.log2(s["mid"]))) for r, s in mine]
        path = " ".join(f"{px:.1f},{py:.1f}" for px, py in at)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}"/>')
        for (px, py), (_, s) in zip(at, mine, strict=True):
            ends = y(math.log2(s["low"])), y(math.log2(s["high"]))
            parts.append(_line(px, ends[0], px, ends[1], colour) + _dot(px, py, colour))
        parts.append(
            f'<text x="{WIDTH - LEFT + 20}" y="{top + 10 + i * LINE}" style="fill:{colour}">'
            f"{escape(name)}</text>"
        )
    parts.append(f'<text x="70" y="{bottom + 40}">images/s against the batch, 95 %</text>')
    return "".join(parts), bottom + 60


def _scale(low: float, high: float, start: float, end: float) -> Any:
    share = (end - start) / (high - low) if high > low else 0.0
    return lambda value: start + share * (value - low)


def _line(x1: float, y1: float, x2: float, y2: float, colour: str) -> str:
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" '
        'stroke-width="1.5"/>'
    )


def _dot(x: float, y: float, colour: str) -> str:
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>'

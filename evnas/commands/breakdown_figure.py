"""Where forwards' time goes, drawn: a bar a stage, split by kind, a panel a model and target."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from evnas.commands.svg_page import svg_page

Data = Mapping[str, Any]
"""A breakdown, of `evnas.commands.bench_breakdown.breakdowns`."""
COLOURS: Mapping[str, str] = {
    "projection": "#0072b2",
    "scan or state product": "#d55e00",
    "depthwise": "#009e73",
    "norm": "#cc79a7",
    "ffn": "#56b4e9",
    "copies": "#e69f00",
    "elementwise": "#f0e442",
    "gaps": "#bbbbbb",
}
"""Kind -> its colour, after Okabe and Ito."""
WIDTH, LEFT, RIGHT, LINE, BAR = 760, 120, 70, 26, 16
BOUND = "#c00000"
"""The line under what memory bounds."""


def svg_of_breakdowns(found: Sequence[Data]) -> str:
    """Stages in the order of the forward; what memory bounds is underlined."""
    most = max(_total(parts) for one in found for parts in _by_stage(one).values())
    panels, height = [_legend()], 64
    for one in found:
        drawn, tall = _panel(one, (WIDTH - LEFT - RIGHT) / most)
        panels.append(f'<g transform="translate(0,{height})">{drawn}</g>')
        height += tall
    return svg_page(panels, width=WIDTH, height=height)


def _by_stage(one: Data) -> dict[str, list[Data]]:
    found: dict[str, list[Data]] = {}
    for part in one["parts"]:
        found.setdefault(part["stage"], []).append(part)
    return found


def _total(parts: Sequence[Data]) -> float:
    return float(sum(part["ms"] for part in parts))


def _panel(one: Data, scale: float) -> tuple[str, int]:
    title = f"{one['name']}, {one['target']}: {one['latency_ms']:.2f} ms"
    drawn = [f'<text x="10" y="14" class="title">{escape(title)}</text>']
    stages = _by_stage(one)
    for i, (stage, parts) in enumerate(stages.items()):
        y, x = 26 + i * LINE, float(LEFT)
        drawn.append(f'<text x="{LEFT - 8}" y="{y + 12}" class="end">{escape(stage)}</text>')
        for kind, colour in COLOURS.items():
            for part in (part for part in parts if part["kind"] == kind):
                width = part["ms"] * scale
                drawn.append(_segment(part, x, y, width, colour))
                x += width
        drawn.append(f'<text x="{x + 6:.1f}" y="{y + 12}">{_total(parts):.2f} ms</text>')
    return "".join(drawn), 26 + len(stages) * LINE + 14


def _segment(part: Data, x: float, y: float, width: float, colour: str) -> str:
    said = f"{part['stage']}, {part['kind']}: {part['ms']:.3f} ms"
    said += f", bound by {part['bound']}" if part["bound"] else ""
    line = ""
    if part["bound"] == "memory":
        line = f'<rect x="{x:.1f}" y="{y + BAR}" width="{width:.1f}" height="3" fill="{BOUND}"/>'
    return (
        f'<g><title>{escape(said)}</title><rect x="{x:.1f}" y="{y}" width="{width:.1f}" '
        f'height="{BAR}" fill="{colour}"/>{line}</g>'
    )


def _legend() -> str:
    names = [*COLOURS.items(), ("bound by memory", BOUND)]
    drawn = []
    for i, (name, colour) in enumerate(names):
        x, y, tall = 10 + (i % 5) * 150, 10 + (i // 5) * 22, 3 if colour == BOUND else 12
        drawn.append(
            f'<rect x="{x}" y="{y + 12 - tall}" width="12" height="{tall}" fill="{colour}"/>'
            f'<text x="{x + 18}" y="{y + 11}">{escape(name)}</text>'
        )
    return "".join(drawn)

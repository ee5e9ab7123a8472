"""The ladder of an audit as a figure: tau of each signal with its interval, a panel per scope."""

from collections.abc import Sequence
from pathlib import Path

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from evnas.report.page.colours import PALETTE
from evnas.stats.ladder import EQUAL, OVERALL, WITHIN, LadderLine

SCOPES = (OVERALL, WITHIN, EQUAL)


def draw_ladder(lines: Sequence[LadderLine]) -> go.Figure:
    """Signals down, ordered by their tau at equal FLOPs; three scopes across."""
    of = {(line.scope, line.signal): line.agreement for line in lines}
    signals = list(dict.fromkeys(line.signal for line in lines))

    def worth(signal: str) -> float:
        found = of.get((EQUAL, signal)) or of.get((OVERALL, signal))
        return -2.0 if found is None else found.tau

    signals.sort(key=worth)
    drawn = make_subplots(cols=len(SCOPES), shared_yaxes=True, subplot_titles=SCOPES)
    for place, scope in enumerate(SCOPES, start=1):
        known = [(s, a) for s in signals if (a := of.get((scope, s))) is not None]
        drawn.add_trace(
            go.Scatter(
                x=[a.tau for _, a in known],
                y=[s for s, _ in known],
                mode="markers",
                marker={"color": PALETTE[0], "size": 8},
                error_x={
                    "type": "data",
                    "symmetric": False,
                    "array": [a.high - a.tau for _, a in known],
                    "arrayminus": [a.tau - a.low for _, a in known],
                },
                showlegend=False,
            ),
            row=1,
            col=place,
        )
        drawn.update_xaxes(title="Kendall's tau with printed top-1", range=[-1, 1], col=place)
    drawn.update_layout(template="plotly_white", height=160 + 22 * len(signals))
    return drawn


def write_ladder(lines: Sequence[LadderLine], path: Path) -> None:
    """Write the figure as one HTML file that needs no network."""
    draw_ladder(lines).write_html(path, include_plotlyjs=True, config={"showSendToCloud": False})

"""How figures for papers and slides look: sizes in points, lengths in inches, one font inside."""

import importlib.util
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from evnas.errors import EvnasError, SpecError
from evnas.report.page.colours import INK, LINE, MUTED

_INCHES = {"in": 1.0, "cm": 1 / 2.54, "mm": 1 / 25.4, "pt": 1 / 72}
_LENGTH = re.compile(r"(\d+\.?\d*|\.\d+)\s*([a-z]*)")
SMALLEST_IN, LARGEST_IN = 1.0, 40.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """Sizes of a figure."""

    font_pt: float
    line_pt: float
    mark_pt: float
    width_in: float
    """Where none is asked for."""
    height_fraction: float = 0.78
    """Height over width, likewise."""


STYLES: Mapping[str, Style] = MappingProxyType(
    {
        "paper": Style(font_pt=7, line_pt=0.7, mark_pt=4.5, width_in=3.3),
        "slides": Style(font_pt=15, line_pt=1.5, mark_pt=9, width_in=9, height_fraction=0.56),
    }
)
"""One column of a paper of two; a slide of 16:9."""


def style_named(name: str) -> Style:
    """A style by its name. Raises SpecError for what is none."""
    if name not in STYLES:
        raise SpecError(f"--style must be {' or '.join(STYLES)}, got {name!r}")
    return STYLES[name]


def inches(text: str, *, option: str) -> float:
    """`3.3in`, `84mm`, `8.4cm` or `240pt` in inches.

    Args:
        option: begins the complaint.

    Raises:
        SpecError: no length, or none that a figure may have.
    """
    found = _LENGTH.fullmatch(text.strip().lower())
    if found is None or found[2] not in _INCHES:
        raise SpecError(f"{option} must be a length such as 3.3in, 84mm or 240pt, got {text!r}")
    length = float(found[1]) * _INCHES[found[2]]
    if not SMALLEST_IN <= length <= LARGEST_IN:
        raise SpecError(f"{option} must be {SMALLEST_IN:g}in to {LARGEST_IN:g}in, got {text!r}")
    return length


def must_have_matplotlib() -> None:
    """Raises EvnasError where the library that draws is not installed, with what installs it."""
    if importlib.util.find_spec("matplotlib") is None:
        raise EvnasError(
            "figures for papers need matplotlib, which is not installed: "
            "pip install 'evnas[figures]'"
        )


@contextmanager
def drawn_in(style: Style) -> Iterator[None]:
    """Within, matplotlib draws in this style; fonts are embedded whole, and nothing in a file
    tells when it was made: the same study gives the same bytes."""
    import matplotlib

    with matplotlib.rc_context(_settings(style)):
        yield


def _settings(style: Style) -> Any:
    """matplotlib's own settings; it types them by each name that there is."""
    return {
        "font.family": "DejaVu Sans",  # matplotlib brings it: the same on every machine
        "font.size": style.font_pt,
        "axes.labelsize": style.font_pt,
        "axes.titlesize": style.font_pt,
        "legend.fontsize": style.font_pt * 0.92,
        "xtick.labelsize": style.font_pt * 0.92,
        "ytick.labelsize": style.font_pt * 0.92,
        "text.color": INK,
        "axes.labelcolor": INK,
        "axes.edgecolor": MUTED,
        "xtick.color": MUTED,
        "ytick.color": MUTED,
        "xtick.labelcolor": INK,
        "ytick.labelcolor": INK,
        "axes.linewidth": style.line_pt,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": LINE,
        "grid.linewidth": style.line_pt * 0.7,
        "xtick.major.width": style.line_pt,
        "ytick.major.width": style.line_pt,
        "lines.linewidth": style.line_pt * 1.6,
        "lines.markersize": style.mark_pt,
        "legend.frameon": False,
        "legend.handlelength": 1.6,
        "legend.columnspacing": 1.2,
        "figure.constrained_layout.use": True,
        "pdf.fonttype": 42,  # TrueType, which publishers take; type 3 many refuse
        "ps.fonttype": 42,
        "svg.fonttype": "path",  # letters as outlines: no font is needed to show them
        "svg.hashsalt": "evnas",
        "path.simplify": False,
    }

"""The page's colours, marks and dashes for what Python draws (static/js/plots.js has them too; a
test holds the two together)."""

from collections.abc import Mapping, Sequence

PALETTE = ("#0a5abb", "#ea6511", "#2f8c66", "#b0608c", "#705402", "#088bff", "#482065", "#5c575b")
"""After Okabe and Ito (2008), moved apart as on the page, on light paper."""
MARKS = (
    "circle", "square", "diamond", "triangle-up", "pentagon", "hexagon", "star", "triangle-down",
)  # fmt: skip
"""Beside each colour its mark, so that none is known by colour alone."""
INK, MUTED, FAINT, LINE, WARN = "#1a1f26", "#55606c", "#b4bdc7", "#dde2e7", "#a34700"
"""Of text, of what stands back, of the cloud, of rules and of what ended badly (style.css)."""
KNOWN_FIRST = ("hsm_ssd", "nc_ssd", "ss2d", "es2d", "sa", "none", "timm")
"""Mixers that keep their colour from study to study."""
OTHER = len(PALETTE) - 1
"""The group of all mixers behind the first seven."""


def mixer_groups(counts: Mapping[str, int]) -> dict[str, int]:
    """Mixer text -> the number of its colour and mark: known ones first, then the most frequent.

    Args:
        counts: how many trials have each, in order of first appearance.
    """
    frequent = sorted(counts, key=lambda name: -counts[name])
    known = [name for name in KNOWN_FIRST if name in counts]
    names: Sequence[str] = [*known, *(name for name in frequent if name not in KNOWN_FIRST)]
    return {name: min(place, OTHER) for place, name in enumerate(names)}

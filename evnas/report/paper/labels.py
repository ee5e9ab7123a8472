"""Labels beside marks, placed so that none lies on another; one that finds no place is left out
(static/js/labels.js does it for the page)."""

from collections.abc import Sequence

Box = tuple[float, float, float, float]
"""left, bottom, right, top."""
PLACES = ((1, 0.7), (-1, 0.7), (1, -0.7), (-1, -0.7), (0, 1), (0, -1), (1, 0), (-1, 0))
"""Sides of the mark that are tried, in this order."""
LETTER = 0.62
"""Width of a letter over the size of the font, about."""


def placed_labels(
    marks: Sequence[tuple[float, float, str]],
    inside: Box,
    *,
    size: float,
    away: float,
) -> list[tuple[float, float, str] | None]:
    """Where each label's lower left corner goes, None of one that finds no room.

    Args:
        marks: centres and texts, in points.
        inside: where labels may stand.
        size: of the font, in points.
        away: between a mark's centre and its label.
    """
    half = away * 0.6
    taken: list[Box] = [(x - half, y - half, x + half, y + half) for x, y, _ in marks]
    found: list[tuple[float, float, str] | None] = []
    for x, y, text in marks:
        box = next((b for b in _boxes(x, y, text, size, away) if _fits(b, inside, taken)), None)
        if box is not None:
            taken.append(box)
        found.append(None if box is None else (box[0], box[1], text))
    return found


def _boxes(x: float, y: float, text: str, size: float, away: float) -> list[Box]:
    wide, high = LETTER * size * len(text), size
    boxes = []
    for across, up in PLACES:
        left = x - wide / 2 if across == 0 else x + away if across > 0 else x - away - wide
        low = y - high / 2 if up == 0 else y + away * up if up > 0 else y + away * up - high
        boxes.append((left, low, left + wide, low + high))
    return boxes


def _fits(box: Box, inside: Box, taken: Sequence[Box]) -> bool:
    left, low, right, top = box
    within = inside[0] <= left and inside[1] <= low and right <= inside[2] and top <= inside[3]
    return within and not any(
        left < t[2] and right > t[0] and low < t[3] and top > t[1] for t in taken
    )

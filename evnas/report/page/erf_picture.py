"""Effective receptive fields as one picture, side by side; no torch, no browser."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from plotly.colors import sample_colorscale, unlabel_rgb

from evnas.errors import DataError

SIDE = 320
"""Pixels of each field in the picture."""
CAPTION = 24
GAP = 16
FOOT = 24
"""Below each field: its size in pixels."""
BAR = 16
TICKS = 96
"""Width of the colour bar, and of what is written beside it."""
FLOOR = 1e-3
"""The logarithmic scale ends here, three decades below the largest."""


def draw_fields(fields: Mapping[str, NDArray[np.float64]], output: Path) -> None:
    """Write a PNG of fields (H, W) in [0, 1], named by their keys, on a logarithmic scale.

    Each stands above the pixels of its image, and a bar at the right says what a colour means.

    Raises:
        DataError: the file cannot be written.
    """
    bar_left = len(fields) * (SIDE + GAP) + GAP
    size = (bar_left + BAR + TICKS, CAPTION + SIDE + FOOT)
    picture = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(picture)
    for i, (name, field) in enumerate(fields.items()):
        left = GAP + i * (SIDE + GAP)
        pen.text((left, 6), name, fill="black")
        image = Image.fromarray(_coloured(field)).resize((SIDE, SIDE), Image.Resampling.NEAREST)
        picture.paste(image, (left, CAPTION))
        height, width = field.shape
        pen.text((left, CAPTION + SIDE + 4), f"{width} x {height} pixels", fill="black")
    _draw_bar(picture, pen, bar_left)
    try:
        picture.save(output, format="PNG")
    except OSError as e:
        raise DataError(f"{output} must be writable, got: {e.strerror}") from e


def _draw_bar(picture: Image.Image, pen: ImageDraw.ImageDraw, left: int) -> None:
    """The colours of 1 down to `FLOOR`, a tick a decade."""
    levels = np.logspace(0, np.log10(FLOOR), SIDE)[:, None].repeat(BAR, axis=1)
    picture.paste(Image.fromarray(_coloured(levels)), (left, CAPTION))
    decades = round(-np.log10(FLOOR))
    for i in range(decades + 1):
        y = CAPTION + round(i * (SIDE - 1) / decades)
        pen.line((left + BAR, y, left + BAR + 4, y), fill="black")
        text = f"{10.0**-i:g}" if i < decades else f"{FLOOR:g} or less"
        pen.text((left + BAR + 8, y - 6), text, fill="black")
    pen.text((left, 6), "of the largest", fill="black")


def area_fraction(field: NDArray[np.float64], threshold: float = 0.05) -> float:
    """The share of pixels that move the centre by at least `threshold` of the largest."""
    return float((field >= threshold).mean())


def reduce_field(field: NDArray[np.float64], side: int = 56) -> list[list[float]]:
    """The field as at most `side` x `side` means, four digits, for a record."""
    factor = max(1, -(-max(field.shape) // side))
    height, width = (size // factor * factor for size in field.shape)
    cells = field[:height, :width].reshape(height // factor, factor, width // factor, factor)
    return [[round(float(v), 4) for v in row] for row in cells.mean(axis=(1, 3))]


def _coloured(field: NDArray[np.float64]) -> NDArray[np.uint8]:
    """(H, W) in [0, 1] to (H, W, 3), Viridis, which colour-blind people can read."""
    level = 1 - np.log10(np.clip(field, FLOOR, 1)) / np.log10(FLOOR)
    colours = [unlabel_rgb(c) for c in sample_colorscale("Viridis", np.linspace(0, 1, 256))]
    palette = np.array(colours).round().astype(np.uint8)
    picked: NDArray[np.uint8] = palette[(255 * level).round().astype(int)]
    return picked

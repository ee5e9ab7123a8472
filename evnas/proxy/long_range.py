"""Images made by rule, whose class shows only to who relates places far apart; no download.

Each set has four classes, a colour each. Every image holds the same colours and marks as often,
at places drawn from one distribution, so that no colour, count or place alone says anything of the
class; mirrored and shifted images keep theirs. Images are 32 x 32 pixels, drawn on a grid of 6 x 6
cells with a margin that a training's shifts stay within.

Source: ours. Associative recall and copying are the tasks that state-space models are probed with
(Gu and Dao, arXiv 2312.00752, Section 4.1; Arora et al., arXiv 2312.04927), path tracing is after
Pathfinder (Linsley et al., arXiv 1805.08315); here each is a picture.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from evnas.proxy.arrays import Bytes, ImageArrays, Labels

CLASSES = ("red", "green", "blue", "yellow")
COLOURS = np.array(
    [(230, 40, 40), (40, 200, 60), (50, 80, 240), (230, 210, 40)], dtype=np.uint8
)  # (class, RGB)
WHITE = np.array((255, 255, 255), dtype=np.uint8)
TRAINING, HELD_OUT = 10_000, 2_000
SIDE, MARGIN, CELL, CELLS = 32, 4, 4, 6
LEVELS, LEVEL_ROWS, BEND = 3, 5, 1
"""Of a traced path: levels on which neighbours may cross, pixels from one to the next, and pixels
that lanes are bent aside between them."""

Ints = NDArray[np.int64]
Draw = Callable[[Ints, np.random.Generator], Bytes]
"""Targets (n,) -> images (n, SIDE, SIDE, 3)."""


def associative_recall(side: int) -> ImageArrays:
    """Four pairs, a glyph over a colour; the class is the colour under the bottom row's glyph."""
    return made("associative_recall", draw_recall)


def long_range_copy(side: int) -> ImageArrays:
    """Four colours, each in a row; the class is that in the row of the white square, 1 to 5 cells
    away from it."""
    return made("long_range_copy", draw_copy)


def path_tracing(side: int) -> ImageArrays:
    """Four lines that cross on their way down, each from a colour; the class is the colour whose
    line ends at the white square."""
    return made("path_tracing", draw_paths)


def made(
    name: str,
    draw: Draw,
    *,
    training: int = TRAINING,
    held_out: int = HELD_OUT,
    seed: int = 0,
) -> ImageArrays:
    """A set of a kind; the same on every machine for one seed, as many images of each class."""
    train, test = (
        _split(draw, count, np.random.default_rng((seed, split)))
        for split, count in enumerate((training, held_out))
    )
    return ImageArrays(
        name=name,
        train_images=train[0],
        train_labels=train[1],
        held_out_images=test[0],
        held_out_labels=test[1],
        classes=CLASSES,
    )


def _split(draw: Draw, count: int, rng: np.random.Generator) -> tuple[Bytes, Labels]:
    labels = rng.permutation(np.arange(count) % len(CLASSES))
    return np.ascontiguousarray(draw(labels, rng).transpose(0, 3, 1, 2)), labels


def draw_copy(labels: Ints, rng: np.random.Generator) -> Bytes:
    """See `long_range_copy`. Each row draws a colour's and a square's place; one square shows."""
    n, k = len(labels), len(CLASSES)
    rows = np.argsort(rng.random((n, CELLS)), axis=1)[:, :k]  # the rows with a colour
    distance = rng.integers(1, CELLS, (n, k))
    first = (rng.random((n, k)) * (CELLS - distance)).astype(np.int64)
    ends = np.stack([first, first + distance])
    swapped = rng.random((n, k)) < 0.5
    colour_at, square_at = np.where(swapped, ends[::-1], ends)
    colours, target = _colours_with(labels, rng)
    images = _black(n)
    for i in range(k):
        _fill(images, rows[:, i], colour_at[:, i], COLOURS[colours[:, i]])
    each = np.arange(n)
    _fill(images, rows[each, target], square_at[each, target], WHITE)
    return images


GLYPHS = np.array(
    [
        ["1111", "0000", "0000", "1111"],
        ["1001", "1001", "1001", "1001"],
        ["0000", "1111", "1111", "0000"],
        ["1001", "0110", "0110", "1001"],
    ]
)
"""As much ink in each, and the same in a mirror."""
INK = np.array([[[mark == "1" for mark in row] for row in glyph] for glyph in GLYPHS])
"""(glyph, CELL, CELL)"""


def draw_recall(labels: Ints, rng: np.random.Generator) -> Bytes:
    """See `associative_recall`. Pairs stand in the two upper thirds, the question below."""
    n, k = len(labels), len(CLASSES)
    places = np.argsort(rng.random((n, 2 * CELLS)), axis=1)[:, :k]
    row, column = 2 * (places // CELLS), places % CELLS
    colours, target = _colours_with(labels, rng)
    glyphs = np.argsort(rng.random((n, k)), axis=1)
    images = _black(n)
    for i in range(k):
        _fill(images, row[:, i], column[:, i], WHITE, ink=INK[glyphs[:, i]])
        _fill(images, row[:, i] + 1, column[:, i], COLOURS[colours[:, i]])
    asked = INK[glyphs[np.arange(n), target]]
    _fill(images, np.full(n, CELLS - 1), rng.integers(0, CELLS, n), WHITE, ink=asked)
    return images


def draw_paths(labels: Ints, rng: np.random.Generator) -> Bytes:
    """See `path_tracing`. The class's line is drawn among the lower ends, so that it begins
    anywhere as often."""
    n, k = len(labels), len(CLASSES)
    at = np.tile(np.arange(k), (n, 1))  # lane -> which line is there
    lanes = [at]
    for level in range(LEVELS):
        at = at.copy()
        for left in range(level % 2, k - 1, 2):
            cross = rng.random(n) < 0.5
            at[cross, left], at[cross, left + 1] = at[cross, left + 1], at[cross, left]
        lanes.append(at)
    colours, target = _colours_with(labels, rng)  # of lines
    images = _black(n)
    where = [np.argsort(lane, axis=1) for lane in lanes]  # line -> its lane
    bend = rng.integers(-BEND, BEND + 1, (LEVELS + 1, n, k))  # of lanes, where two levels meet
    bend[[0, -1]] = 0
    each = np.arange(n)
    for line in range(k):
        for level in range(LEVELS):
            begin, end = (
                _lane_x(where[at][:, line]) + 1 + bend[at, each, where[at][:, line]]
                for at in (level, level + 1)
            )
            _line(images, level, begin, end)
    for line in range(k):
        _block(images, MARGIN, _lane_x(where[0][:, line]), COLOURS[colours[:, line]])
    ends = where[-1][each, target]
    _block(images, SIDE - MARGIN - CELL, _lane_x(ends), WHITE)
    return images


def _colours_with(labels: Ints, rng: np.random.Generator) -> tuple[Ints, Ints]:
    """Each image's colours in random order (n, classes), and where its class's stands (n,)."""
    colours = np.argsort(rng.random((len(labels), len(CLASSES))), axis=1)
    return colours, np.argmax(colours == labels[:, None], axis=1)


def _black(count: int) -> Bytes:
    return np.zeros((count, SIDE, SIDE, 3), dtype=np.uint8)


def _fill(
    images: Bytes,
    row: Ints,
    column: Ints,
    colour: Bytes,
    *,
    ink: NDArray[np.bool_] | None = None,
) -> None:
    """Colour one cell of each image, all of it or where there is ink (n, CELL, CELL)."""
    each = np.arange(len(images))
    for y in range(CELL):
        for x in range(CELL):
            at = each if ink is None else np.flatnonzero(ink[:, y, x])
            paint = colour if colour.ndim == 1 else colour[at]
            images[at, MARGIN + CELL * row[at] + y, MARGIN + CELL * column[at] + x] = paint


def _lane_x(lane: Ints) -> Ints:
    """The left pixel of a lane's end."""
    return MARGIN + 1 + lane * (SIDE - 2 * MARGIN) // len(CLASSES)


def _block(images: Bytes, y: int, x: Ints, colour: Bytes) -> None:
    """A square of CELL pixels with its upper left corner at (y, x of each image)."""
    each = np.arange(len(images))
    for down in range(CELL):
        for right in range(CELL):
            images[each, y + down, x + right] = colour


def _line(images: Bytes, level: int, begin: Ints, end: Ints) -> None:
    """One level of a line, two pixels wide, straight from column to column."""
    each = np.arange(len(images))
    top = MARGIN + CELL + level * LEVEL_ROWS
    for down in range(LEVEL_ROWS + 1):
        x = begin + (end - begin) * down // LEVEL_ROWS
        for right in range(2):
            images[each, top + down, x + right] = WHITE

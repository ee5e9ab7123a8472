"""Effective receptive fields: drawn to scale, reduced for a record, measured by area."""

import numpy as np
import pytest
from PIL import Image

from evnas.errors import DataError
from evnas.report.page.erf_picture import (
    BAR,
    CAPTION,
    FOOT,
    GAP,
    SIDE,
    TICKS,
    area_fraction,
    draw_fields,
    reduce_field,
)

SPOT = np.zeros((64, 64))
SPOT[:32, :32] = 1.0


def test_a_field_is_bright_where_it_is_large(tmp_path):
    draw_fields({"spot": SPOT, "dark": np.zeros((64, 64))}, tmp_path / "erf.png")
    picture = np.asarray(Image.open(tmp_path / "erf.png").convert("L")).astype(int)
    assert picture.shape == (CAPTION + SIDE + FOOT, 2 * (SIDE + GAP) + GAP + BAR + TICKS)
    spot = picture[CAPTION : CAPTION + SIDE, GAP : GAP + SIDE]
    assert spot[:100, :100].min() > 150
    assert spot[200:, 200:].max() < 60
    assert picture[CAPTION : CAPTION + SIDE, 2 * GAP + SIDE : 2 * (GAP + SIDE)].max() < 60


def test_area_and_reduction():
    assert area_fraction(SPOT) == 0.25
    small = np.array(reduce_field(SPOT, side=4))
    assert small.shape == (4, 4)
    assert small[:2, :2].min() == 1.0
    assert small.sum() == 4.0
    assert np.array(reduce_field(np.ones((225, 230)))).shape == (45, 46)


def test_a_folder_that_is_not_there_is_a_sentence(tmp_path):
    with pytest.raises(DataError, match=r"erf\.png must be writable"):
        draw_fields({"spot": SPOT}, tmp_path / "nowhere" / "erf.png")

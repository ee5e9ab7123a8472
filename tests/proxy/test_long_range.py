"""Images made by rule: balanced, the same for a seed, readable only by relating far places."""

import numpy as np
import pytest
from numpy.typing import NDArray

from evnas.proxy import long_range
from evnas.proxy.arrays import ImageArrays
from evnas.proxy.augment import crop_for
from evnas.proxy.data import load_data
from evnas.proxy.fingerprint import known_images

DRAWS = {
    "associative_recall": long_range.draw_recall,
    "long_range_copy": long_range.draw_copy,
    "path_tracing": long_range.draw_paths,
}
Floats = NDArray[np.float64]


@pytest.fixture(scope="module", params=DRAWS)
def images(request: pytest.FixtureRequest) -> ImageArrays:
    draw = DRAWS[request.param]
    return long_range.made(request.param, draw, training=4_000, held_out=2_000)


def test_labels_are_balanced(images: ImageArrays) -> None:
    assert np.bincount(images.train_labels).tolist() == [1_000] * 4
    assert np.bincount(images.held_out_labels).tolist() == [500] * 4


def test_a_seed_fixes_them(images: ImageArrays) -> None:
    def again(seed: int) -> ImageArrays:
        return long_range.made(
            images.name, DRAWS[images.name], training=100, held_out=8, seed=seed
        )

    assert np.array_equal(again(3).train_images, again(3).train_images)
    assert not np.array_equal(again(3).train_images, again(4).train_images)
    both = {image.tobytes() for split in (images.train_images, images.held_out_images)
            for image in split}  # fmt: skip
    assert len(both) > 5_900  # held-out images are not those trained on


def test_every_shift_of_a_training_keeps_all_that_is_drawn(images: ImageArrays) -> None:
    crop = crop_for(images.train_images.shape[-1], 56)
    drawn = images.train_images.any(axis=(0, 1))
    ys, xs = np.nonzero(drawn)
    assert crop.side == crop.stored == 32
    assert min(ys.min(), xs.min()) >= crop.pad
    assert max(ys.max(), xs.max()) < crop.stored - crop.pad


def pooled(images: NDArray[np.uint8], side: int) -> Floats:
    """(N, side * side * 3 + 6): means of a coarse grid, mean and spread of each colour."""
    n, c, h, _ = images.shape
    x = images.astype(np.float64) / 255
    coarse = x.reshape(n, c, side, h // side, side, h // side).mean((3, 5)).reshape(n, -1)
    return np.hstack([coarse, x.mean((2, 3)), x.std((2, 3)), np.ones((n, 1))])


def probed(images: ImageArrays, side: int) -> float:
    """Held-out accuracy of a linear probe (ridge) on pooled pixels."""
    x, test = pooled(images.train_images, side), pooled(images.held_out_images, side)
    truth = np.eye(4)[images.train_labels]
    weights = np.linalg.solve(x.T @ x + 1e-2 * np.eye(x.shape[1]), x.T @ truth)
    return float(((test @ weights).argmax(1) == images.held_out_labels).mean())


@pytest.mark.parametrize("side", [1, 8])
def test_no_linear_probe_of_pooled_pixels_tells_the_class(images: ImageArrays, side: int) -> None:
    assert probed(images, side) < 0.25 + 4 * np.sqrt(0.25 * 0.75 / 2_000)


def test_the_probe_would_see_a_shortcut() -> None:
    """A mean colour that leaks the class: the probe above is no blind one."""
    given = long_range.made("leaks", long_range.draw_copy, training=2_000, held_out=2_000)
    for pixels, labels in (
        (given.train_images, given.train_labels),
        (given.held_out_images, given.held_out_labels),
    ):
        pixels[:, 0, 0, :3] = (labels * 80)[:, None]  # three pixels in the margin
    assert probed(given, 8) > 0.4


def cell_means(image: NDArray[np.uint8]) -> Floats:
    """(6, 6, 3)"""
    inner = image[:, 4:28, 4:28].astype(np.float64)
    means: Floats = inner.reshape(3, 6, 4, 6, 4).mean((2, 4)).transpose(1, 2, 0)
    return means


def class_of(colour: Floats) -> int:
    return int(np.abs(long_range.COLOURS - colour).sum(1).argmin())


@pytest.mark.parametrize("mirrored", [False, True])
def test_copy_is_read_off_the_row_of_the_square(mirrored: bool) -> None:
    made = long_range.made("c", long_range.draw_copy, training=60, held_out=4)
    for image, label in zip(made.train_images, made.train_labels, strict=True):
        cells = cell_means(image[..., ::-1] if mirrored else image)
        row, column = np.argwhere((cells == 255).all(-1))[0]
        others = [c for c in range(6) if c != column and cells[row, c].any()]
        assert [class_of(cells[row, c]) for c in others] == [label]


@pytest.mark.parametrize("mirrored", [False, True])
def test_recall_is_read_off_the_same_glyph(mirrored: bool) -> None:
    made = long_range.made("r", long_range.draw_recall, training=60, held_out=4)
    for image, label in zip(made.train_images, made.train_labels, strict=True):
        inner = (image[..., ::-1] if mirrored else image)[:, 4:28, 4:28]
        cells = inner.reshape(3, 6, 4, 6, 4).transpose(1, 3, 0, 2, 4)  # (6, 6, 3, 4, 4)
        asked = next(cell for cell in cells[5] if cell.any())
        where = [(r, c) for r in (0, 2) for c in range(6) if np.array_equal(cells[r, c], asked)]
        assert len(where) == 1
        (r, c) = where[0]
        assert class_of(cells[r + 1, c].mean((1, 2))) == label


def test_paths_begin_anywhere_and_cross() -> None:
    """Position alone says little: the upper end of the line that is asked is anywhere as often,
    and seldom above its lower end."""
    made = long_range.made("p", long_range.draw_paths, training=2_000, held_out=4)
    above = []
    for image, label in zip(made.train_images, made.train_labels, strict=True):
        top = [class_of(image[:, 5, 6 + 6 * lane].astype(float)) for lane in range(4)]
        bottom = [image[:, 26, 5 + 6 * lane].all() for lane in range(4)]
        above.append((top.index(int(label)), bottom.index(True)))
    begins = np.bincount([a for a, _ in above])
    assert begins.min() > 0.2 * len(above)
    assert np.mean([a == b for a, b in above]) < 0.5


def test_they_are_data_sets_like_any_other() -> None:
    data = load_data("long_range_copy")
    assert data.classes == long_range.CLASSES
    assert data.train.images.shape == (10_000, 3, 32, 32) and len(data.held_out) == 2_000
    assert known_images("long_range_copy") == known_images("long_range_copy")
    assert known_images("long_range_copy") != known_images("path_tracing")

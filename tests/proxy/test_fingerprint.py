"""The fingerprint of images: what changes it, what does not, and what is said of a change."""

import os
import shutil

import made_profiles as icc
import numpy as np
import pytest
from PIL import Image
from spies import noting

from evnas.proxy import colour_profile, fashion, fingerprint
from evnas.proxy.fingerprint import KnownImages, known_images


@pytest.fixture
def images(tmp_path):
    root = tmp_path / "set"
    for split, count in (("train", 4), ("val", 2)):
        for label, name in enumerate(("cat", "dog")):
            (root / split / name).mkdir(parents=True)
            for i in range(count):
                pixels = np.full((8, 8, 3), 100 * label + i, dtype=np.uint8)
                Image.fromarray(pixels).save(root / split / name / f"{i}.bmp")
    return root


@pytest.fixture
def wide(images):
    """The same with two files whose colours a profile converts."""
    for path in (images / "train" / "dog" / "1.bmp", images / "val" / "dog" / "0.bmp"):
        profile = icc.rgb(icc.WIDE, icc.power_curve(icc.GAMMA))
        Image.new("RGB", (8, 8), (120, 160, 90)).save(
            path.with_suffix(".png"), icc_profile=profile
        )
        path.unlink()
    return images


def known(root, before=None):
    return known_images({"folder": str(root)}, before=before)


def test_it_is_the_same_wherever_the_files_lie(images, tmp_path):
    first = known(images)
    there = tmp_path / "elsewhere" / "copy"
    shutil.copytree(images, there, copy_function=shutil.copyfile)
    os.rename(there / "train", there / "Training")
    (there / ".DS_Store").touch()
    (there / "train.md").touch()
    assert known(there).fingerprint == first.fingerprint
    assert known(there).seen != first.seen
    assert KnownImages.from_dict(first.to_dict()) == first


AS_IT_WAS = KnownImages(fingerprint="")
"""What is known of images from before profiles were applied: nothing but that."""


def test_pixels_by_a_profile_are_other_images(wide):
    first, now = known(wide, before=AS_IT_WAS), known(wide)
    assert (first.reading, now.reading) == (1, 2)
    assert now.changes_since(first) == "class dog has 2 colour-converted images in place of 0"
    assert first.about.endswith("2 images embed a colour profile other than sRGB, which is not "
                                "applied: none was when this began")  # fmt: skip
    assert "2 images embed a colour profile other than sRGB, by which" in now.about
    assert known(wide, before=first) == first and known(wide, before=now) == now
    noted = first.to_dict()
    del noted["reading"]  # as it was noted
    assert KnownImages.from_dict(noted).reading == 1


def test_where_no_profile_changes_a_pixel_the_images_are_those_they_were(images):
    assert known(images).fingerprint == known(images, before=AS_IT_WAS).fingerprint


def test_what_was_converted_is_not_gone_on_with_unconverted(wide, monkeypatch):
    before = known(wide)
    for module in (colour_profile, fingerprint):
        monkeypatch.setattr(module, "can_convert", lambda: False)
    now = known(wide, before=before)  # the same files
    assert now.changes_since(before) == "class dog has 0 colour-converted images in place of 2"


def rewrite(root):
    path = root / "train" / "dog" / "2.bmp"
    raw = bytearray(path.read_bytes())
    raw[-1] ^= 1  # one bit, and the same size
    path.write_bytes(raw)


def write_the_same(root):
    path = root / "val" / "cat" / "0.bmp"
    path.write_bytes(path.read_bytes())


def move(old, new):
    return lambda root: os.rename(root / old, root / new)


def rename_cats(root):
    for split in ("train", "val"):
        os.rename(root / split / "cat", root / split / "eel")


def add_foxes(root):
    for split in ("train", "val"):
        shutil.copytree(root / split / "cat", root / split / "fox")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (rewrite, "class dog has other files or other contents"),
        (lambda root: (root / "train/dog/1.bmp").unlink(), "dog has 3 training images in place"),
        (move("val/cat/1.bmp", "val/cat/9.bmp"), "class cat has other files"),
        (
            move("val/cat/1.bmp", "train/cat/9.bmp"),
            "cat has 5 training images in place of 4 and 1 held-out image in place of 2",
        ),
        (add_foxes, "class fox is new"),
        (rename_cats, "class eel is new; class cat is gone"),
        (lambda root: (root / "train/cat/notes.txt").touch(), ""),
        (write_the_same, ""),
    ],
    ids=["a bit", "one less", "renamed", "moved", "one class more", "class renamed", "a text",
         "written again"],
)  # fmt: skip
def test_what_changes_it_is_named(images, change, words):
    before = known(images)
    change(images)
    now = known(images, before)
    assert words in now.changes_since(before)
    assert bool(now.changes_since(before)) == bool(words)


def test_files_that_were_not_touched_are_not_read_again(images, monkeypatch):
    before = known(images)
    monkeypatch.setattr(fingerprint, "_contents", lambda path: pytest.fail(f"{path} was read"))
    assert known(images, before) is before
    monkeypatch.undo()
    os.utime(images / "train" / "cat" / "0.bmp")
    assert known(images, before).fingerprint == before.fingerprint


def test_of_many_bytes_an_even_sample_is_read_and_doubt_is_said(images, monkeypatch):
    size = (images / "train" / "cat" / "0.bmp").stat().st_size
    monkeypatch.setattr(fingerprint, "MOST_BYTES", 6 * size)
    read: list[object] = []
    monkeypatch.setattr(fingerprint, "_contents", noting(read, fingerprint._contents))
    before = known(images)
    assert (before.sampled_every, len(read)) == (2, 6)
    assert before.cannot_tell(before) == ""
    untold = next(p for p in sorted(images.rglob("*.bmp")) if str(p) not in read)
    untold.write_bytes(untold.read_bytes()[:-1] + b"\0")
    now = known(images, before)
    assert now.fingerprint == before.fingerprint
    assert "the contents of one in 2 are as they were; of the others that cannot be known" in (
        now.cannot_tell(before)
    )


def test_named_sets_are_known_by_their_contents(images, tmp_path, monkeypatch):
    first = known_images("fashion-mnist-12k")
    assert first.fingerprint == "d6819c23a18a2faa"
    other = tmp_path / "other.npz"
    other.write_bytes(fashion.SHIPPED_FILE.read_bytes() + b"\0")
    monkeypatch.setattr(fashion, "SHIPPED_FILE", other)
    now = known_images("fashion-mnist-12k")
    assert now.changes_since(first) == "their contents differ"

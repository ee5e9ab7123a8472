"""Folders of images as people have them: names of splits, hidden things, links, nesting."""

import os
import re
from pathlib import Path

import pytest

from evnas.errors import DataError
from evnas.proxy.folder_survey import survey


def write(root, *names):
    """Empty files, and their folders; a name that ends in / is a folder."""
    for name in names:
        path = root / name
        if name.endswith("/"):
            path.mkdir(parents=True)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()


def pairs(root, samples):
    return [(Path(path).relative_to(root).as_posix(), label) for path, label in samples]


@pytest.mark.parametrize(
    ("train", "held_out"),
    [
        ("train", "val"),
        ("training", "validation"),
        ("Train", "Val"),
        ("TRAIN", "TEST"),
        ("Training", "testing"),
        ("train", "valid"),
    ],
)
def test_splits_under_their_usual_names(tmp_path, train, held_out):
    write(tmp_path, f"{train}/cat/1.png", f"{train}/dog/1.JPG", f"{held_out}/cat/2.png",
          f"{held_out}/dog/2.png")  # fmt: skip
    found = survey(tmp_path, may_split=False)
    assert pairs(tmp_path, found.train) == [(f"{train}/cat/1.png", 0), (f"{train}/dog/1.JPG", 1)]
    assert len(found.held_out) == 2
    assert found.split == f"{train}/ and {held_out}/"
    assert found.left_out == ()


def test_val_is_held_out_before_test_and_what_is_left_out_is_named(tmp_path):
    write(tmp_path, "train/a/1.png", "train/b/1.png", "val/a/1.png", "val/b/1.png",
          "test/a/1.png", "annotations/x.xml", "LICENSE", "montage.png",
          "train/readme.md", "train/a/1.xml", "train/a/clip.gif")  # fmt: skip
    assert str(survey(tmp_path)) == (
        f"{tmp_path}: 2 training and 2 held-out images (train/ and val/) of 2 classes: a, b; "
        "left out: annotations/, test/, 1 image in no class's folder, "
        "4 files of other kinds (.gif, .md, .xml, without suffix)"
    )


def test_what_systems_leave_behind_is_no_class_and_no_image(tmp_path):
    images = [f"{c}/{i}.png" for c in ("cat", "dog") for i in range(6)]
    write(tmp_path, *images, ".ipynb_checkpoints/x-checkpoint.png", "__MACOSX/cat/._0.png",
          "cat/._0.png", "cat/@eaDir/0.png", ".DS_Store")  # fmt: skip
    found = survey(tmp_path)
    assert (found.classes, len(found.train), len(found.held_out)) == (("cat", "dog"), 10, 2)
    assert found.left_out == ("5 hidden files and folders",)


def test_a_folder_named_like_an_image_is_a_folder(tmp_path):
    write(tmp_path, "cat.png/1.png", *(f"cat.png/more.jpg/{i}.png" for i in range(5)),
          *(f"dog.jpg/{i}.png" for i in range(6)))  # fmt: skip
    found = survey(tmp_path)
    assert found.classes == ("cat.png", "dog.jpg")
    assert len(found.train) + len(found.held_out) == 12


def test_nested_folders_belong_to_their_class_in_the_order_of_their_parts(tmp_path):
    write(tmp_path, "train/x/b/1.png", "train/x/b-1.png", "train/x/a/c/1.png", "train/x/b.png",
          "train/y/1.png", "val/x/1.png", "val/y/1.png")  # fmt: skip
    found = survey(tmp_path)
    of_x = [Path(path) for path, label in found.train if label == 0]
    assert of_x == sorted(of_x)
    assert len(of_x) == 4


def test_links_are_followed_but_not_round_in_circles(tmp_path):
    write(tmp_path / "there", *(f"{i}.png" for i in range(6)), "more/6.png")
    write(tmp_path / "set", *(f"cat/{i}.png" for i in range(5)))
    (tmp_path / "set" / "dog").symlink_to(tmp_path / "there")
    (tmp_path / "set" / "cat" / "5.png").symlink_to(tmp_path / "there" / "0.png")
    (tmp_path / "set" / "cat" / "far").symlink_to(tmp_path / "there" / "more")
    (tmp_path / "there" / "more" / "back").symlink_to(tmp_path / "there")
    found = survey(tmp_path / "set")
    labels = [label for _, label in (*found.train, *found.held_out)]
    # back leads out of cat/far to a folder that is not around it, and round from there
    assert labels.count(1) == 7
    assert found.left_out == ("2 links to folders around them",)


def test_a_link_to_nothing_is_named(tmp_path):
    write(tmp_path, *(f"{c}/{i}.png" for c in "ab" for i in range(6)))
    (tmp_path / "a" / "7.png").symlink_to(tmp_path / "gone.png")
    with pytest.raises(DataError, match=r"a/7\.png must be an image, it is a link to nothing"):
        survey(tmp_path)


def test_a_class_may_be_called_train(tmp_path):
    write(tmp_path, *(f"{c}/{i}.png" for c in ("bus", "car", "train") for i in range(6)))
    assert survey(tmp_path).classes == ("bus", "car", "train")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["train/a/1.png", "train/b/1.png"], "holds train/ and must hold val/ or test/"),
        (["Test/a/1.png", "Test/b/1.png", "other/1.png"], "holds Test/ and must hold train/"),
        (["train/a/1.png", "Training/a/1.png"], "one split of a kind, it holds Training/ and tr"),
        (["train/1.png", "val/1.png"], "train must hold a subfolder for each .* 1 image in none"),
        (["imagenette/train/", "imagenette/val/"], "got 1; name .*imagenette, which holds train/"),
        (["a/train/1.png", "a/val/1.png", "b/train/1.png"], "a must hold the images of one class"),
        (["a/1.gif", "a/2.GIF", "b/1.png"], r"a must hold images .* other kinds \(\.gif\)"),
    ],
    ids=["no val", "no train", "two", "no classes", "wrapped", "splits below", "gif"],
)
def test_what_can_be_understood_in_two_ways_is_refused(tmp_path, names, message):
    write(tmp_path, *names)
    with pytest.raises(DataError, match=message):
        survey(tmp_path)


def test_classes_are_the_same_whatever_form_a_system_stores_names_in(tmp_path):
    composed, decomposed = "caf\u00e9", "cafe\u0301"
    write(tmp_path, f"train/{composed}/1.png", "train/x/1.png", f"val/{decomposed}/1.png",
          "val/x/1.png")  # fmt: skip
    if len(os.listdir(tmp_path / "train")) == 2:
        assert survey(tmp_path).classes == (composed, "x")


def test_many_classes_are_counted(tmp_path):
    write(tmp_path, *(f"{c:03}/{i}.png" for c in range(12) for i in range(6)))
    assert re.search(r"of 12 classes: 000, .*, 009 and 2 more$", str(survey(tmp_path)))

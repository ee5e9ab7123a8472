"""The image sets: what is shipped, the full set, folders, and their order."""

import gzip
import struct

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from evnas.errors import DataError
from evnas.proxy import fashion, folder
from evnas.proxy.data import ImageSet, balanced_order, channel_statistics, load_data


def test_the_shipped_set():
    data = load_data("fashion-mnist-12k")
    assert data.train.images.shape == (10_000, 1, 28, 28)
    assert data.held_out.images.shape == (2_000, 1, 28, 28)
    assert data.train.labels.bincount().tolist() == [1_000] * 10
    assert data.held_out.labels.bincount().tolist() == [200] * 10
    assert data.held_out.labels[:500].bincount().tolist() == [50] * 10
    assert data.classes[9] == "Ankle boot"
    # of the whole training set: 0.2860 and 0.3530
    assert data.mean == pytest.approx((0.286,), abs=2e-3)
    assert data.std == pytest.approx((0.353,), abs=2e-3)
    # curves in the store were learnt on these very images in this very order
    assert data.fingerprint == "189e62a82e2a"


def test_the_licence_lies_beside_the_data():
    text = (fashion.SHIPPED_FILE.parent / "LICENSE.fashion-mnist.txt").read_text()
    assert "Copyright (c) 2017 Zalando SE" in text
    assert "Permission is hereby granted, free of charge" in text


def write_idx(path, array):
    head = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
    raw = head + array.astype(np.uint8).tobytes()
    path.write_bytes(gzip.compress(raw) if path.suffix == ".gz" else raw)


@pytest.mark.parametrize("suffix", ["", ".gz"], ids=["torchvision", "debian"])
def test_the_full_set_is_read_where_it_is(tmp_path, suffix):
    images = np.arange(2 * 28 * 28).reshape(2, 28, 28) % 256
    for split in ("train", "t10k"):
        write_idx(tmp_path / f"{split}-images-idx3-ubyte{suffix}", images)
        write_idx(tmp_path / f"{split}-labels-idx1-ubyte{suffix}", np.array([3, 1]))
    found = fashion.full_set((tmp_path / "nowhere", tmp_path))
    assert (found.test_images == images).all()
    assert found.train_labels.tolist() == [3, 1]


def test_no_full_set_is_one_sentence(tmp_path):
    with pytest.raises(DataError, match=r"found in none of .*; install Debian's dataset-f"):
        fashion.full_set((tmp_path,))


def test_a_broken_idx_file_is_named(tmp_path):
    path = tmp_path / "train-images-idx3-ubyte.gz"
    path.write_bytes(gzip.compress(b"\x00\x00\x08\x03\x00"))
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte.gz must be an idx file"):
        fashion.full_set((tmp_path,))
    path.write_bytes(b"no gzip")
    with pytest.raises(DataError, match="must be an idx file"):
        fashion.full_set((tmp_path,))


def test_an_unknown_name_gets_the_nearest():
    with pytest.raises(DataError, match="did you mean 'fashion-mnist"):
        load_data("fashion-minst")
    with pytest.raises(DataError, match=r"must be a name or \{folder: PATH\}"):
        load_data({"path": "x"})


def write_images(root, names, count, size=(40, 30)):
    for label, name in enumerate(names):
        (root / name).mkdir(parents=True)
        for i in range(count):
            colour = (60 * label, 10 * i, 200)
            Image.new("RGB", size, colour).save(root / name / f"{i:03}.png")


def test_a_folder_with_its_own_split(tmp_path):
    write_images(tmp_path / "train", ("cat", "dog"), 5)
    write_images(tmp_path / "val", ("cat", "dog"), 2)
    data = load_data({"folder": tmp_path.name}, resolution=16, base_folder=tmp_path.parent)
    assert data.train.images.shape == (10, 3, 18, 18)
    assert data.held_out.images.shape == (4, 3, 18, 18)
    assert data.classes == ("cat", "dog")
    assert data.train.labels.tolist() == [0, 1] * 5
    assert data.train.images[3, :, 9, 9].tolist() == [60, 10, 200]
    assert data.note == (
        f"{tmp_path}: 10 training and 4 held-out images (train/ and val/) of 2 classes: cat, dog"
    )


def test_a_folder_of_classes_is_split_the_same_way_each_time(tmp_path):
    write_images(tmp_path, ("cat", "dog"), 13)
    data = load_data({"folder": str(tmp_path)}, resolution=8)
    assert (len(data.train), len(data.held_out)) == (22, 4)
    greens = data.held_out.images[data.held_out.labels == 0][:, 1, 0, 0].tolist()
    assert greens == [50, 110]
    assert "every 6th of a class is held out" in data.note


def test_a_large_folder_is_thinned_evenly(tmp_path, monkeypatch):
    monkeypatch.setattr(folder, "MAX_TRAIN_IMAGES", 6)
    write_images(tmp_path / "train", ("cat", "dog", "eel"), 4)
    write_images(tmp_path / "test", ("cat", "dog", "eel"), 1)
    data = load_data({"folder": str(tmp_path)}, resolution=8)
    assert data.train.labels.bincount().tolist() == [2, 2, 2]
    assert "6 of 12 training and 3 held-out images" in data.note


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda root: None, "must be a folder of images, there is none"),
        (lambda root: root.mkdir(), "at least two classes, got 0"),
        (lambda root: [(root / n).mkdir(parents=True) for n in "ab"], "must hold images .* none"),
        (lambda root: write_images(root / "train", ("a", "b"), 1), "val/ or test/ beside it"),
        (lambda root: write_images(root, ("a", "b"), 5), "at least 6 images to hold some out"),
    ],
    ids=["missing", "empty", "no images", "no held-out", "too few"],
)
def test_a_folder_that_will_not_do(tmp_path, make, message):
    make(tmp_path / "set")
    with pytest.raises(DataError, match=message):
        load_data({"folder": str(tmp_path / "set")})


def test_splits_must_have_the_same_classes(tmp_path):
    write_images(tmp_path / "train", ("cat", "dog"), 1)
    write_images(tmp_path / "val", ("cat", "fox"), 1)
    with pytest.raises(DataError, match="they differ in dog, fox"):
        load_data({"folder": str(tmp_path)})


def test_a_broken_image_is_named(tmp_path):
    write_images(tmp_path, ("cat", "dog"), 6)
    (tmp_path / "dog" / "003.png").write_bytes(b"\x89PNG broken")
    with pytest.raises(DataError, match=r"dog/003.png must be an image[^;]*; save[^;]*$"):
        load_data({"folder": str(tmp_path)})
    (tmp_path / "dog" / "004.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"dog/003.png must be an image.*; 1 more cannot be read$"):
        load_data({"folder": str(tmp_path)})


@settings(deadline=None)  # the machine may be busy
@given(st.lists(st.integers(0, 4), min_size=1, max_size=60), st.data())
def test_every_prefix_is_balanced(labels, draw):
    order = balanced_order(np.array(labels))
    assert sorted(order.tolist()) == list(range(len(labels)))
    n = draw.draw(st.integers(0, len(labels)))
    for label in set(labels):
        share = labels.count(label) * n / len(labels)
        got = sum(labels[i] == label for i in order[:n])
        assert abs(got - share) <= len(set(labels))


def test_channel_statistics_by_hand():
    images = torch.tensor([[[[0, 255]], [[51, 51]]]], dtype=torch.uint8)
    mean, std = channel_statistics(images)
    assert mean == pytest.approx((0.5, 0.2))
    assert std == pytest.approx((0.5, 1e-3))  # no spread, but no division by zero


def test_image_sets_are_checked():
    with pytest.raises(ValueError, match=r"\(N, C, H, W\) uint8"):
        ImageSet(images=torch.zeros(2, 1, 4, 4), labels=torch.zeros(2))
    with pytest.raises(ValueError, match=r"labels must be \(2,\)"):
        ImageSet(images=torch.zeros(2, 1, 4, 4, dtype=torch.uint8), labels=torch.zeros(3))

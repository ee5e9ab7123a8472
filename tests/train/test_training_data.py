"""Where images of trainings may lie, and what is said where they do not."""

import io
import json
import pickle
import shutil
import tarfile
from pathlib import Path

import made_profiles as icc
import numpy as np
import pytest
import torch
from PIL import Image
from tiny_training import RECIPE, SIDE, make_images, tiny_arch, tiny_config

from evnas.errors import DataError, SpecError
from evnas.evaluate.held_out import held_out_images
from evnas.proxy.fingerprint import KnownImages
from evnas.train import cifar, data
from evnas.train.data import FileSplit, images_noted, open_dataset
from evnas.train.loaders import (
    NO_LABEL,
    View,
    _augment_ops,
    epoch_order,
    evaluation_batches,
    training_transform,
)
from evnas.train.session import Session
from evnas.train.training import train
from evnas.train.world import World

ONE_EPOCH = {"epochs": 1, "warmup_epochs": 0, "cooldown_epochs": 0}


def unpack_cifar(root, *, hundred=False, images=4):
    """Files of torchvision's form: made-up images whose first byte is their number."""
    folder = root / ("cifar-100-python" if hundred else "cifar-10-batches-py")
    folder.mkdir(parents=True)
    parts = ["train", "test"] if hundred else [*(f"data_batch_{i}" for i in range(1, 6)),
                                               "test_batch"]  # fmt: skip
    key = "fine_labels" if hundred else "labels"
    for number, part in enumerate(parts):
        pixels = np.full((images, 3072), number, dtype=np.uint8)
        pixels[:, 0] = np.arange(images)
        held = {"data": pixels, key: [i % 3 for i in range(images)]}
        (folder / part).write_bytes(pickle.dumps(held, protocol=2))
    meta = {("fine_" if hundred else "") + "label_names": ["cat", "dog", "ship"]}
    (folder / ("meta" if hundred else "batches.meta")).write_bytes(pickle.dumps(meta, protocol=2))
    return folder


@pytest.mark.parametrize("hundred", [False, True])
def test_cifar_from_torchvisions_files(tmp_path, hundred):
    unpack_cifar(tmp_path, hundred=hundred)
    read = cifar.cifar100 if hundred else cifar.cifar10
    found = read([tmp_path / "not here", tmp_path])
    assert found.train_images.shape == (4 if hundred else 20, 3, 32, 32)
    assert found.held_out_images.shape == (4, 3, 32, 32)
    assert found.classes == ("cat", "dog", "ship")
    assert found.train_labels[:4].tolist() == [0, 1, 2, 0]
    assert found.train_images[2, 0, 0, 0] == 2
    with pytest.raises(DataError, match=r"data cifar10+ needs the files that torchvision unpacks"):
        read([tmp_path / "not here"])


def test_a_cifar_file_runs_nothing_and_must_be_whole(tmp_path):
    folder = unpack_cifar(tmp_path)
    ran = tmp_path / "ran"

    class Payload:
        def __reduce__(self):
            return (Path.touch, (ran,))

    good = (folder / "test_batch").read_bytes()
    (folder / "test_batch").write_bytes(pickle.dumps({"data": Payload()}))
    with pytest.raises(DataError, match=r"test_batch must be a pickle of arrays alone \(it holds"):
        cifar.cifar10([tmp_path])
    assert not ran.exists()
    for bad in (good[:100], pickle.dumps({"data": np.zeros((2, 5), np.uint8), "labels": [0, 1]})):
        (folder / "test_batch").write_bytes(bad)
        with pytest.raises(DataError, match="test_batch must"):
            cifar.cifar10([tmp_path])


def test_it_trains_on_named_sets(tmp_path, monkeypatch):
    unpack_cifar(tmp_path, images=8)
    monkeypatch.setitem(data.NAMED, "cifar10", lambda: cifar.cifar10([tmp_path]))
    said: list[str] = []
    config = tiny_config("cifar10", tmp_path / "run", recipe={**ONE_EPOCH, "batch_size": 8})
    assert train(config, tell=said.append).status == "complete"
    assert said[0] == "images: cifar10: 40 training and 8 held-out images of 3 classes"
    unpack_cifar(tmp_path / "other", images=8)
    part = tmp_path / "other" / "cifar-10-batches-py" / "data_batch_1"
    held = pickle.loads(part.read_bytes())
    held["data"][0, 5] += 1
    part.write_bytes(pickle.dumps(held))
    monkeypatch.setitem(data.NAMED, "cifar10", lambda: cifar.cifar10([tmp_path / "other"]))
    with pytest.raises(DataError, match="a training on other images"):
        train(config)


def test_grey_images_become_rgb():
    found = open_dataset("fashion-mnist-12k")
    image, label = found.train[3]  # type: ignore[index]
    assert (image.mode, image.size) == ("RGB", (28, 28))
    assert 0 <= label < 10
    assert len(found.classes) == 10


@pytest.mark.parametrize("package", ["datasets", "webdataset"])
def test_packages_that_are_not_installed_get_a_sentence(tmp_path, monkeypatch, package):
    monkeypatch.setattr(data, "is_installed", lambda name: False)
    prefix = {"datasets": "hfds/", "webdataset": "wds/"}[package]
    with pytest.raises(DataError, match=f"needs {package}, which is not installed: pip install"):
        open_dataset(f"{prefix}{tmp_path}")
    monkeypatch.setattr(data, "is_installed", lambda name: True)
    with pytest.raises(DataError, match="must be a folder here, there is none; nothing is down"):
        open_dataset(f"{prefix}{tmp_path}/none")


class Reader:
    """What timm's reader of Hugging Face's sets gives: open files and labels."""

    def __init__(self, images, classes=("a", "b")):
        self.files, self.class_to_idx = images, {name: i for i, name in enumerate(classes)}

    def __len__(self):
        return len(self.files)

    def __getitem__(self, index):
        return io.BytesIO(self.files[index]), index % 2


def png(value):
    held = io.BytesIO()
    Image.new("RGB", (20, 20), (value, 10, 10)).save(held, "png")
    return held.getvalue()


def test_rows_of_hugging_face_datasets_through_timms_reader(tmp_path, monkeypatch):
    splits = {"train": [png(i) for i in range(16)], "test": [png(i) for i in range(4)]}
    asked = []

    def create(name, root, split):
        asked.append((name, root, split))
        if split not in splits:
            raise ValueError(f"Unknown split {split!r}")
        return type("Rows", (), {"reader": Reader(splits[split])})()

    monkeypatch.setattr("timm.data.dataset_factory.create_dataset", create)
    monkeypatch.setattr(data, "is_installed", lambda name: True)
    source = f"hfds/{tmp_path}"
    found = open_dataset(source)
    assert asked[0] == (source, None, "validation")
    assert (len(found.train), len(found.held_out)) == (16, 4)  # type: ignore[arg-type]
    assert found.classes == ("a", "b")
    assert train(tiny_config(source, tmp_path / "run", recipe=ONE_EPOCH)).status == "complete"
    splits["train"][3] = b"no image"
    with pytest.raises(DataError) as caught:
        train(tiny_config(source, tmp_path / "broken", recipe=ONE_EPOCH))
    assert f"{source}:train[3] must be an image" in str(caught.value)
    del splits["test"]
    with pytest.raises(DataError, match="must hold a split called validation or val or valid or"):
        open_dataset(source)


def test_labels_must_fit(tmp_path, monkeypatch):
    reader = Reader([png(i) for i in range(16)], classes=())
    rows = type("Rows", (), {"reader": reader})()
    monkeypatch.setattr("timm.data.dataset_factory.create_dataset", lambda *a, **k: rows)
    monkeypatch.setattr(data, "is_installed", lambda name: True)
    monkeypatch.setattr(Reader, "__getitem__", lambda self, i: (io.BytesIO(self.files[i]), 7))
    source = f"hfds/{tmp_path}"
    with pytest.raises(DataError, match=f"{source} must have labels from 0 to 1, got 7"):
        train(tiny_config(source, tmp_path / "run", recipe=ONE_EPOCH))
    monkeypatch.setattr(Reader, "__getitem__", lambda self, i: (io.BytesIO(self.files[i]), 0))
    with pytest.raises(DataError, match="must hold at least two classes, got 1"):
        train(tiny_config(source, tmp_path / "run", arch=tiny_arch(classes=1), recipe=ONE_EPOCH))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # of its own
def test_webdataset_shards(tmp_path):
    pytest.importorskip("webdataset")
    splits: dict[str, dict[str, object]] = {}
    for split, images in (("train", 16), ("val", 6)):
        name = f"{split}-0000.tar"
        with tarfile.open(tmp_path / name, "w") as tar:
            for i in range(images):
                for suffix, held in (("png", png(100 * (i % 2))), ("cls", str(i % 2).encode())):
                    info = tarfile.TarInfo(f"{i:04d}.{suffix}")
                    info.size = len(held)
                    tar.addfile(info, io.BytesIO(held))
        splits[split] = {"name": split, "filenames": [name], "shard_lengths": [images],
                         "num_samples": images}  # fmt: skip
    (tmp_path / "_info.json").write_text(json.dumps({"splits": splits, "num_classes": 2}))
    source = f"wds/{tmp_path}"
    for workers in (0, 2):
        whole = train(tiny_config(source, tmp_path / f"whole{workers}", workers=workers))
        assert whole.status == "complete"
        broken_off = tmp_path / f"run{workers}"
        train(tiny_config(source, broken_off, until_epoch=2, workers=workers))
        assert train(tiny_config(source, broken_off, workers=workers)).curve == whole.curve
    said: list[str] = []
    train(tiny_config(source, tmp_path / "whole0", workers=1), tell=said.append)
    told = "the shards were read by 0 workers and are by 1 from here on"
    assert any(line.startswith(told) for line in said)


def test_a_folder_that_hugging_face_datasets_load(images, tmp_path, monkeypatch):
    pytest.importorskip("datasets")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    shutil.copytree(images, tmp_path / "held")
    result = train(tiny_config(f"hfds/{tmp_path / 'held'}", tmp_path / "run", recipe=ONE_EPOCH))
    assert result.status == "complete"


@pytest.mark.parametrize("policy", ["rand-m9-mstd0.5-inc1", "rand-m9-mstd0.5", "original"])
def test_every_level_of_the_policies_can_be_drawn(policy):
    """At its strongest, posterizing keeps no bit: black, where Pillow alone would raise."""
    made = training_transform(RECIPE.edited({"auto_augment": policy}), SIDE)
    ops = list(_augment_ops(made))
    assert len(ops) >= 15
    for op in ops:
        op.prob, op.magnitude, op.magnitude_std = 1.0, 10, 0
        assert op(Image.new("RGB", (8, 8), (200, 100, 50))).size == (8, 8)
    strongest = [op for op in ops if op.name == "PosterizeIncreasing"]
    assert bool(strongest) == policy.endswith("inc1")
    for op in strongest:
        assert op(Image.new("RGB", (8, 8), (200, 100, 50))).getextrema() == ((0, 0),) * 3


@pytest.mark.parametrize("policy", ["rnd-m9", "rand-mx", "rand-q3"])
def test_a_policy_that_is_none_gets_a_sentence(policy):
    with pytest.raises(SpecError, match=r"recipe\.auto_augment: must be a policy as timm spells"):
        training_transform(RECIPE.edited({"auto_augment": policy}), SIDE)


def test_held_out_images_alone(images):
    found = open_dataset(images, held_out_only=True)
    assert (len(found.train), len(found.held_out)) == (0, 6)  # type: ignore[arg-type]
    loose = open_dataset(images / "val", held_out_only=True)
    assert len(loose.held_out) == 6  # type: ignore[arg-type]
    assert loose.classes == ("class0", "class1")


@pytest.fixture
def wide(tmp_path):
    """Images whose colours a profile converts."""
    root = make_images(tmp_path / "wide")
    for path in root.glob("*/*/*.png"):
        profile = icc.rgb(icc.WIDE, icc.power_curve(icc.GAMMA))
        Image.new("RGB", (24, 24), (120, 160, 90)).save(path, icc_profile=profile)
    return root


def test_a_training_goes_on_with_the_pixels_that_it_began_with(wide, tmp_path):
    def pixel():
        data = Session(tiny_config(wide, tmp_path), World(0, 1, torch.device("cpu"))).data
        first = [split[0][0] for split in (data.train, data.held_out)]  # type: ignore[index]
        return data, *(image.getpixel((0, 0)) for image in first)

    data, *converted = pixel()
    assert converted[0] == converted[1] == pytest.approx(icc.to_srgb((120, 160, 90)), abs=1.5)
    known = data.identify(KnownImages(fingerprint="")).to_dict()
    del known["reading"]  # as trainings noted it before profiles were applied
    (tmp_path / "images.json").write_text(json.dumps(known))
    data, *as_it_was = pixel()
    assert as_it_was == [(120, 160, 90)] * 2
    before = images_noted(tmp_path)
    assert before is not None and not data.identify(before).changes_since(before)


def test_held_out_images_say_what_becomes_of_their_colours(wide, images):
    said = held_out_images(wide).note
    assert said.endswith("6 images embed a colour profile other than sRGB, by which their colours "
                         "are converted")  # fmt: skip
    assert "colour" not in held_out_images(images).note
    as_before = held_out_images(wide, reading=1)
    assert isinstance(as_before.held_out, FileSplit)
    assert as_before.held_out[0][0].getpixel((0, 0)) == (120, 160, 90)
    assert as_before.note.endswith("which is not applied: none was when this began")


def test_evaluation_reads_each_image_once_whatever_the_devices(images):
    split = open_dataset(images).held_out
    view = View(resolution=SIDE)
    whole = list(evaluation_batches(split, view, batch_size=4))
    labels = torch.cat([batch.labels for batch in whole])
    assert labels.tolist() == [0, 0, 0, 1, 1, 1]
    parts = [
        torch.cat([b.labels for b in evaluation_batches(split, view, batch_size=4, rank=r,
                                                        devices=4)])
        for r in range(4)
    ]  # fmt: skip
    assert sorted(torch.cat(parts).tolist()) == labels.tolist()
    assert NO_LABEL not in labels


def test_an_epoch_shows_every_image_once_and_another_order_each(images, tmp_path):
    assert sorted(epoch_order(0, 1, 50).tolist()) == list(range(50))
    assert epoch_order(0, 1, 50).tolist() != epoch_order(0, 2, 50).tolist()
    session = Session(tiny_config(images, tmp_path), World(0, 1, torch.device("cpu")))
    from_start = [b.images for b in session.batches.epoch(2)]
    assert len(from_start) == session.plan.steps_per_epoch * session.plan.accumulate == 4
    later = [b.images for b in session.batches.epoch(2, first_step=1)]
    assert all(map(torch.equal, from_start[2:], later))
    again = [b.images for b in session.batches.epoch(2)]
    assert all(map(torch.equal, from_start, again))
    other = [b.images for b in session.batches.epoch(3)]
    assert not any(map(torch.equal, from_start, other))

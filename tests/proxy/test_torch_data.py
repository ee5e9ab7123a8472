"""Torch `Dataset`s as a proxy's data: what is read of them, and what is refused."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import evnas
from evnas.errors import DataError
from evnas.proxy.data import load_data
from evnas.registry import PluginError
from evnas.tables import DATASETS


@pytest.fixture(autouse=True)
def none_added(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(DATASETS, "_added", {})
    monkeypatch.setattr(DATASETS, "_loaded", {})
    monkeypatch.setattr(DATASETS, "_names", None)
    yield


def images(count: int, size: tuple[int, int, int] = (3, 8, 8)) -> list[tuple[torch.Tensor, int]]:
    """Image i is filled with i; two classes in turn."""
    return [(torch.full(size, i, dtype=torch.uint8), i % 2) for i in range(count)]


def test_forms_of_an_image_mean_the_same() -> None:
    plain = images(12)
    forms: dict[str, Any] = {
        "bytes": plain,
        "floats": [(x / 255, label) for x, label in plain],
        "pictures": [(Image.fromarray(x.permute(1, 2, 0).numpy()), y) for x, y in plain],
        "labels": [(x, torch.tensor(label)) for x, label in plain],
    }
    found = []
    for name, items in forms.items():
        evnas.add_dataset(name, items, items[:4], classes=["even", "odd"])
        found.append(load_data(name, resolution=16))
    assert len({data.fingerprint for data in found}) == 1
    assert found[0].train.images.shape == (12, 3, 8, 8)
    assert found[0].classes == ("even", "odd")
    at = found[0].train.images[:, 0, 0, 0] % 2
    assert (at == found[0].train.labels).all()


def test_every_sixth_of_each_class_is_held_out() -> None:
    evnas.add_dataset("own_split", images(24))
    data = load_data("own_split", resolution=16)
    assert sorted(data.held_out.images[:, 0, 0, 0].tolist()) == [10, 11, 22, 23]
    assert len(data.train) == 20 and data.classes == ("0", "1")
    assert "6th image" in data.note


def test_large_and_uneven_images_become_squares() -> None:
    grey = torch.from_numpy(np.full((1, 30, 90), 7, np.uint8))
    evnas.add_dataset("uneven", [*images(12, (3, 40, 64)), (grey, 0)], images(6, (3, 64, 40)))
    data = load_data("uneven", resolution=16)
    assert data.train.images.shape == (13, 3, 18, 18)
    assert data.held_out.images.shape == (6, 3, 18, 18)
    assert (data.train.images.flatten(1).float().std(dim=1) == 0).all()


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        ((torch.rand(3, 8, 8) * 4 - 2, 0), r"train\[0\] must be from 0 to 1, got -"),
        ((torch.full((3, 8, 8), float("nan")), 0), "must be from 0 to 1, got nan"),
        ((torch.zeros(3, 8, 8, dtype=torch.int64), 0), "must be uint8, or float from 0 to 1"),
        ((torch.rand(8, 8, 3), 0), r"a tensor \(C, H, W\) with C 1 or 3, got \(8, 8, 3\)"),
        ((torch.rand(3, 8, 8), 0.5), "must have a whole number as label, got 0.5"),
        ((torch.rand(3, 8, 8), -1), "labels must be from 0 to 1, a class each, got -1"),
        (3, r"train\[0\] must be \(image, label\), got 3"),
    ],
)
def test_what_is_no_image_with_a_label_is_refused(item: Any, reason: str) -> None:
    evnas.add_dataset("wrong", [item], images(2))
    with pytest.raises(DataError, match=f"data wrong: .*{reason}"):
        load_data("wrong", resolution=16)


def test_what_workers_cannot_have_and_names_that_are_taken() -> None:
    with pytest.raises(DataError, match="data mine must be sent to worker processes"):
        evnas.add_dataset("mine", [(lambda: 0, 0)])
    evnas.add_dataset("mine", images(4))
    with pytest.raises(PluginError, match="dataset 'mine' was added before"):
        evnas.add_dataset("mine", images(5))

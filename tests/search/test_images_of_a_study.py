"""A study knows its images: they are printed once and kept, and no others are mixed in."""

import shutil
import time
from pathlib import Path
from typing import Any

import made_profiles as icc
import numpy as np
import pytest
from PIL import Image

from evnas.errors import DataError, StoreError
from evnas.phases.work import Event, Work
from evnas.proxy import fingerprint, folder
from evnas.proxy.image_file import read_rgb
from evnas.record import Record
from evnas.search.evaluate import Evaluator
from evnas.search.runner import run_sweep
from evnas.store import Store
from evnas.sweep.sweep import sweep_of


class Here:
    """The evaluator in this process, whose images may be others than the driver's."""

    slots = 1

    def __init__(self, *, spoil: Path | None = None) -> None:
        self.works: list[Work] = []
        self.spoil = spoil

    def submit(self, work: Work) -> None:
        self.works.append(work)

    def wait(self, timeout_s: float) -> list[Event]:
        if self.spoil is not None:
            self.spoil.write_bytes(self.spoil.with_name("1.png").read_bytes())
        return [Evaluator().run(self.works.pop(), lambda fraction, text: None)]

    def close(self) -> None:
        pass


@pytest.fixture
def images(tmp_path: Path) -> Path:
    draw = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (tmp_path / "set" / name).mkdir(parents=True)
        for i in range(12):
            pixels = draw.integers(0, 256, (8, 8, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "set" / name / f"{i}.png")
    (tmp_path / "set" / ".ipynb_checkpoints").mkdir()
    return tmp_path / "set"


def ablation(data: object, **more: object) -> dict[str, Any]:
    """Two rows that are trained for two batches each."""
    return {
        "name": "seen",
        "base": "efficientvim_m1",
        "rows": {"A": {}, "B": {"stages[*].depth": 1}},
        "targets": [],
        "proxy": {
            "data": data,
            "width": 0.25,
            "resolution": 32,
            "epochs": 1,
            "images_per_epoch": 16,
            "batch_size": 8,
            "points_per_epoch": 1,
            "device": "cpu",
        },
        **more,
    }


def go(
    sweep: dict[str, Any], results: Path, *, spoil: Path | None = None, study: str = "seen"
) -> list[Record]:
    run_sweep(
        sweep_of(sweep),
        results=results,
        fresh=False,
        began=time.monotonic(),
        make_engine=lambda spec: Here(spoil=spoil),
    )
    with Store.read(results / study / "study.db") as store:
        return [record for _, record in store.records()]


def of_folder(root: Path) -> dict[str, Any]:
    return ablation({"folder": str(root)})


def test_what_was_found_is_printed_once_and_kept(images, tmp_path, capsys):
    go(of_folder(images), tmp_path)
    line = f"images: {images}: 20 training and 4 held-out images"
    said = capsys.readouterr().err
    assert said.count(line) == 1
    assert "2 classes: cat, dog; left out: 1 hidden file or folder" in said
    go(of_folder(images), tmp_path)
    assert line not in capsys.readouterr().err
    with Store.read(tmp_path / "seen" / "study.db") as store:
        kept = store.meta("images")
        assert kept["about"].startswith(str(images))
        assert store.meta("identity")["images"] == kept["fingerprint"]


def test_other_images_are_refused_with_what_changed(images, tmp_path):
    go(of_folder(images), tmp_path)
    shutil.copy(images / "cat" / "0.png", images / "dog" / "0.png")
    with pytest.raises(StoreError, match=r"on other images \(class dog has other files or other"):
        go(of_folder(images), tmp_path)


def test_the_same_images_may_lie_elsewhere(images, tmp_path):
    before = go(of_folder(images), tmp_path)
    images.rename(tmp_path / "moved")
    assert go(of_folder(tmp_path / "moved"), tmp_path) == before


def test_a_study_from_before_goes_on_and_says_that_it_cannot_tell(images, tmp_path, capsys):
    before = go(of_folder(images), tmp_path)
    with Store.append_to(tmp_path / "seen" / "study.db") as store:
        identity = store.meta("identity")
        del identity["images"]
        store.note("identity", identity)
        store.note("images", None)
    capsys.readouterr()
    assert go(of_folder(images), tmp_path) == before
    assert "were not noted when it was made" in capsys.readouterr().err
    shutil.copy(images / "cat" / "0.png", images / "dog" / "0.png")
    with pytest.raises(StoreError, match="on other images"):
        go(of_folder(images), tmp_path)


def test_a_study_goes_on_with_the_pixels_that_it_began_with(images, tmp_path, monkeypatch, capsys):
    profile = icc.rgb(icc.WIDE, icc.power_curve(icc.GAMMA))
    for path in images.glob("*/*.png"):
        Image.open(path).save(path, icc_profile=profile)
    readings = []

    def watched(path, *, reading, **options):
        readings.append(reading)
        return read_rgb(path, reading=reading, **options)

    monkeypatch.setattr(folder, "read_rgb", watched)
    monkeypatch.setattr(fingerprint, "READING", 1)  # a study from before profiles were applied
    one = of_folder(images)
    one["rows"] = {"A": {}}
    go(one, tmp_path)
    monkeypatch.setattr(fingerprint, "READING", 2)
    with Store.append_to(tmp_path / "seen" / "study.db") as store:
        noted = store.meta("images")
        del noted["reading"]  # nor did it say so
        store.note("images", noted)
    go(of_folder(images), tmp_path)  # a row more
    assert set(readings) == {1}
    go(of_folder(images) | {"name": "fresh"}, tmp_path, study="fresh")
    assert set(readings) == {1, 2}
    assert "by which their colours are converted" in capsys.readouterr().err


def test_a_worker_with_other_images_gives_no_figure(images, tmp_path):
    records = go(of_folder(images), tmp_path, spoil=images / "dog" / "0.png")
    trained = [r for r in records if r.phase == "proxy"]
    assert {r.status for r in trained} == {"failed"}
    assert "must hold the images of the study on every machine" in trained[0].error
    assert not trained[0].values


def test_what_is_only_counted_looks_at_no_images(images, tmp_path):
    shutil.rmtree(images)
    search = {key: value for key, value in of_folder(images).items() if key != "rows"} | {
        "space": {"axes": {"stages[*].depth": {"each": [1, 2]}}},
        "strategy": "random",
        "objectives": {"params_m": "min", "macs_g": "max"},
        "budget": {"trials": 2},
    }
    assert len(go(search, tmp_path)) == 2
    with pytest.raises(DataError, match="must be a folder of images"):
        go(of_folder(images) | {"name": "other"}, tmp_path)
    assert not (tmp_path / "other").exists()

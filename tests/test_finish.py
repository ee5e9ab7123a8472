"""From an architecture to an ONNX file: whole, killed at each step, and changed in between."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from made_front import TINY, made_study
from PIL import Image
from typer.testing import CliRunner

from evnas.cli import app
from evnas.commands import finishing
from evnas.commands.finishing import Finish, finish
from evnas.errors import DataError
from evnas.evaluate.exported import ExportedFile
from evnas.evaluate.held_out import held_out_images
from evnas.evaluate.images import labelled_batches
from evnas.measure.runtimes.agreement import difference
from evnas.proxy.image_file import READING
from evnas.train.checkpoint import load_checkpoint
from evnas.train.config import TrainConfig
from evnas.train.data import NOTED, FileSplit, ImageData
from evnas.train.loaders import View
from evnas.train.recipes import recipe_for, with_changes

pytest.importorskip("onnxruntime")
CHANGES = [
    "recipe.epochs=2",
    "recipe.warmup_epochs=0",
    "recipe.cooldown_epochs=0",
    "recipe.batch_size=16",
    "recipe.lr=0.002",
]
STEPS = ["train", "evaluate", "deploy", "export", "bench"]


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root, draw = tmp_path_factory.mktemp("images"), np.random.default_rng(0)
    for split, count in (("train", 16), ("val", 9)):
        for label, name in enumerate(("dark", "light")):
            (root / split / name).mkdir(parents=True)
            for i in range(count):
                pixels = draw.integers(90 * label, 90 * label + 150, (32, 36, 3))
                Image.fromarray(pixels.astype(np.uint8)).save(root / split / name / f"{i}.png")
    return root


def plan_for(images: Path, output: Path, **training: Any) -> Finish:
    named = with_changes(recipe_for(TINY), CHANGES)
    config = TrainConfig(
        arch=TINY,
        recipe=named.recipe,
        recipe_name=named.name,
        data=str(images),
        output=output / "train",
        resolution=64,
        workers=0,
    )
    return Finish(
        name="tiny",
        training=replace(config, **training),
        output=output,
        batch_size=8,
        bench_budget_s=0.2,
    )


class _Benched:
    """Stands for a measurement, which takes seconds; the command's own test takes a real one."""

    def to_dict(self) -> dict[str, Any]:
        span = {"low": 1.0, "mid": 2.0, "high": 3.0}
        return {
            "intervals": dict.fromkeys(finishing.SPEEDS, span),
            "target": "made",
            "details": {"conditions": {"warnings": ["the machine was busy"]}},
        }


@pytest.fixture(scope="module")
def unmeasured() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(finishing, "bench", lambda *arguments: _Benched())
        yield


@pytest.fixture(scope="module")
def whole(images: Path, unmeasured: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finish that nothing stopped."""
    output = tmp_path_factory.mktemp("whole") / "tiny"
    finish(plan_for(images, output))
    return output


def test_all_steps_leave_their_files_and_a_report(whole: Path) -> None:
    left = {path.name for path in whole.iterdir()}
    steps = {f"{name}.json" for name in STEPS}
    assert left == steps | {"finish.json", "train", "model.onnx", "report.json", "report.md"}
    report = json.loads((whole / "report.json").read_text())
    first, *later = report["accuracy"]
    assert first["cost"] is None and first["images"] == 18
    for row in later:
        assert row["cost"]["top1_difference_percent"]["mid"] == 0.0
        assert abs(row["cost"]["loss_difference"]) < 1e-4
    text = (whole / "report.md").read_text()
    assert "cost in top-1" in text and "model.onnx" in text
    assert "- onnx, deployed: the machine was busy" in text
    assert report["classes"] == 2  # of the images, where the architecture said 1000


def test_the_file_agrees_with_torch_on_held_out_images(images: Path, whole: Path) -> None:
    model = load_checkpoint(whole / "train").model()
    file = ExportedFile(whole / "model.onnx")
    (pixels, _), *_ = labelled_batches(held_out_images(images), View(resolution=64), batch_size=18)
    with torch.inference_mode():
        want, elsewhere = model(pixels), model(torch.randn_like(pixels))
    logits, _ = file(pixels)
    assert difference(logits, want, elsewhere).error < 1e-4


def test_a_finish_reads_images_as_its_training_did(
    images: Path, whole: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    output, taken = tmp_path / "tiny", []

    def spied(*arguments: Any, **named: Any) -> ImageData:
        taken.append(held_out_images(*arguments, **named))
        return taken[-1]

    monkeypatch.setattr(finishing, "held_out_images", spied)
    shutil.copytree(whole, output)
    finish(plan_for(images, output))
    noted = output / "train" / NOTED
    known = json.loads(noted.read_text())
    del known["reading"]  # as trainings noted it before profiles were applied
    noted.write_text(json.dumps(known))
    said: list[str] = []
    finish(plan_for(images, output), tell=said.append)
    splits = [found.held_out for found in taken]
    assert [split.reading for split in splits if isinstance(split, FileSplit)] == [READING, 1]
    assert "evaluate: done before" in said  # these files have no profile: the same pixels


class _Killed(BaseException):
    pass


@pytest.mark.parametrize("name", ["evaluate", "export", "bench"])
def test_what_was_killed_goes_on_at_its_step(
    images: Path, whole: Path, tmp_path: Path, monkeypatch: Any, name: str
) -> None:
    output = tmp_path / "tiny"
    shutil.copytree(whole, output)
    for later in STEPS[STEPS.index(name) :]:
        (output / f"{later}.json").unlink()
    (output / "report.json").unlink()
    plan = plan_for(images, output)
    does = {"evaluate": "_evaluated", "export": "_exported", "bench": "_benched"}[name]

    def dies(*arguments: Any) -> Any:
        (output / f"partial.{name}.onnx").write_bytes(b"half")
        raise _Killed

    with monkeypatch.context() as patch:
        patch.setattr(finishing, does, dies)
        with pytest.raises(_Killed):
            finish(plan)
    assert not (output / f"{name}.json").exists()
    said: list[str] = []
    monkeypatch.setattr(finishing, "train", lambda *a, **k: pytest.fail("it trained again"))
    report = finish(plan, tell=said.append)
    assert [line for line in said if line.endswith("begins")] == [
        f"{step}: begins" for step in STEPS[STEPS.index(name) :]
    ]
    before = json.loads((whole / "report.json").read_text())
    assert report["accuracy"] == before["accuracy"]
    assert not list(output.glob("partial*"))


def test_a_file_that_became_another_is_made_again(
    images: Path, whole: Path, tmp_path: Path
) -> None:
    output = tmp_path / "tiny"
    shutil.copytree(whole, output)
    (output / "model.onnx").write_bytes(b"damaged")
    said: list[str] = []
    finish(plan_for(images, output), tell=said.append)
    assert [line for line in said if line.endswith("begins")] == [
        "export: begins",
        "bench: begins",
    ]


def test_other_held_out_images_are_evaluated_on_again(
    images: Path, whole: Path, tmp_path: Path
) -> None:
    data, output = tmp_path / "images", tmp_path / "tiny"
    shutil.copytree(images, data)
    shutil.copytree(whole, output)
    (data / "val" / "light" / "0.png").unlink()
    settings = json.loads((output / "finish.json").read_text())
    (output / "finish.json").write_text(json.dumps(settings | {"data": str(data)}))
    said: list[str] = []
    report = finish(plan_for(data, output), tell=said.append)
    assert "train: done before" in said and "evaluate: begins" in said
    assert [row["images"] for row in report["accuracy"]] == [17, 17, 17]


def test_its_output_is_a_folder(images: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="file must be a folder that can be written"):
        finish(plan_for(images, tmp_path / "file"))


def test_another_recipe_or_seed_needs_another_folder(images: Path, whole: Path) -> None:
    with pytest.raises(DataError, match="seed is 0 there and 1 here; name another --output"):
        finish(plan_for(images, whole, seed=1))
    recipe = with_changes(recipe_for(TINY), [*CHANGES, "recipe.epochs=3"]).recipe
    with pytest.raises(DataError, match=r"recipe\.epochs is 2 there and 3 here"):
        finish(plan_for(images, whole, recipe=recipe))


def test_the_command_finishes_a_pick(images: Path, tmp_path: Path) -> None:
    study = made_study(tmp_path / "made")
    changes = [text for change in CHANGES for text in ("--set", change)]
    asked = ["finish", str(study), "--pick", "fastest", "--data", str(images), *changes]
    more = ["--bench-budget-s", "0.2", "--workers", "0", "--device", "cpu", "--json"]
    done = CliRunner().invoke(app, [*asked, *more], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert report["from"]["trial"] == "3" and report["from"]["pick"] == "fastest"
    assert report["resolution"] == 64
    assert (study / "finish" / "3" / "model.onnx").exists()
    said = ExportedFile(study / "finish" / "3" / "model.onnx").said()
    assert said["from"]["trial"] == "3" and said["classes"] == ["dark", "light"]

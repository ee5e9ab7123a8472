"""Checkpoints and exported files on made-up images, through the library and the command."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from made_front import TINY
from PIL import Image
from typer.testing import CliRunner

from evnas.arch.catalog import entry
from evnas.arch.paths import edit
from evnas.blocks.backbone import build
from evnas.blocks.official import to_official
from evnas.cli import app
from evnas.commands.exporting import write_export
from evnas.errors import DataError, EvnasError, MeasurementError, SpecError
from evnas.evaluate.evaluation import Way, evaluate
from evnas.evaluate.held_out import held_out_images
from evnas.evaluate.printed import printed_top1
from evnas.evaluate.running import Running
from evnas.evaluate.subject import official_subject, subject_of
from evnas.measure.target import Target
from evnas.runtime import TORCH
from evnas.tables import RUNTIMES

NAMES = ("blue", "green", "red")
ARCH = edit(TINY, {"num_classes": 3})
SIDE = 64


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven held-out images a class, and as many training images."""
    root, draw = tmp_path_factory.mktemp("images"), np.random.default_rng(0)
    for split in ("train", "val"):
        for label, name in enumerate(NAMES):
            (root / split / name).mkdir(parents=True)
            for i in range(7):
                pixels = draw.integers(0, 160, (40, 48, 3))
                pixels[..., 2 - label] += 90
                Image.fromarray(pixels.astype(np.uint8)).save(root / split / name / f"{i}.png")
    return root


def saved(path: Path, seed: int, *, arch: Any = ARCH, **more: Any) -> Path:
    """A weights file as a training writes it."""
    held = {
        "format": 1,
        "arch": arch.to_dict(),
        "recipe": {},
        "recipe_name": "made",
        "epoch": 1,
        "metrics": {},
        "model": _lively(arch, seed),
        "classes": list(NAMES),
        "resolution": SIDE,
        "crop_fraction": 0.9,
        "interpolation": "bilinear",
        "mean": [0.5, 0.5, 0.5],
        "std": [0.25, 0.25, 0.25],
        "origin": {"study": "results/x", "trial": "35"},
    }
    torch.save(held | more, path)
    return path


def _lively(arch: Any, seed: int) -> dict[str, torch.Tensor]:
    """Weights whose logits differ from image to image: a classifier of unit scale."""
    model = build(arch, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        if name.startswith("head.classifier"):
            parameter.data.copy_(torch.randn(parameter.shape, generator=generator))
    return model.state_dict()


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(tmp_path_factory.mktemp("weights") / "best.pt", 0)


def test_weights_say_how_they_are_shown_images(folder: Path, weights: Path) -> None:
    subject = subject_of(weights)
    assert (subject.view.resolution, subject.view.crop_fraction) == (SIDE, 0.9)
    assert (subject.view.interpolation, subject.view.mean) == ("bilinear", (0.5, 0.5, 0.5))
    found = evaluate(subject, held_out_images(folder), Way(batch_size=4))
    data = found.to_dict()
    assert (data["images"], data["classes"], data["resolution"]) == (21, 3, SIDE)
    assert data["view"]["crop_fraction"] == 0.9 and data["from"]["trial"] == "35"
    assert data["top5_percent"] is None  # of three classes it would say nothing
    assert data["top1_percent"]["mid"] == pytest.approx(100 * found.answers.right.mean())
    by_class = found.per_class(NAMES)
    assert [row["images"] for row in by_class] == [7, 7, 7]
    hits = sum(row["top1_percent"]["mid"] * 7 / 100 for row in by_class)
    assert round(hits) == found.answers.right.sum()


@pytest.mark.parametrize("batch_size", [4, 21, 64])
def test_the_batch_changes_nothing(folder: Path, weights: Path, batch_size: int) -> None:
    images = held_out_images(folder)
    one = evaluate(subject_of(weights), images, Way(batch_size=1))
    other = evaluate(subject_of(weights), images, Way(batch_size=batch_size), first=one)
    np.testing.assert_allclose(other.answers.loss, one.answers.loss, rtol=1e-4)
    assert other.beside is not None
    assert other.beside.only_first == other.beside.only_second == 0


@pytest.mark.parametrize("runtime", ["onnx", "openvino"])
def test_other_runtimes_and_the_deployed_form_answer_alike(
    folder: Path, weights: Path, runtime: str
) -> None:
    pytest.importorskip({"onnx": "onnxruntime"}.get(runtime, runtime))
    images, subject = held_out_images(folder), subject_of(weights)
    plain = evaluate(subject, images, Way(batch_size=8))
    way = Way(form="deployed", runtime=runtime, batch_size=8)
    found = evaluate(subject, images, way, first=plain)
    np.testing.assert_allclose(found.answers.loss, plain.answers.loss, rtol=1e-3)
    assert found.to_dict()["runtime"] == runtime and found.facts["version"]


def test_a_deployed_form_below_float32_has_its_precision_in_its_weights(
    folder: Path, weights: Path
) -> None:
    images, subject = held_out_images(folder), subject_of(weights)
    plain = evaluate(subject, images, Way(batch_size=8))
    way = Way(form="deployed", precision="bfloat16", batch_size=8)
    found = evaluate(subject, images, way, first=plain)
    np.testing.assert_allclose(found.answers.loss, plain.answers.loss, atol=0.1)
    assert not np.array_equal(found.answers.loss, plain.answers.loss)


def test_int8_is_calibrated_with_training_images(folder: Path, weights: Path) -> None:
    pytest.importorskip("onnxruntime")
    images, subject = held_out_images(folder), subject_of(weights)
    way = Way(form="deployed", runtime="onnx_int8", batch_size=7)
    found = evaluate(subject, images, way, first=evaluate(subject, images, Way()))
    assert len(found.answers) == 21 and found.not_finite == 0
    assert found.facts["precision"] == "int8" and found.beside is not None
    held_out_alone = held_out_images(folder / "val")
    with pytest.raises(DataError, match="must hold train/ and val/"):
        evaluate(subject, held_out_alone, way)


def test_a_runtime_that_keeps_its_first_images_is_refused(monkeypatch: Any) -> None:
    def deaf(model: Any, images: torch.Tensor, target: Any) -> Any:
        first = images.clone()
        return lambda: model(first)

    monkeypatch.setitem(RUNTIMES._added, "deaf", type(TORCH)(prepare=deaf))
    monkeypatch.setattr(RUNTIMES, "_names", None)
    monkeypatch.setattr(RUNTIMES, "_found", None)
    model = build(ARCH)
    model.load_state_dict(_lively(ARCH, 0))
    target = Target(device="cpu", runtime="deaf", resolution=SIDE, batch_size=2)
    with pytest.raises(MeasurementError, match="must follow the images that it is handed"):
        Running(model.eval(), target)


def test_an_exported_file_is_evaluated_as_it_lies(
    folder: Path, weights: Path, tmp_path: Path
) -> None:
    pytest.importorskip("onnxruntime")
    file = tmp_path / "net.onnx"
    write_export(ARCH, file, weights=weights, resolution=SIDE, batch_size=2, form="deployed")
    subject = subject_of(file)
    assert (subject.classes, subject.view.crop_fraction) == (NAMES, 0.9)
    images = held_out_images(folder)
    plain = evaluate(subject_of(weights), images, Way())
    found = evaluate(subject, images, Way(), first=plain)
    np.testing.assert_allclose(found.answers.loss, plain.answers.loss, rtol=1e-3)
    assert (found.form, found.runtime) == ("deployed", "file")
    with pytest.raises(DataError, match="takes images of 64x64, not of 96x96"):
        evaluate(subject, images, Way(), resolution=96)
    with pytest.raises(SpecError, match="is run as it is"):
        evaluate(subject, images, Way(runtime="openvino"))


def test_logits_that_are_not_finite_leave_the_accuracy_unknown(
    folder: Path, tmp_path: Path
) -> None:
    state = _lively(ARCH, 0)
    state["head.classifiers.0.bias"][0] = float("nan")
    broken = subject_of(saved(tmp_path / "nan.pt", 0, model=state))
    found = evaluate(broken, held_out_images(folder), Way())
    assert found.not_finite == 21
    assert (found.top1, found.loss) == (None, None)
    assert found.to_dict()["top1_percent"] is None
    assert found.per_class(NAMES)[0]["top1_percent"] is None
    done = CliRunner().invoke(
        app, ["eval", str(tmp_path / "nan.pt"), "--data", str(folder), "--workers", "0"]
    )
    assert "of 21 images 21 have logits that are NaN" in done.stderr
    assert "not known" in done.stdout


def test_classes_are_matched_by_their_names(folder: Path, tmp_path: Path) -> None:
    images, plain = held_out_images(folder), subject_of(saved(tmp_path / "a.pt", 0))
    turned = subject_of(saved(tmp_path / "b.pt", 0, classes=["red", "green", "blue"]))
    first = evaluate(plain, images, Way()).answers
    other = evaluate(turned, images, Way()).answers
    assert other.labels.tolist() == (2 - first.labels).tolist()
    assert other.likeliest.tolist() == first.likeliest.tolist()
    lacking = subject_of(saved(tmp_path / "c.pt", 0, classes=["red", "green", "grey"]))
    with pytest.raises(DataError, match=r"holds the class blue that .* was not trained on"):
        evaluate(lacking, images, Way())


def test_bare_weights_need_their_architecture(folder: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare.pt"
    torch.save(_lively(ARCH, 0), bare)
    with pytest.raises(SpecError, match="does not say its architecture; name it with --arch"):
        subject_of(bare)
    assert subject_of(bare, TINY).arch == ARCH  # its classes are those of the weights
    wide = edit(ARCH, {"stages[0].dim": 32})
    with pytest.raises(DataError, match="holds weights of the architecture"):
        subject_of(saved(tmp_path / "said.pt", 0), wide)
    other = edit(TINY, {"num_classes": 5})
    torch.save(_lively(other, 0), bare)
    with pytest.raises(DataError, match=r"holds 3 classes and .* tells 5 apart"):
        evaluate(subject_of(bare, other), held_out_images(folder), Way())


def test_a_release_s_weights_are_loaded_by_name(tmp_path: Path) -> None:
    known, file = entry("efficientvim_m1"), tmp_path / "m1.pth"
    torch.save({"model": to_official(build(known.arch, seed=0))}, file)
    subject = official_subject("m1", file)
    assert (subject.name, subject.view.resolution) == ("efficientvim_m1", 224)
    assert subject.view.crop_fraction == 0.875


@pytest.mark.parametrize(
    ("name", "resolution", "want"),
    [
        ("vmamba_t", 384, [("VMamba", "9", 82.41), ("VSSD", "1", 82.4)]),
        ("vanilla_t", 512, [("VMamba", "9", 81.05)]),
        ("efficientvim_m1", 224, [("EfficientViM", "main", 72.9)]),
        ("efficientvim_m1", 384, []),
    ],
)
def test_printed_values_stand_beside(name: str, resolution: int, want: Any) -> None:
    found = printed_top1(entry(name), resolution)
    assert sorted((p.paper, p.table, p.top1_percent) for p in found) == sorted(want)


def test_images_that_cannot_be_read(folder: Path, weights: Path, tmp_path: Path) -> None:
    root = tmp_path / "images"
    shutil.copytree(folder, root)
    (root / "val" / "red" / "3.png").write_bytes(b"this is no image")
    images = held_out_images(root)
    with pytest.raises(DataError, match=r"3\.png must be an image"):
        evaluate(subject_of(weights), images, Way())
    found = evaluate(subject_of(weights), images, Way(batch_size=8), skip_broken=True)
    assert len(found.answers) == 20


def test_the_command_goes_through_resolutions_beside_the_first(
    folder: Path, weights: Path, tmp_path: Path
) -> None:
    other = saved(tmp_path / "other.pt", 1)
    asked = ["eval", str(weights), str(other), "--data", str(folder), "--resolution", "64,96"]
    done = CliRunner().invoke(app, [*asked, "--images", "12", "--workers", "0", "--json"])
    assert done.exit_code == 0, done.output
    rows = json.loads(done.stdout)["rows"]
    assert [(Path(r["name"]).name, r["resolution"]) for r in rows] == [
        ("best.pt", 64),
        ("best.pt", 96),
        ("other.pt", 64),
        ("other.pt", 96),
    ]
    assert [r["images"] for r in rows] == [12] * 4
    assert rows[0]["beside_the_first"] is None
    beside = rows[2]["beside_the_first"]
    shares = [r["top1_percent"]["mid"] for r in (rows[2], rows[0])]
    assert beside["top1_difference_percent"]["mid"] == pytest.approx(shares[0] - shares[1])
    text = CliRunner().invoke(app, [*asked, "--images", "12", "--workers", "0", "--per-class"])
    assert "paired image by image" in text.stdout and "by class" in text.stdout


@pytest.mark.parametrize(
    ("arguments", "want"),
    [
        ([], "weights must be named"),
        (["nope.pt"], "there is no file nope.pt"),
        (["PACKAGE"], r"net\.pt2 must be weights or an \.onnx file: loading a \.pt2 package runs"),
        (["--official", "m11", "nope.pt"], "no architecture is named 'm11'"),
        (["WEIGHTS", "--resolution", "224,big"], "--resolution must be N,N,"),
        (["WEIGHTS", "--runtime", "onix"], "did you mean 'onnx'"),
        (["WEIGHTS", "--runtime", "best"], "takes another for each model"),
    ],
    ids=" ".join,
)
def test_mistakes_get_one_sentence(
    folder: Path, weights: Path, arguments: list[str], want: str
) -> None:
    package = weights.with_name("net.pt2")
    package.touch()
    stands_for = {"WEIGHTS": str(weights), "PACKAGE": str(package)}
    asked = [stands_for.get(a, a) for a in arguments]
    with pytest.raises(EvnasError, match=want):
        CliRunner().invoke(app, ["eval", *asked, "--data", str(folder)], catch_exceptions=False)

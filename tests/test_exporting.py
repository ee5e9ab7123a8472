"""Exported files: other sizes, what they say of themselves, and weights that nobody gave."""

import json
from pathlib import Path
from typing import Any

import onnx
import onnxruntime
import pytest
import torch

from evnas.arch.catalog import catalog
from evnas.arch.paths import edit
from evnas.blocks.backbone import build
from evnas.blocks.timm_models import default_cfgs
from evnas.commands import exporting
from evnas.commands.exporting import write_export
from evnas.errors import DataError, MeasurementError, SpecError

FAMILIES = (
    "efficientvim_m1_dist",
    "vssd_micro",
    "efficient_vmamba_tiny",
    "vmamba_tiny_s1l8",
    "vanilla_vmamba_tiny",
)
"""Two of VMamba: its scan takes one state a channel in one release, 16 in the other."""


def small(name: str) -> Any:
    """An eighth of the width, and a block a stage."""
    return edit(catalog()[name].arch.scaled(0.125), {"stages[*].depth": 1})


def written(name: str, output: Path, **settings: Any) -> dict[str, Any]:
    whole = {"weights": None, "resolution": 64, "batch_size": 1, "form": "deployed"} | settings
    return write_export(small(name), output, **whole)


def logits(path: Path, x: torch.Tensor) -> torch.Tensor:
    (found,) = onnxruntime.InferenceSession(path).run(None, {"images": x.numpy()})
    return torch.from_numpy(found)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_batch_and_sides_of_any_size(name: str, tmp_path: Path) -> None:
    done = written(name, tmp_path / "m.onnx", dynamic_batch=True, dynamic_sides=True)
    assert done["checked"] and done["input"] == ["batch", 3, "sides", "sides"]
    onnx.checker.check_model(tmp_path / "m.onnx")
    model = build(small(name), seed=0).eval()
    for shape in ((1, 3, 64, 64), (4, 3, 96, 64)):
        x = torch.randn(shape)
        error = (logits(tmp_path / "m.onnx", x) - model(x)).norm() / model(x).norm()
        assert error < 1e-4


def test_a_program_of_torch_has_fixed_sides(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"--dynamic-sides needs ONNX, got .*m\.pt2"):
        written("vssd_micro", tmp_path / "m.pt2", dynamic_sides=True)


def test_a_program_of_torch_takes_a_batch_of_any_size(tmp_path: Path) -> None:
    assert written("efficientvim_m1", tmp_path / "m.pt2", dynamic_batch=True)["checked"]
    extra = {"evnas.json": ""}
    program = torch.export.load(tmp_path / "m.pt2", extra_files=extra)
    x, model = torch.randn(7, 3, 64, 64), build(small("efficientvim_m1"), seed=0).eval()
    torch.testing.assert_close(program.module()(x), model(x), rtol=1e-3, atol=1e-5)
    assert json.loads(extra["evnas.json"])["weights"] == "random"


@pytest.mark.parametrize("name", ["a.onnx", "a.pt2"])
def test_a_folder_is_no_file_to_write(name: str, tmp_path: Path) -> None:
    (tmp_path / name).mkdir()
    with pytest.raises(DataError, match=rf"{name} must be a file .* it is a folder"):
        written("efficientvim_m1", tmp_path / name)


def test_a_file_says_what_it_is(tmp_path: Path) -> None:
    arch = small("efficientvim_m1")
    torch.save(build(arch, seed=4).state_dict(), tmp_path / "w.pt")
    for weights, known in ((None, "random"), (tmp_path / "w.pt", "w.pt, sha256 ")):
        done = written("efficientvim_m1", tmp_path / "m.onnx", weights=weights)
        held = onnxruntime.InferenceSession(tmp_path / "m.onnx").get_modelmeta()
        about = held.custom_metadata_map
        assert about["digest"] == arch.digest and json.loads(about["arch"]) == arch.to_dict()
        assert about["weights"].startswith(known) and about["weights"] == done["weights"]
        assert about["form"] == "deployed" and about["resolution"] == "64"
        config = default_cfgs["evnas_efficientvim_m1"]
        for key in ("mean", "std", "interpolation"):
            assert json.loads(about[key]) == json.loads(json.dumps(config[key]))
        assert json.loads(about["crop_fraction"]) == config["crop_pct"]


def test_a_file_that_is_wrong_elsewhere_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "LARGEST_ERROR", 0.0)
    with pytest.raises(
        MeasurementError, match=r"must give the model's logits at \(1, 3, 64, 64\)"
    ):
        written("efficientvim_m1", tmp_path / "m.onnx", dynamic_batch=True)
    assert not (tmp_path / "m.onnx").exists()


class LargeConstant(torch.nn.Module):
    """Logits that images decide little of, as a fresh model's are."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 1e4 + x.mean((2, 3))


def test_what_images_decide_of_large_logits_is_compared_too() -> None:
    x = torch.randn(2, 3, 8, 8)
    right = LargeConstant()(x)
    exporting._refuse_difference(LargeConstant(), {x: right})
    with pytest.raises(MeasurementError, match="of what other images change"):
        exporting._refuse_difference(LargeConstant(), {x: right.flip(0)})


def test_of_logits_that_no_image_changes_it_is_said_that_nobody_can_tell() -> None:
    class Constant(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.full((len(x), 4), 3.0) + 1e-7 * x.mean()

    x = torch.randn(2, 3, 8, 8)
    with pytest.raises(MeasurementError, match="give weights that are trained longer"):
        exporting._refuse_difference(Constant(), {x: Constant()(x) * (1 + 2e-7)})
    with pytest.raises(MeasurementError, match="export it with fixed sizes"):
        exporting._refuse_difference(Constant(), {x: Constant()(x) * 1.1})

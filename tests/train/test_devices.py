"""Several processes: what they train together is what one trains alone."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from tiny_training import RECIPE, SIDE, tiny_arch, tiny_config

from evnas.blocks.timm_backbone import TimmBackbone
from evnas.train.checkpoint import load_checkpoint
from evnas.train.session import unused_parameters
from evnas.train.training import train

ROOT = Path(__file__).parents[2]


def by_two_processes(folder, images):
    """A training to its second epoch by `torchrun`, as anybody would start it."""
    (folder / "arch.yaml").write_text(yaml.safe_dump(tiny_arch().to_dict()))
    recipe = {k: list(v) if isinstance(v, tuple) else v for k, v in RECIPE.model_dump().items()}
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    done = subprocess.run(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--standalone"),
            *("--nproc-per-node", "2", "-m", "evnas", "train", folder / "arch.yaml"),
            *("--data", images, "--output", folder / "run", "--recipe", folder / "recipe.yaml"),
            *("--batch-size", "4", "--resolution", str(SIDE), "--workers", "0"),
            *("--device", "cpu", "--until-epoch", "2", "--json"),
        ],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture(scope="module")
def together(images, tmp_path_factory):
    folder = tmp_path_factory.mktemp("together")
    done = by_two_processes(folder, images)
    return folder / "run", done


@pytest.fixture(scope="module")
def alone(images, tmp_path_factory):
    config = tiny_config(images, tmp_path_factory.mktemp("alone") / "run",
                         recipe={"resolution": SIDE}, keep=9)  # fmt: skip
    train(config)
    return config


def load_curve(folder):
    return json.loads((folder / "curve.json").read_text())


def must_be_close(one, other):
    for ema in (True, False):
        a, b = one.state_dict(ema=ema), other.state_dict(ema=ema)
        for name in a:
            torch.testing.assert_close(a[name], b[name], rtol=1e-3, atol=1e-5, msg=name)


def test_two_processes_train_what_one_trains(together, alone):
    output, done = together
    assert done.stdout.count('"status": "stopped"') == 1  # the first process alone speaks
    assert done.stderr.count("images: ") == 1
    first = load_checkpoint(output / "checkpoints" / "epoch_0001.pt")
    whole = load_checkpoint(alone.output / "checkpoints" / "epoch_0001.pt")
    must_be_close(first, whole)
    assert first.metrics["loss"] == pytest.approx(whole.metrics["loss"], rel=1e-4)
    assert first.metrics["top1_percent"] == whole.metrics["top1_percent"]


def test_one_process_goes_on_with_what_two_began(together, alone, images):
    output, _ = together
    said: list[str] = []
    config = tiny_config(images, output, recipe={"resolution": SIDE})
    result = train(config, tell=said.append)
    assert result.status == "complete"
    (line,) = [line for line in said if line.startswith("it ran on")]
    assert line == (
        "it ran on 2 devices with 4 images at a time, and goes on with 1 and 4: a step still "
        "takes 8 images, in 2 batches a device"
    )
    # Adam turns a gradient that is zero but for rounding into a step, so logits are compared
    pixels = torch.rand(8, 3, SIDE, SIDE)
    for ema in (True, False):
        mine, whole = (
            load_checkpoint(folder / "checkpoints" / "epoch_0004.pt").model(ema=ema)(pixels)
            for folder in (output, alone.output)
        )
        torch.testing.assert_close(mine, whole, rtol=1e-2, atol=1e-3)
    losses = [point["loss"] for point in load_curve(alone.output)]
    assert [point["loss"] for point in result.curve] == pytest.approx(losses, rel=1e-3)


def test_two_processes_go_on_with_what_one_began(alone, images, tmp_path):
    begun = tmp_path / "run" / "checkpoints"
    begun.mkdir(parents=True)
    shutil.copy(alone.output / "checkpoints" / "epoch_0001.pt", begun)
    done = by_two_processes(tmp_path, images)
    assert "it ran on 1 device with 4 images at a time, and goes on with 2 and 4" in done.stderr
    mine, whole = (
        load_checkpoint(folder / "checkpoints" / "epoch_0002.pt")
        for folder in (tmp_path / "run", alone.output)
    )
    assert mine.metrics["loss"] == pytest.approx(whole.metrics["loss"], rel=1e-3)
    assert mine.metrics["top1_percent"] == whole.metrics["top1_percent"]
    losses = [point["loss"] for point in load_curve(alone.output)][:2]
    assert [p["loss"] for p in load_curve(tmp_path / "run")] == pytest.approx(losses, rel=1e-3)


def test_parameters_without_use_are_found_and_the_network_left_as_it_was():
    torch.manual_seed(0)
    model = TimmBackbone(tiny_arch(), num_classes=2)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = torch.get_rng_state()
    assert unused_parameters(model, SIDE) == []
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(before[n], v) for n, v in model.state_dict().items())
    model.extra = torch.nn.Parameter(torch.ones(1))
    assert unused_parameters(model, SIDE) == ["extra"]

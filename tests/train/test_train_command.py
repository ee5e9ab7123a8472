"""`evnas train` and `evnas recipes` as they are typed."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
import yaml
from tiny_training import RECIPE, SIDE, tiny_arch
from typer.testing import CliRunner

from evnas.cli import app
from evnas.errors import DataError, SpecError
from evnas.train import progress
from evnas.train.stop import EXIT_CODE

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


@pytest.fixture
def files(tmp_path):
    (tmp_path / "arch.yaml").write_text(yaml.safe_dump(tiny_arch().to_dict()))
    recipe = {k: list(v) if isinstance(v, tuple) else v for k, v in RECIPE.model_dump().items()}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(recipe))
    return tmp_path


def arguments(files, images, *more):
    return [
        *("train", str(files / "arch.yaml"), "--data", str(images), "-o", str(files / "run")),
        *("--recipe", str(files / "mine.yaml"), "--batch-size", "4", "--resolution", str(SIDE)),
        *("--workers", "0", "--device", "cpu", *more),
    ]


def run(*given):
    return CliRunner().invoke(app, list(given))


def test_it_trains_with_changes_and_says_what_came(files, images):
    result = run(*arguments(files, images, "--set", "recipe.lr=1e-3", "--epochs", "2",
                            "--cooldown-epochs", "0", "--json"))  # fmt: skip
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert (found["status"], found["epochs"]) == ("complete", 2)
    summary = json.loads((files / "run" / "training.json").read_text())
    assert summary["recipe"]["lr"] == 1e-3
    assert summary["recipe"]["resolution"] == SIDE
    assert (summary["device_batch"], summary["accumulate"]) == (4, 2)


def test_accumulate_makes_another_batch(files, images):
    result = run(*arguments(files, images, "--accumulate", "3", "--until-epoch", "1"))
    assert result.exit_code == 0, result.output
    summary = json.loads((files / "run" / "training.json").read_text())
    assert (summary["recipe"]["batch_size"], summary["accumulate"]) == (12, 3)


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        (("--set", "recipe.lrr=1"), "--set recipe.lrr: unknown key; did you mean 'lr'?"),
        (("--recipe", "vsd"), "no recipe is named 'vsd'; did you mean 'vssd'?"),
        (("--epochs", "1"), "recipe.warmup_epochs: must be below epochs (1), got 1"),
        (("--linear-probe", "--freeze", "stem"), "--linear-probe must stand without --freeze"),
    ],
)
def test_mistakes_get_a_sentence(files, images, more, reason):
    result = run(*arguments(files, images, *more))
    assert isinstance(result.exception, SpecError | DataError)
    assert reason in str(result.exception)


def test_a_dry_run_says_what_it_would_take_and_leaves_nothing(files, images, monkeypatch):
    monkeypatch.setattr("evnas.train.dry_run.SECONDS", 0.1)
    result = run(*arguments(files, images, "--dry-run", "--json"))
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert (found["epochs"], found["steps_per_epoch"], found["steps"]) == (4, 2, 8)
    assert (found["batch_size"], found["device_batch"], found["accumulate"]) == (8, 4, 2)
    assert found["images_presented"] == 64
    epoch_s = 2 * (found["step_s"] + found["loading_s"])  # no workers: one after the other
    hours = 4 * (epoch_s + found["evaluation_s"]) / 3600
    assert found["hours"] == pytest.approx(hours)
    assert found["peak_mib"] > 0
    assert not (files / "run").exists()
    text = run(*arguments(files, images, "--dry-run")).stdout
    assert "4 epochs of 2 steps, 8 in all, 64 images" in text
    assert "a step's 8 images: 2 batches of 4 on 1 device" in text


def test_a_signal_ends_the_command_with_its_own_code(files, images):
    command = [sys.executable, "-m", "evnas", *arguments(files, images, "--epochs", "5000")]
    process = subprocess.Popen(command, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("epoch 1 of"):
            break
    process.send_signal(signal.SIGUSR1)
    assert process.wait(60) == EXIT_CODE == 75
    process.stderr.close()
    assert list((files / "run" / "checkpoints").glob("*.pt"))
    assert json.loads((files / "run" / "training.json").read_text())["status"] == "stopped"


@pytest.mark.parametrize(("code", "requeued"), [(75, "requeue 4711\n"), (1, "")])
def test_the_batch_script_requeues_what_can_go_on(tmp_path, code, requeued):
    for name, text in (
        ("scontrol", f'echo "$@" >> {tmp_path}/asked'),
        ("evnas", f"trap 'exit {code}' USR1\necho \"$@\" > {tmp_path}/begun\n"
                  "while :; do sleep 0.05; done"),
    ):  # fmt: skip
        (tmp_path / name).write_text(f"#!/bin/bash\n{text}\n")
        (tmp_path / name).chmod(0o755)
    (tmp_path / "asked").touch()
    process = subprocess.Popen(
        ["bash", ROOT / "examples" / "train.sbatch", "m1", "--data", "x"],
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "SLURM_JOB_ID": "4711"},
    )
    until = time.monotonic() + 60
    while not (tmp_path / "begun").exists() and time.monotonic() < until:
        time.sleep(0.02)
    while process.poll() is None and time.monotonic() < until:
        # again where the first came before the script knew the number of its training
        process.send_signal(signal.SIGUSR1)
        with suppress(subprocess.TimeoutExpired):
            process.wait(5)
    assert process.wait(20) == code
    assert (tmp_path / "asked").read_text() == requeued
    assert (tmp_path / "begun").read_text() == "train m1 --data x\n"


def test_recipes_are_listed_shown_and_compared(tmp_path):
    listed = run("recipes").stdout
    assert "vssd:base" in listed
    assert json.loads(run("recipes", "--json").stdout)["vssd:base"]["fields"]["lr"] == 1.2e-3
    shown = run("recipes", "efficientvim").stdout
    assert shown.startswith("efficientvim, EfficientViM, arXiv 2411.15241")
    assert "supplement, Table A, Gradient Clipping" in shown
    compared = run("recipes", "vssd", "vssd:base").stdout
    assert [line.split() for line in compared.splitlines()[1:]] == [
        ["batch_size", "1024", "2048"],
        ["lr", "0.001", "0.0012"],
        ["drop_path", "0.2", "0.6"],
    ]
    assert run("recipes", "vssd", "vssd:tiny").stdout == "vssd and vssd:tiny are the same\n"
    mine = tmp_path / "mine.yaml"
    mine.write_text("base: vmamba\nlr: 2e-3\n")
    assert json.loads(run("recipes", "vmamba", str(mine), "--json").stdout) == {
        "lr": {"vmamba": 1e-3, str(mine): 2e-3}
    }


def test_progress_says_how_long_the_rest_takes():
    now = iter([0.0, 5.0, 11.0, 11.0])
    said: list[str] = []
    import torch

    watch = progress.EpochProgress(
        said.append, steps=100, epochs=3, images_per_step=64, device=torch.device("cpu"),
        clock=lambda: next(now),
    )  # fmt: skip
    assert not watch.due()
    assert watch.due()
    watch.say(1, 2, 1.5)
    assert said[0].startswith(
        "epoch 2 of 3, step 2 of 100: loss 1.5000, 12 images/s, 18 min left, "
    )
    assert [progress.duration(s) for s in (40, 600, 7800, 360000)] == [
        "40 s",
        "10 min",
        "2 h 10 min",
        "4 d 4 h",
    ]

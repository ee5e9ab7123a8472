"""Trainings that are broken off, asked to leave, or find a damaged checkpoint."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tiny_training import tiny_arch, tiny_config

from evnas.errors import DataError, StoreError
from evnas.train import checkpoint as checkpoints
from evnas.train.checkpoint import load_checkpoint
from evnas.train.session import Session
from evnas.train.stop import listening
from evnas.train.training import train

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}",
    "OMP_NUM_THREADS": "1",
}


@pytest.fixture(scope="module")
def unbroken(images, tmp_path_factory):
    config = tiny_config(images, tmp_path_factory.mktemp("unbroken") / "run")
    return config, train(config)


def weights_of(output, name="epoch_0004.pt"):
    return load_checkpoint(output / "checkpoints" / name)


def must_be_equal(one, other):
    for ema in (True, False):
        a, b = one.state_dict(ema=ema), other.state_dict(ema=ema)
        assert all(torch.equal(a[name], b[name]) for name in a)


def test_killed_at_random_instants_it_ends_as_the_unbroken_run(images, tmp_path):
    done = subprocess.run(
        [
            sys.executable,
            Path(__file__).with_name("kill_often.py"),
            images,
            tmp_path / "run",
            "10",
        ],
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 3
    last = "epoch_0010.pt"
    must_be_equal(weights_of(tmp_path / "run", last), weights_of(tmp_path / "unbroken", last))
    held = [path.name for path in (tmp_path / "run" / "checkpoints").iterdir()]
    assert len(held) == 2


def signalled(patch, step, number=signal.SIGUSR1):
    """Let a signal come in the course of the `step`th step from now."""
    steps = iter(range(100))

    def with_signal(self, *arguments):
        if next(steps) == step:
            os.kill(os.getpid(), number)
        return take(self, *arguments)

    take = Session.step
    patch.setattr(Session, "step", with_signal)


@pytest.mark.parametrize(
    ("step", "number", "left"),
    [
        (2, signal.SIGUSR1, "epoch_0001_step_000001.pt"),
        (3, signal.SIGTERM, "epoch_0001_step_000002.pt"),
    ],
)
def test_a_signal_saves_and_leaves_in_the_middle_of_an_epoch(
    images, tmp_path, monkeypatch, unbroken, step, number, left
):
    config = tiny_config(images, tmp_path)
    with monkeypatch.context() as patch:
        signalled(patch, step, number)
        stopped = train(config)
    assert (stopped.status, stopped.epochs) == ("stopped", 1)
    assert stopped.error.startswith(f"{number.name} came in epoch 2, after step")
    assert checkpoints.checkpoints_in(tmp_path)[0].name == left
    assert '"status": "stopped"' in (tmp_path / "training.json").read_text()
    said: list[str] = []
    assert train(config, tell=said.append).curve == unbroken[1].curve
    assert any("after epoch 1 of 4 and" in line for line in said)
    must_be_equal(weights_of(tmp_path), weights_of(unbroken[0].output))


def test_signals_are_as_before_afterwards():
    before = signal.getsignal(signal.SIGTERM)
    with listening() as asked:
        assert not asked.came
        os.kill(os.getpid(), signal.SIGTERM)
        assert asked.signal_name == "SIGTERM"
        assert signal.getsignal(signal.SIGTERM) == before  # a second one does what it did
    assert signal.getsignal(signal.SIGTERM) == before


def test_it_stops_after_an_epoch_where_asked(images, tmp_path, unbroken):
    stopped = train(tiny_config(images, tmp_path, until_epoch=2))
    assert (stopped.status, stopped.epochs, stopped.error) == ("stopped", 2, "")
    assert train(tiny_config(images, tmp_path)).curve == unbroken[1].curve


def test_loading_by_more_processes_changes_nothing(images, tmp_path, unbroken):
    assert train(tiny_config(images, tmp_path, workers=2)).curve == unbroken[1].curve


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty"])
def test_a_damaged_newest_checkpoint_falls_back_to_the_one_before(
    images, tmp_path, unbroken, damage
):
    config = tiny_config(images, tmp_path)
    train(tiny_config(images, tmp_path, until_epoch=3))
    newest, before, *_ = checkpoints.checkpoints_in(tmp_path)
    content = bytearray(newest.read_bytes())
    if damage == "cut":
        content = content[: len(content) // 2]
    elif damage == "empty":
        content = bytearray()
    else:
        content[len(content) // 2] ^= 1
    newest.write_bytes(content)
    said: list[str] = []
    assert train(config, tell=said.append).curve == unbroken[1].curve
    assert any("it is damaged" in line and "the one before is taken" in line for line in said)
    assert any(line.startswith(f"going on from {before}") for line in said)
    must_be_equal(weights_of(tmp_path), weights_of(unbroken[0].output))


def test_checkpoints_that_are_all_damaged_are_not_begun_over(images, tmp_path):
    config = tiny_config(images, tmp_path, until_epoch=1)
    train(config)
    for path in checkpoints.checkpoints_in(tmp_path):
        path.write_bytes(b"")
    with pytest.raises(DataError, match="all 1 are damaged; delete them to begin again"):
        train(config)


def test_a_write_that_fails_leaves_the_file_before(tmp_path, monkeypatch):
    path = tmp_path / "x.pt"
    checkpoints.save(path, {"a": 1})

    def fails(content, file):
        file.write(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(torch, "save", fails)
    with pytest.raises(OSError, match="disk full"):
        checkpoints.save(path, {"a": 2})
    monkeypatch.undo()
    assert torch.load(path, weights_only=True) == {"a": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_no_room_for_a_checkpoint_gets_a_sentence(tmp_path, monkeypatch):
    def fails(content, file):
        try:
            raise OSError(errno.ENOSPC, "No space left on device")
        except OSError:
            raise RuntimeError("unexpected pos 704 vs 598")  # noqa: B904 # as torch does

    monkeypatch.setattr(torch, "save", fails)
    with pytest.raises(StoreError, match=r"x\.pt: no room for it .*run the same command again"):
        checkpoints.save(tmp_path / "x.pt", {"a": 1})
    assert list(tmp_path.iterdir()) == []


def test_what_killed_writers_left_behind_goes(images, tmp_path):
    config = tiny_config(images, tmp_path, until_epoch=1)
    (tmp_path / "checkpoints").mkdir()
    left = [tmp_path / ".77.curve.json", tmp_path / "checkpoints" / ".77.epoch_0001.pt"]
    kept = tmp_path / ".notes"
    for path in (*left, kept):
        path.touch()
    train(config)
    assert kept.exists() and not any(path.exists() for path in left)


def test_a_checkpoint_of_another_training_is_refused(images, tmp_path):
    train(tiny_config(images, tmp_path, until_epoch=1))
    for changes, reason in (
        ({"seed": 1}, "seed is 0 there and 1 here"),
        ({"recipe": {"lr": 1e-3}}, r"recipe\.lr is 0\.002 there and 0\.001 here"),
        ({"arch": tiny_arch(distillation=True)}, "arch is '.*' there and '.*' here"),
        ({"resolution": 20}, "resolution is 16 there and 20 here"),
    ):
        with pytest.raises(DataError, match=reason):
            train(tiny_config(images, tmp_path, **changes))


def test_a_training_of_an_earlier_version_is_not_taken_for_none(images, tmp_path):
    (tmp_path / "checkpoint.pt").write_bytes(b"x")
    with pytest.raises(DataError, match=r"an earlier evnas, which cannot go on; name another"):
        train(tiny_config(images, tmp_path))


class Payload:
    """Makes a file when somebody unpickles it."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return (Path.touch, (Path(self.path),))


@pytest.mark.parametrize("where", ["checkpoint", "weights", "teacher"])
def test_a_planted_payload_does_not_run(images, tmp_path, where):
    ran, planted = tmp_path / "ran", tmp_path / "planted.pt"
    torch.save({"model": {"stem.weight": torch.ones(1)}, "extra": Payload(ran)}, planted)
    changes = {}
    if where == "checkpoint":
        (tmp_path / "run" / "checkpoints").mkdir(parents=True)
        planted.rename(tmp_path / "run" / "checkpoints" / "epoch_0001.pt")
    elif where == "weights":
        changes = {"weights": planted}
    else:
        taught = {"distillation": "soft", "teacher": "resnet10t", "mesa": 0}
        changes = {"teacher_weights": planted, "recipe": taught}
    with pytest.raises(DataError) as caught:
        train(tiny_config(images, tmp_path / "run", **changes))
    assert not ran.exists()
    assert "\n" not in str(caught.value)
    if where != "checkpoint":
        with pytest.raises(DataError, match="tensors and plain data alone"):
            load_checkpoint(planted)


def test_every_torch_load_of_the_package_reads_weights_only():
    for path in (ROOT / "evnas").rglob("*.py"):
        text = path.read_text()
        for call in text.split("torch.load(")[1:]:
            assert "weights_only=True" in call.split(")\n")[0], path
        # both unpickle whatever a file holds
        assert "torch.export.load(" not in text and "pickle.load(" not in text, path

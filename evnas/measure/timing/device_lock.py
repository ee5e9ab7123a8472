"""The lock of a device: at most one measurement on a device at a time, and nothing else of ours.

Two lock files a device, taken with flock(2), which the kernel drops when a process dies:

- `lane` is held exclusively by a measurement, shared by work that only wants the device.
- `turn` is passed through by everyone on the way in. A measurement keeps it for as long as it
  waits and measures, so that no new work starts before it: a measurement waits for the chunks
  under way and for no more.

Work takes the lock for one chunk at a time (a few training steps), so a measurement waits for
a chunk, not for a training. The lock lies between processes of one user on one machine;
other users and other containers are seen by the protocol instead, as foreign load.
"""

import fcntl
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from evnas.errors import MeasurementError

POLL_S = 0.01


@dataclass(frozen=True, slots=True)
class DeviceLock:
    """The lock of one device; `folder` holds its two lock files."""

    device_id: str
    """`cpu`, or `gpu-UUID`, so that one card has one lock under any CUDA_VISIBLE_DEVICES."""
    folder: Path = field(default_factory=lambda: runtime_folder())

    @contextmanager
    def measuring(self, timeout_s: float = float("inf")) -> Iterator[None]:
        """Hold the device alone.

        Raises:
            MeasurementError: other work of ours did not make way within `timeout_s`.
        """
        give_up = _deadline(timeout_s, self.device_id)
        with (
            _locked(self._file("turn"), fcntl.LOCK_EX, give_up),
            _locked(self._file("lane"), fcntl.LOCK_EX, give_up),
        ):
            yield

    @contextmanager
    def working(self, timeout_s: float = float("inf")) -> Iterator[None]:
        """Hold the device beside other work, for one chunk; waits while a measurement does.

        Raises:
            MeasurementError: measurements did not end within `timeout_s`.
        """
        give_up = _deadline(timeout_s, self.device_id)
        with ExitStack() as held:
            with _locked(self._file("turn"), fcntl.LOCK_SH, give_up):
                held.enter_context(_locked(self._file("lane"), fcntl.LOCK_SH, give_up))
            yield

    def _file(self, kind: str) -> Path:
        return self.folder / f"{self.device_id}.{kind}"


def device_lock_for(device: str) -> DeviceLock:
    """The lock of a torch device, such as `cpu` or `cuda:0`."""
    import torch  # late: waiting for a lock needs no torch

    if torch.device(device).type == "cpu":
        return DeviceLock("cpu")
    uuid = torch.cuda.get_device_properties(device).uuid
    return DeviceLock(f"gpu-{uuid}")


def runtime_folder() -> Path:
    """This user's folder for locks: under XDG_RUNTIME_DIR, else the temporary folder."""
    uid = os.getuid()
    root = os.environ.get("XDG_RUNTIME_DIR", "")
    folder = Path(root, "evnas") if root else Path(tempfile.gettempdir(), f"evnas-{uid}")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.stat().st_uid != uid:
        raise MeasurementError(
            f"the lock folder {folder} must belong to this user, it belongs to user id "
            f"{folder.stat().st_uid}; set XDG_RUNTIME_DIR to a folder of your own"
        )
    return folder


def _deadline(timeout_s: float, device_id: str) -> Callable[[], None]:
    end = time.monotonic() + timeout_s

    def give_up() -> None:
        if time.monotonic() >= end:
            raise MeasurementError(
                f"other evnas work held {device_id} for more than {timeout_s:g} s; "
                "wait for it or stop it"
            )

    return give_up


@contextmanager
def _locked(path: Path, mode: int, give_up: Callable[[], None]) -> Iterator[None]:
    # opened again each time: flock belongs to the open file, so threads exclude each other too
    with path.open("a") as file:
        while True:
            try:
                fcntl.flock(file, mode | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                give_up()
                time.sleep(POLL_S)
        yield

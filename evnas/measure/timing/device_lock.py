"""The lock of a device: at most one measurement on a device at a time, and nothing else of ours.

Two lock files a device, taken with flock(2), which the kernel drops when a process dies:

- `lane` is held exclusively by a measurement, shared by work that only wants the device.
- `turn` is passed through by everyone on the way in. A measurement keeps it for as long as it
  waits and measures, so that no new work starts before it: a measurement waits for the chunks
  under way and for no more.

Work takes the lock for one chunk at a time (a few training steps), so a measurement waits for
a chunk, not for a training. The lock lies between processes of one user on one machine;
other users and other containers are seen by the protocol instead, as foreign load.

On a GPU every process that takes the lock also holds a third file, `users`, until it ends, by
which others know that it is one of ours.

Who waits hears for whom. A holder that is stopped (SIGSTOP, Ctrl-Z) would hold everyone up and
uses nothing: after `STOPPED_S` its lock file is replaced by a fresh one, and it keeps a lock that
nobody asks for. If it goes on in the middle of a measurement, the protocol sees it as load.
"""

import fcntl
import functools
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path

from evnas.errors import MeasurementError
from evnas.files import held_locks

POLL_S = 0.01
WAITS = "waits for "
"""What a sentence about a wait begins with."""
SAID_AFTER_S = 2.0
"""After this long a wait is spoken of, and again as often."""
STOPPED_S = 5.0
"""How long a stopped holder is waited for."""

_HELD: ContextVar[frozenset[str]] = ContextVar("held", default=frozenset())
"""The devices that this thread holds."""

OnWait = Callable[[str], None]
"""Takes a sentence about who is waited for."""


def unsaid(sentence: str) -> None:
    """Nobody wants to know."""


@dataclass(frozen=True, slots=True)
class DeviceLock:
    """The lock of one device; `folder` holds its two lock files."""

    device_id: str
    """`cpu`, or `gpu-UUID`, so that one card has one lock under any CUDA_VISIBLE_DEVICES."""
    folder: Path = field(default_factory=lambda: runtime_folder())
    on_wait: OnWait = unsaid
    """Hears for whom a wait is."""

    @contextmanager
    def measuring(self, timeout_s: float = float("inf")) -> Iterator[None]:
        """Hold the device alone.

        Raises:
            MeasurementError: other work of ours did not make way within `timeout_s`.
        """
        wait = _Wait(self.device_id, timeout_s, self.on_wait)
        with (
            _locked(self._file("turn"), fcntl.LOCK_EX, wait),
            _locked(self._file("lane"), fcntl.LOCK_EX, wait),
            self._held(),
        ):
            yield

    @contextmanager
    def working(self, timeout_s: float = float("inf")) -> Iterator[None]:
        """Hold the device beside other work, for one chunk; waits while a measurement does.

        Raises:
            MeasurementError: measurements did not end within `timeout_s`.
        """
        wait = _Wait(self.device_id, timeout_s, self.on_wait)
        with ExitStack() as held:
            with _locked(self._file("turn"), fcntl.LOCK_SH, wait):
                held.enter_context(_locked(self._file("lane"), fcntl.LOCK_SH, wait))
            held.enter_context(self._held())
            yield

    @contextmanager
    def _held(self) -> Iterator[None]:
        """Note that this thread holds the device, and of a GPU that this process uses it."""
        if self.device_id.startswith("gpu-"):
            _use(self._file("users"))
        token = _HELD.set(_HELD.get() | {self.device_id})
        try:
            yield
        finally:
            _HELD.reset(token)

    def _file(self, kind: str) -> Path:
        return self.folder / f"{self.device_id}.{kind}"


def device_lock_for(device: str, on_wait: OnWait = unsaid) -> DeviceLock:
    """The lock of a torch device, such as `cpu` or `cuda:0`."""
    import torch  # late: waiting for a lock needs no torch

    if torch.device(device).type == "cpu":
        return DeviceLock("cpu", on_wait=on_wait)
    uuid = torch.cuda.get_device_properties(device).uuid
    return DeviceLock(f"gpu-{uuid}", on_wait=on_wait)


def kept_from_measurements(
    device: str, device_lock: DeviceLock | None = None
) -> AbstractContextManager[None]:
    """Within, work of ours on a GPU runs beside no measurement but this thread's own, which makes
    models ready too. On a CPU nothing is waited for: there the protocol sees the load.

    Args:
        device: a torch device.
        device_lock: the device's own, unless given.
    """
    import torch  # late, as above

    if torch.device(device).type != "cuda":
        return nullcontext()
    lock = device_lock or device_lock_for(device)
    return nullcontext() if lock.device_id in _HELD.get() else lock.working()


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


def our_processes(device_id: str) -> set[int]:
    """Ids of this process and of all others of this user that have used a GPU by its lock, and
    still run."""
    return {os.getpid(), *(each.pid for each in holders(runtime_folder() / f"{device_id}.users"))}


@functools.cache
def _use(path: Path) -> int:
    """Hold a file until this process ends; its descriptor."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    return descriptor


@dataclass(slots=True)
class _Wait:
    """The patience of one who wants a lock."""

    device_id: str
    timeout_s: float
    on_wait: OnWait
    _began: float = field(default_factory=time.monotonic)
    _next_s: float = field(default_factory=lambda: SAID_AFTER_S)

    def go_on(self, path: Path) -> None:
        """Wait a little more for the lock at `path`."""
        waited_s = time.monotonic() - self._began
        if waited_s >= self.timeout_s:
            raise MeasurementError(
                f"other evnas work held {self.device_id} for more than {self.timeout_s:g} s "
                f"({_names(holders(path))}); wait for it or stop it"
            )
        if waited_s >= self._next_s:
            self._next_s = waited_s + SAID_AFTER_S
            found = holders(path)
            self.on_wait(
                f"{WAITS}{self.device_id}, since {waited_s:.0f} s: held by {_names(found)}"
            )
            if waited_s >= STOPPED_S and found and all(each.is_stopped for each in found):
                _replace(path)
        time.sleep(POLL_S)


@contextmanager
def _locked(path: Path, mode: int, wait: _Wait) -> Iterator[None]:
    while True:
        # opened again each time: flock belongs to the open file, so threads exclude each other
        # too, and the file may have been replaced
        with path.open("a") as file:
            try:
                fcntl.flock(file, mode | fcntl.LOCK_NB)
            except BlockingIOError:
                pass
            else:
                if _is_at(path, file.fileno()):
                    yield
                    return
                continue
        wait.go_on(path)


def _is_at(path: Path, descriptor: int) -> bool:
    """Whether an open file is the one that others find at the path."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return False
    return os.path.samestat(found, os.fstat(descriptor))


def _replace(path: Path) -> None:
    """Let a lock be a fresh one, unless another process has done so or its holder went on."""
    with path.with_name(f"{path.name}.guard").open("a") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        found = holders(path)
        if found and all(each.is_stopped for each in found):
            path.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class Holder:
    """A process that holds a lock."""

    pid: int
    name: str
    is_stopped: bool


def holders(path: Path) -> list[Holder]:
    """Who holds the lock of a file; empty where the system does not say (`/proc/locks`)."""
    try:
        at = path.stat()
    except OSError:
        return []
    where = (f"{os.major(at.st_dev):02x}:{os.minor(at.st_dev):02x}", at.st_ino)
    pids = {lock.pid for lock in held_locks() if (lock.device, lock.inode) == where}
    return [_holder(pid) for pid in sorted(pids)]


def _holder(pid: int) -> Holder:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return Holder(pid, "?", False)
    name, _, rest = stat.partition("(")[2].rpartition(")")  # a name may hold brackets
    return Holder(pid, name, rest.split()[0] in ("T", "t"))


def _names(found: list[Holder]) -> str:
    if not found:
        return "a process that is not known"
    return ", ".join(
        f"process {each.pid} ({each.name}{', stopped' if each.is_stopped else ''})"
        for each in found
    )

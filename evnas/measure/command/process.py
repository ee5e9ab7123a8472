"""One run of a command, with an end to its patience and to what it may print."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from evnas.errors import MeasurementError

MOST_BYTES = 2**20
"""Of output: latencies take a few kilobytes."""
POLL_S = 0.02
GUARD = Path(__file__).with_name("guard.py")
"""What the command runs under, so that it does not outlive a process that was killed."""


def output_of(words: Sequence[str], *, timeout_s: float) -> tuple[str, float]:
    """Run a command to its end.

    Args:
        words: program and arguments; no shell reads them.
        timeout_s: after which it is killed, with what it started.

    Returns:
        Its standard output, and the seconds that it took.

    Raises:
        MeasurementError: it cannot be started, did not end, failed, or prints without end.
    """
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        start = time.perf_counter()
        _must_be_a_program(words[0])
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(GUARD), *words],
            stdin=subprocess.PIPE,  # held open: the guard sees by it that this process lives
            stdout=out,
            stderr=err,
            start_new_session=True,
        )
        try:
            _wait(process, (out, err), start + timeout_s, words[0], timeout_s)
        finally:
            _kill(process)
        seconds = time.perf_counter() - start
        said, complaint = _text(out), _text(err)
    if process.returncode != 0:
        last = complaint.strip().rpartition("\n")[2] or "it said nothing on stderr"
        code = process.returncode
        ended = f"ended with code {code}" if code > 0 else f"was ended by signal {-code}"
        raise MeasurementError(f"the command {words[0]!r} {ended}: {last[:200]}")
    return said, seconds


def _must_be_a_program(name: str) -> None:
    if shutil.which(name) is None:
        raise MeasurementError(
            f"the command {name!r} cannot be started: it must be a program that is found and may "
            "be run"
        )


def _wait(
    process: "subprocess.Popen[bytes]",
    files: Sequence[BinaryIO],
    deadline: float,
    name: str,
    timeout_s: float,
) -> None:
    while process.poll() is None:
        if any(os.fstat(file.fileno()).st_size > MOST_BYTES for file in files):
            raise MeasurementError(
                f"the command {name!r} printed more than {MOST_BYTES // 1024} KiB; it shall print "
                "latencies alone"
            )
        if time.perf_counter() > deadline:
            raise MeasurementError(
                f"the command {name!r} did not end within {timeout_s:g} s and was killed; "
                "timeout_s of its target gives it longer"
            )
        time.sleep(POLL_S)


def _kill(process: "subprocess.Popen[bytes]") -> None:
    """The command and whatever it started: they are a session of their own."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    if process.stdin is not None:
        process.stdin.close()


def _text(file: BinaryIO) -> str:
    file.seek(0)
    return file.read(MOST_BYTES).decode(errors="replace")

"""One run of a command, with an end to its patience and to what it may print."""

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import BinaryIO

from evnas.errors import MeasurementError

MOST_BYTES = 2**20
"""Of output: latencies take a few kilobytes."""
POLL_S = 0.02


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
        try:
            process = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=out, stderr=err, start_new_session=True
            )
        except OSError as error:
            raise MeasurementError(
                f"the command {words[0]!r} cannot be started: {error.strerror}"
            ) from error
        try:
            _wait(process, (out, err), start + timeout_s, words[0], timeout_s)
        finally:
            _kill(process)
        seconds = time.perf_counter() - start
        said, complaint = _text(out), _text(err)
    if process.returncode != 0:
        last = complaint.strip().rpartition("\n")[2] or "it said nothing on stderr"
        ended = f"ended with code {process.returncode}"
        if process.returncode < 0:
            ended = f"was ended by signal {-process.returncode}"
        raise MeasurementError(f"the command {words[0]!r} {ended}: {last[:200]}")
    return said, seconds


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


def _text(file: BinaryIO) -> str:
    file.seek(0)
    return file.read(MOST_BYTES).decode(errors="replace")

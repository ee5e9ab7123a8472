"""`evnas` in the test's own process: without the seconds that a fresh one imports for each time.

What is about a process, such as signals, pipes and what is loaded, starts one; and so does one
test of every file of commands, that the program as it is installed says the same.
"""

import io
import os
import subprocess
import sys
from contextlib import chdir, redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from evnas.cli import main


def evnas(*words: object, cwd: Path = Path()) -> subprocess.CompletedProcess[str]:
    """Exit status, stdout and stderr of `evnas WORDS` in the folder `cwd`, nobody at stdin."""
    out, said = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for _ in range(2))
    command = ["evnas", *map(str, words)]
    with (
        pytest.MonkeyPatch.context() as patch,
        Path(os.devnull).open() as nobody,
        chdir(cwd),
        redirect_stdout(out),
        redirect_stderr(said),
    ):
        patch.setattr(sys, "argv", command)
        patch.setattr(sys, "stdin", nobody)
        status = _status()
    return subprocess.CompletedProcess(command, status, _text(out), _text(said))


def _status() -> int:
    try:
        main()
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    return 0


def _text(stream: io.TextIOWrapper) -> str:
    stream.flush()
    kept = stream.buffer
    assert isinstance(kept, io.BytesIO)
    return kept.getvalue().decode()

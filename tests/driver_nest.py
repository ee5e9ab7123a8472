"""A process that has loaded what a sweep needs, and forks drivers: each begins at once, so that a
kill at a random instant finds it at work and not at its imports.

Reads commands, JSON on a line: `["start", WORDS, STDERR]` answers the new driver's number,
`["wait", NUMBER]` how it ended: its exit code, or less than 0 by a signal.
"""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def _drive(words: Sequence[str], stderr: str) -> None:
    """Be `evnas WORDS` from here on."""
    from evnas.cli import main

    for number, path in ((0, os.devnull), (1, os.devnull), (2, stderr)):
        os.dup2(os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600), number)
    sys.argv = ["evnas", *words]
    main()


def _serve() -> None:
    import evnas.report.page.outputs
    import evnas.running
    import evnas.search.runner  # noqa: F401, what a sweep loads

    for line in sys.stdin:
        match json.loads(line):
            case ["start", words, stderr]:
                answer = os.fork()
                if not answer:
                    _drive(words, stderr)
                    sys.exit(0)
            case ["wait", number]:
                answer = os.waitstatus_to_exitcode(os.waitpid(number, 0)[1])
        print(answer, flush=True)


class Nest:
    """The process, as a test has it."""

    def __init__(self, **environment: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            # no browser to draw pictures with: they take seconds
            env=os.environ | {"PATH": "", "OMP_NUM_THREADS": "1"} | environment,
        )

    @property
    def pid(self) -> int:
        """Its own number."""
        return self._process.pid

    def start(self, words: Sequence[str], stderr: Path) -> int:
        """A new driver; returns its number."""
        return self._ask("start", list(words), str(stderr))

    def wait(self, number: int) -> int:
        """How it ended."""
        return self._ask("wait", number)

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.communicate()

    def _ask(self, *command: Any) -> int:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())


if __name__ == "__main__":
    _serve()

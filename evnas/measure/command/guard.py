"""Runs a command and ends with it; kills it, and whatever it started, when who asked for it dies.

A script of its own: `python guard.py PROGRAM ARGUMENT...`, first of a process group, with a pipe
as its standard input that closes when the other end's process is gone, however that ended.
"""

import os
import signal
import subprocess
import sys
import threading


def main(words: list[str]) -> int:
    """Run a command to its end; its exit code. Dies by the signal that it died by."""
    threading.Thread(target=_die_with_asker, daemon=True).start()
    code = subprocess.Popen(words, stdin=subprocess.DEVNULL).wait()
    if code < 0:
        os.kill(os.getpid(), -code)
    return code


def _die_with_asker() -> None:
    os.read(0, 1)  # nothing is ever written: it returns when the other end is closed
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

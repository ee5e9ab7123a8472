"""The head of a Ray cluster goes away under a search: the driver ends with a sentence, and the
same command goes on in a new cluster."""

import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from tiny_search import outcomes, records, start, tiny_search, write

pytestmark = [
    pytest.mark.skipif(
        os.environ.get("EVNAS_FAULTS") != "whole", reason="a minute: make test-faults does it"
    ),
    pytest.mark.timeout(600),
]
PORT = 46379
ADDRESS = f"127.0.0.1:{PORT}"


class OwnCluster:
    """A head in a session of its own, so that no other cluster of this machine is touched."""

    def __init__(self) -> None:
        folder = tempfile.mkdtemp(prefix="evnas-")  # short: sockets lie in it
        ray = [sys.executable, "-m", "ray.scripts.scripts"]
        command = [*ray, "start", "--head", "--block", f"--port={PORT}", "--num-cpus=1"]
        command += ["--include-dashboard=false", f"--temp-dir={folder}"]
        self._process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        while not self._listens():
            assert self._process.poll() is None, "ray start has ended"
            time.sleep(0.5)

    def _listens(self) -> bool:
        with socket.socket() as asked:
            return asked.connect_ex(("127.0.0.1", PORT)) == 0

    def kill(self) -> None:
        """All of it at once."""
        with_it = children_of(self._process.pid)
        for pid in (*with_it, self._process.pid):
            try:
                os.kill(pid, 9)
            except ProcessLookupError:
                continue
        self._process.wait()


def children_of(pid: int) -> list[int]:
    """Processes below one, at any depth."""
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, task.read_text().split()):
            found += [child, *children_of(child)]
    return found


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write(tmp_path / "tiny.yaml", tiny_search())


def test_a_head_that_is_killed_ends_the_driver_with_a_sentence(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")  # this machine's own token is none of ours
    engine = f"engine={{kind: ray, address: '{ADDRESS}'}}"
    with start(file, tmp_path / "whole") as whole:
        _, said = whole.communicate()
        assert whole.returncode == 0, said
    first = OwnCluster()
    try:
        with start(file, tmp_path / "broken", "--set", engine) as driver:
            assert driver.stderr is not None
            said = ""
            while "2 proxy: " not in said:
                said += (line := driver.stderr.readline())
                assert line, said  # it ended
            first.kill()
            said += driver.stderr.read()
            assert driver.wait() == 2, said
        assert "the head of the Ray cluster must answer, and it is gone" in said
        assert "Traceback" not in said, said
    finally:
        first.kill()
    kept = records(tmp_path / "broken")
    second = OwnCluster()
    try:
        with start(file, tmp_path / "broken", "--set", engine) as again:
            _, said = again.communicate()
            assert again.returncode == 0, said
    finally:
        second.kill()
    assert records(tmp_path / "broken")[: len(kept)] == kept
    assert outcomes(tmp_path / "broken") == outcomes(tmp_path / "whole")

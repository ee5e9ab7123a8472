"""A worker without torch that halts in a given state, for the faults of workers.

`EVNAS_TEST_FAULTS` is a folder: `state` names where to halt, `left` how many workers still do, and
who halts writes its number to `pid`. Where `fault` is OOM it has no memory, and waits for nobody.
"""

import os
import threading
import time
from multiprocessing.connection import Connection
from pathlib import Path

from evnas.phases.work import Finished, Progress, Work
from evnas.search.engines.worker import FromWorker, Sign, _Mouth

STATE_OF = {"count": "counting", "speed": "measuring", "proxy": "training"}
"""What a worker is at, by the phase of its work."""


def serve_hanging(
    pipe: "Connection[FromWorker, Work | None]", *, threads: int, added: bytes
) -> None:
    mouth = _Mouth(pipe)
    threading.Thread(target=mouth.beat, daemon=True).start()
    _halt_in("starting")
    mouth.send(Sign.READY)
    _halt_in("idle")
    while (work := pipe.recv()) is not None:
        _halt_in(STATE_OF[work.phase])
        mouth.send(Progress(work, 0.5))
        if _is_to_halt_in("sending"):
            with mouth._lock:
                os.write(pipe.fileno(), (1000).to_bytes(4, "big") + b"half a message")
                _halt_in("sending")
        record = work.record("complete", started=time.time(), seconds=0.0)
        mouth.send(Finished(work, record))


def _is_to_halt_in(state: str) -> bool:
    folder = Path(os.environ["EVNAS_TEST_FAULTS"])
    return (folder / "state").read_text() == state and int((folder / "left").read_text()) > 0


def _halt_in(state: str) -> None:
    if not _is_to_halt_in(state):
        return
    folder = Path(os.environ["EVNAS_TEST_FAULTS"])
    (folder / "left").write_text(str(int((folder / "left").read_text()) - 1))
    (folder / "new").write_text(str(os.getpid()))
    (folder / "new").rename(folder / "pid")
    if (folder / "fault").read_text() == "OOM":
        raise MemoryError
    time.sleep(600)

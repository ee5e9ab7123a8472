"""A head that does not answer ends a search with a sentence; a driver that stood still blames it
for nothing."""

import threading
from collections.abc import Callable, Iterator

import pytest

from evnas.errors import ClusterGone
from evnas.search.engines.tune import head
from evnas.search.engines.tune.head import GONE_S, Head

NODE = {"CPU": 2.0}


class Cluster:
    """What a head says, while it is there."""

    def __init__(self) -> None:
        self.nodes = [NODE]
        self.answers, self.raises = threading.Event(), False
        self.answers.set()

    def look(self) -> list[dict[str, float]]:
        if self.raises:
            raise RuntimeError("no connection")
        self.answers.wait()
        return self.nodes


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    monkeypatch.setattr(head, "LOOK_EVERY_S", 0.001)
    return Cluster()


@pytest.fixture
def watched(cluster: Cluster) -> Iterator[tuple[Head, Clock]]:
    clock = Clock()
    found = Head(cluster.look, {"CPU": 1.0}, clock=clock)
    yield found, clock
    found.close()
    cluster.answers.set()


def until(holds: Callable[[], bool]) -> None:
    over = threading.Event()
    while not holds():
        over.wait(0.001)


def asked_for(found: Head, clock: Clock, seconds: float) -> None:
    for _ in range(round(2 * seconds)):
        clock.now_s += 0.5
        found.must_answer()


def test_nodes_that_come_and_go_are_seen(cluster: Cluster, watched: tuple[Head, Clock]) -> None:
    found, _ = watched
    assert found.room == 2
    cluster.nodes = [NODE, NODE]
    until(lambda: found.room == 4)
    cluster.nodes = [NODE]
    until(lambda: found.room == 2)


@pytest.mark.parametrize("raises", [True, False], ids=["raises", "never returns"])
def test_a_head_that_is_gone_is_a_sentence(
    cluster: Cluster, watched: tuple[Head, Clock], raises: bool
) -> None:
    found, clock = watched
    cluster.raises = raises
    if not raises:
        cluster.answers.clear()
    until(lambda: not found.answers_within(0.0))
    found.must_answer()
    with pytest.raises(ClusterGone, match="must answer, and it is gone; what is recorded stays"):
        asked_for(found, clock, GONE_S + 2)


def test_a_driver_that_stood_still_blames_nobody(
    cluster: Cluster, watched: tuple[Head, Clock]
) -> None:
    found, clock = watched
    cluster.answers.clear()
    for _ in range(5):
        clock.now_s += 3600.0
        found.must_answer()
    cluster.answers.set()
    before = found._answers
    until(lambda: found._answers > before)
    asked_for(found, clock, 5.0)

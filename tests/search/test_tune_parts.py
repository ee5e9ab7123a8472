"""Parts of the Ray engine that need no cluster."""

import pytest

from evnas.phases.work import Finished, Work
from evnas.search.engines.tune.cluster import room
from evnas.search.engines.tune.idle_actors import PATIENCE_S, IdleActors
from evnas.search.engines.tune.mailbox import Closed, Mailbox


def work(label: str) -> Work:
    return Work(label=label, digest=label, arch={}, phase="count")


def test_no_work_spans_two_nodes():
    nodes = [{"CPU": 6.0, "GPU": 1.0}, {"CPU": 6.0}]
    assert room(nodes, {"CPU": 4.0}) == 2
    assert room(nodes, {"CPU": 2.0, "GPU": 0.0}) == 6
    assert room(nodes, {"CPU": 2.0, "GPU": 1.0}) == 1


def test_idle_actors_stay_until_their_room_was_wanted_for_a_while():
    now = 0.0
    idle = IdleActors(clock=lambda: now)
    for kind, actor in (("cpu", 1), ("gpu", 2), ("cpu", 3)):
        assert idle.cache_object(kind, actor)
    assert idle.flush_cached_objects() == []
    idle.waits_for_room = lambda: True
    assert idle.flush_cached_objects() == []
    now = 1.5 * PATIENCE_S
    idle.increase_max("cpu")  # a trial is about to take one of these
    assert idle.flush_cached_objects() == [2]
    assert idle.flush_cached_objects() == []  # its room has to be free first
    now = 3.0 * PATIENCE_S
    assert idle.flush_cached_objects() == []
    idle.decrease_max("cpu")
    now = 4.5 * PATIENCE_S
    assert idle.flush_cached_objects() == [1]
    assert idle.pop_cached_object("gpu") is None
    assert idle.pop_cached_object("cpu") == 3


def test_no_idle_actor_is_trusted_once_a_worker_was_lost():
    idle = IdleActors()
    idle.cache_object("cpu", 1)
    idle.cache_object("gpu", 2)
    idle.distrust()
    assert idle.flush_cached_objects() == [1, 2]
    assert idle.num_cached_objects == 0
    idle.cache_object("cpu", 3)
    assert idle.flush_cached_objects() == []


def test_the_driver_hears_one_end_of_each_job():
    mailbox = Mailbox()
    mailbox.submit(work("A"))
    mailbox.submit(work("B"))
    job = mailbox.next_job(patient=True)
    assert job is not None and job.work.label == "A"
    job.began, job.starts_since = 1.0, 1.0
    mailbox.take_back(job)
    assert mailbox.next_job(patient=True) is job  # before B
    assert job.began is None and job.starts_since is None  # nor does its next worker's time run
    mailbox.give_up(job, "timeout", "too long")
    mailbox.end(job, Finished(job.work, job.work.record("complete", started=0.0, seconds=0.0)))
    assert [e.record.status for e in mailbox.wait(0.0) if isinstance(e, Finished)] == ["timeout"]


def test_an_engine_that_breaks_or_is_closed_ends_the_waiting():
    mailbox = Mailbox()
    assert mailbox.next_job(patient=False) is None
    mailbox.close()
    with pytest.raises(Closed):
        mailbox.next_job(patient=True)
    mailbox.broke(ZeroDivisionError("in Tune"))
    with pytest.raises(RuntimeError, match="Ray Tune ended by itself"):
        mailbox.wait(0.0)

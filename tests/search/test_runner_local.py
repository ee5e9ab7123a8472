"""The local engine with real workers, and how evaluations end."""

import os
import signal
from collections.abc import Iterator
from dataclasses import replace

import pytest

from evnas.arch.catalog import entry
from evnas.arch.spec import ArchSpec
from evnas.phases.count import CountTask
from evnas.phases.proxy import ProxyTask
from evnas.phases.work import Finished, Progress, Work
from evnas.record import Record
from evnas.search.engines.local import LocalEngine
from evnas.search.evaluate import Evaluator
from evnas.sweep.parts import ProxySpec

PROXY = ProxySpec(
    resolution=32,
    epochs=1,
    images_per_epoch=64,
    batch_size=16,
    points_per_epoch=1,
    curve_images=20,
    device="cpu",
).model_dump(mode="json")


def tiny() -> ArchSpec:
    raw = entry("efficientvim_m2").arch.to_dict()
    for stage in raw["stages"]:
        stage.update(depth=1, dim=16)
    return ArchSpec.from_dict(raw)


def proxy_work(**changes: object) -> Work:
    arch = tiny()
    return Work(
        label="A",
        digest=arch.digest,
        arch=arch.to_dict(),
        phase="proxy",
        budget=64.0,
        task=ProxyTask(proxy=PROXY | changes),
    )


def ended(work: Work) -> Record:
    return Evaluator().run(work, lambda fraction, text: None).record


def test_a_training_and_its_curve():
    record = ended(proxy_work())
    assert record.status == "complete"
    assert record.curve[-1]["images"] == 64
    assert record.values["held_out_images"] == 2000
    assert ended(proxy_work()).curve[0]["loss"] == record.curve[0]["loss"]


def test_a_rung_is_the_beginning_of_the_whole_training(tmp_path):
    whole = ended(proxy_work(epochs=2))
    rung = proxy_work(epochs=2)
    checkpoint = str(tmp_path / "a" / "rung.pt")
    task = rung.task
    assert isinstance(task, ProxyTask)
    rung = replace(rung, task=replace(task, until_epoch=1, checkpoint=checkpoint))
    first = ended(rung)
    assert [point["images"] for point in first.curve] == [64]
    rest = ended(replace(rung, task=replace(task, until_epoch=None, checkpoint=checkpoint)))
    timeless = [{k: v for k, v in p.items() if k != "seconds"} for p in whole.curve]
    assert [{k: v for k, v in p.items() if k != "seconds"} for p in rest.curve] == timeless
    assert rest.details["correct_hex"] == whole.details["correct_hex"]


def test_a_loss_that_is_not_finite_is_a_result():
    record = ended(proxy_work(lr=1e18, images_per_epoch=160))
    assert record.status == "diverged"
    assert "top1_percent" not in record.values


def test_memory_that_runs_out_is_a_result(monkeypatch):
    def greedy(*_: object, **__: object) -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried 99 bytes")

    monkeypatch.setattr("evnas.measure.models.proxy_model", greedy)
    assert ended(proxy_work()).status == "oom"


def test_a_bug_is_recorded_with_its_traceback(monkeypatch):
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("in the model")

    monkeypatch.setattr("evnas.measure.models.proxy_model", broken)
    record = ended(proxy_work())
    assert record.status == "failed"
    assert "Traceback" in record.error and "ZeroDivisionError: in the model" in record.error


def test_a_peer_nobody_has_is_one_sentence():
    work = Work(
        label="P", digest="timm:none", arch={"timm": "resnet1"}, phase="count", task=CountTask()
    )
    record = ended(work)
    assert record.status == "failed"
    assert record.error.count("\n") == 0
    assert "timm has no model 'resnet1'" in record.error


def test_a_peer_counts_under_the_same_protocol():
    work = Work(
        label="P",
        digest="timm:resnet18",
        arch={"timm": "resnet18"},
        phase="count",
        task=CountTask(),
    )
    record = ended(work)
    assert record.values["params"] == 11_689_512
    assert record.values["macs_exact"] == pytest.approx(1.814e9, rel=1e-3)


@pytest.fixture
def engine() -> Iterator[LocalEngine]:
    engine = LocalEngine(workers=1, gpus=0, timeout_s=600.0)
    yield engine
    engine.close()


def counted(engine: LocalEngine) -> Record:
    """The end of a piece of work that takes no time."""
    engine.submit(
        Work(
            label="A", digest=tiny().digest, arch=tiny().to_dict(), phase="count", task=CountTask()
        )
    )
    while True:
        for event in engine.wait(60.0):
            if isinstance(event, Finished):
                return event.record


def test_a_dead_worker_is_replaced_and_its_work_tried_once_more(engine):
    engine.submit(proxy_work(images_per_epoch=6400))
    deaths, end = 0, None
    while end is None:
        for event in engine.wait(60.0):
            if isinstance(event, Finished):
                end = event
            elif isinstance(event, Progress) and event.fraction > 0:
                os.kill(engine._workers[0].process.pid, signal.SIGKILL)
                deaths += 1
                break
    assert deaths == 2
    assert end.record.status == "lost"
    assert "killed by SIGKILL" in end.record.error
    assert counted(engine).status == "complete"


def test_what_takes_too_long_is_stopped(engine):
    counted(engine)  # its worker is up
    engine._timeout_s = 0.0
    engine.submit(proxy_work(images_per_epoch=6400))
    events = engine.wait(0.01)
    assert [event.record.status for event in events] == ["timeout"]
    assert "engine.timeout_s" in events[0].record.error

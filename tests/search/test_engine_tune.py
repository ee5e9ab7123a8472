"""The Ray engine on a real cluster: lost nodes and workers, what is late, what is no number."""

import itertools
import math
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import ray
from paper_setting import PaperSetting, make_work, targets_called
from ray.cluster_utils import Cluster
from tiny_search import TRIALS as TINY
from tiny_search import killed_after, outcomes, records, tiny_search, write
from tiny_search import start as started

from evnas.arch.catalog import entry
from evnas.errors import SpecError
from evnas.phases.base import Task
from evnas.phases.speed import SpeedTask
from evnas.phases.work import Finished, Work
from evnas.record import Record
from evnas.search.driver import Ask, MakeWork, Schedule, drive
from evnas.search.engines.base import Engine
from evnas.search.engines.tune import engine as tune_engine
from evnas.search.engines.tune.control import RETRIES, Keeper
from evnas.search.engines.tune.engine import TuneEngine
from evnas.search.runner import run_sweep
from evnas.search.state.history import History
from evnas.search.state.objectives import resolved_objectives
from evnas.space.space import SearchSpace
from evnas.space.spec import SpaceSpec
from evnas.store import Store
from evnas.sweep.search_spec import BudgetSpec, ObjectiveSpec
from evnas.sweep.strategy_spec import strategy_spec
from evnas.sweep.sweep import load_sweep

pytestmark = [
    pytest.mark.filterwarnings("ignore"),  # Ray's own deprecations and unclosed sockets
    pytest.mark.timeout(180),
]
TARGET, TRIALS = "cpu-closed-8-b1-float32", 12


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A head with one CPU; a test that needs a second node adds it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_DISABLE_MEMORY_MONITOR", "1")
        patch.setenv("OMP_NUM_THREADS", "1")  # both engines shall sum in one order
        # no dashboard: the engine asks for none either, and its processes start for seconds
        head: dict[str, Any] = {"num_cpus": 1, "include_dashboard": False}
        cluster = Cluster(initialize_head=True, head_node_args=head)
        ray.init(address=cluster.address, log_to_driver=False)
        yield cluster
        ray.shutdown()
        cluster.shutdown()


@pytest.fixture
def start(cluster: Cluster) -> Iterator[Callable[..., TuneEngine]]:
    """Makes engines that the test's end closes."""
    engines: list[TuneEngine] = []

    def start(evaluate: Callable[[Work], Finished], *, timeout_s: float = 120) -> TuneEngine:
        engines.append(
            TuneEngine(
                address=cluster.address,
                resources={"cpu": 1},
                timeout_s=timeout_s,
                evaluate=evaluate,
            )
        )
        return engines[-1]

    yield start
    for engine in engines:
        engine.close()


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("search") / "tiny.yaml", tiny_search())


@pytest.fixture(scope="module")
def unbroken(file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return gone_on_with(file, tmp_path_factory.mktemp("whole"), "{kind: local, workers: 1}")


def gone_on_with(file: Path, results: Path, engine: str) -> Path:
    """The search run to its end, here, by that engine."""
    sweep = load_sweep(file, overrides=[f"engine={engine}"])
    run_sweep(sweep, results=results, fresh=False, began=time.monotonic())
    return results


def ended(engine: Engine, number: int) -> list[Record]:
    found: list[Record] = []
    while len(found) < number:
        found += [e.record for e in engine.wait(0.1) if isinstance(e, Finished)]
    return found


def until_slots_are(engine: Engine, number: int) -> None:
    """Nodes come and go while a search runs, and it uses what is there."""
    while engine.slots != number:
        time.sleep(0.05)


def empty(label: str) -> Work:
    return Work(label=label, digest=label, arch={}, phase="count")


def work_of(ask: Ask) -> Work:
    on = {"device": "cpu", "runtime": "closed", "resolution": 8, "batch_size": 1}
    on |= {"precision": "float32", "form": "plain", "mode": "inference"}
    task = SpeedTask(target=on, budget_s=1.0) if ask.need.target else Task()
    return replace(make_work(ask), task=task)


def searched(store: Store, engine: Engine, *, make_work: MakeWork) -> Schedule:
    """A random search that measures and counts, run to its end."""
    wishes = {"throughput_img_s": "max", "params": "max"}
    objectives = resolved_objectives(
        [ObjectiveSpec.model_validate({"metric": m, "goal": g}) for m, g in wishes.items()],
        targets_called(TARGET),
    )
    axes = {"stages[*].depth": {"each": [1, 2, 3]}, "stages[0].dim": [64, 96, 128]}
    space = SearchSpace.from_spec(SpaceSpec.model_validate({"axes": axes}), entry("m1").arch)
    search = Schedule(
        history=History(objectives=objectives).take_store(store),
        strategy=strategy_spec("random").strategy(space, warm=(), full_budget=0.0),
        setting=PaperSetting((TARGET,)),
        budget=BudgetSpec(trials=TRIALS),
        first_budget=0.0,
    )
    search.resume()
    drive(search, store, engine, make_work=make_work)
    return search


def test_a_search_survives_the_loss_of_the_node_that_measures(cluster, start, tmp_path):
    begun, gone = tmp_path / "begun", tmp_path / "gone"

    def evaluate(work: Work) -> Finished:
        import time as clock

        if work.task.noted().get("target_index") == 1:  # only the death of its node ends this
            begun.touch()
            while not gone.exists():
                clock.sleep(0.05)
        values = {"params": float(sum(s["dim"] for s in work.arch["stages"]))}
        if work.phase == "speed":
            values = {"throughput_img_s": 1e6 / sum(s["depth"] for s in work.arch["stages"])}
        node = ray.get_runtime_context().get_node_id()
        details = {"gpus": os.environ.get("CUDA_VISIBLE_DEVICES"), "node": node}
        found = {"values": values, "details": details}
        return Finished(work, work.record("complete", started=0, seconds=0.01, found=found))

    second = cluster.add_node(num_cpus=1, resources={TARGET: 1})
    engine = start(evaluate)
    speeds: list[str] = []

    def make_work(ask: Ask) -> Work:
        work = work_of(ask)
        if ask.phase == "speed":
            speeds.append(ask.label)
            if len(speeds) == 3:
                task: Any = work.task
                return replace(work, task=replace(task, target_index=1))
            if len(speeds) == 4:  # the third is all that runs
                while not begun.exists():
                    assert engine.wait(0.1) == []
                cluster.remove_node(second)
                gone.touch()
        return work

    assert engine.slots == 2
    with Store.create(tmp_path / "study.db", sweep={}, environment={}) as store:
        search = searched(store, engine, make_work=make_work)
        stored = [record for _, record in store.records()]
    assert gone.exists()
    assert len(stored) == 2 * TRIALS
    assert {r.status for r in stored} == {"complete"}
    assert len(search.history.complete) == TRIALS
    assert {r.details["gpus"] for r in stored} == {""}  # hidden from CPU work
    measured_on = [r.details["node"] for r in stored if r.phase == "speed"]
    assert set(measured_on[:2]) == {second.node_id}
    assert second.node_id not in measured_on[2:]


def test_what_waits_for_a_lost_node_is_started_again(cluster, start, tmp_path):
    begun, gone = tmp_path / "begun", tmp_path / "gone"

    def evaluate(work: Work) -> Finished:
        import time as clock

        begun.touch()
        while not gone.exists():
            clock.sleep(0.05)
        return Finished(work, work.record("complete", started=0, seconds=0.01))

    engine = start(evaluate)
    assert engine.slots == 1
    second = cluster.add_node(num_cpus=1, resources={TARGET: 1})
    until_slots_are(engine, 2)
    for label in ("under way", "waiting"):
        engine.submit(Work(label=label, digest=label, arch={}, phase="speed", target=TARGET))
    while not begun.exists():  # the target is held by the first: the second has to wait
        assert engine.wait(0.1) == []
    cluster.remove_node(second)
    gone.touch()
    found = ended(engine, 2)
    assert {r.label: r.status for r in found} == {"under way": "complete", "waiting": "complete"}
    until_slots_are(engine, 1)


def test_a_killed_worker_is_replaced_and_its_work_done_once(start, tmp_path):
    def evaluate(work: Work) -> Finished:
        died = tmp_path / "died"
        if work.label == "1" and not died.exists():
            died.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        found = {"values": {"loss": math.nan}, "details": {"pid": os.getpid()}}
        return Finished(work, work.record("complete", started=0, seconds=0.0, found=found))

    engine = start(evaluate)
    for i in range(4):
        engine.submit(empty(str(i)))
    found = ended(engine, 4)
    assert (tmp_path / "died").exists()
    assert sorted(r.label for r in found) == ["0", "1", "2", "3"]
    assert {r.status for r in found} == {"complete"}
    assert all(math.isnan(r.values["loss"]) for r in found)  # a result like any other
    assert len({r.details["pid"] for r in found}) == 2  # actors are reused
    assert engine.wait(0.0) == []


def test_work_that_kills_every_worker_ends_as_lost(start, tmp_path):
    def evaluate(work: Work) -> Finished:
        if work.label == "deadly":
            with (tmp_path / "deaths").open("a") as file:
                file.write("x")
            os.kill(os.getpid(), signal.SIGKILL)
        return Finished(work, work.record("complete", started=0, seconds=0.0))

    engine = start(evaluate)
    engine.submit(empty("deadly"))
    [lost] = ended(engine, 1)
    assert lost.status == "lost"
    assert f"its worker was lost {RETRIES + 1} times" in lost.error
    assert (tmp_path / "deaths").read_text() == "x" * (RETRIES + 1)
    engine.submit(empty("next"))
    assert [r.status for r in ended(engine, 1)] == ["complete"]


class Unpacked:
    """What is run, with a fault at the moment in which a new actor unpacks it."""

    def __init__(self, evaluate: Callable[[Work], Finished], fault: Callable[[], None]) -> None:
        self.evaluate, self.fault = evaluate, fault

    def __reduce__(self) -> Any:
        def unpack(evaluate: Any, fault: Any) -> Any:
            fault()
            return evaluate

        return unpack, (self.evaluate, self.fault)

    def __call__(self, work: Work) -> Finished:
        return self.evaluate(work)


STATES = ("starting", "idle", "counting", "measuring", "training", "sending")
PHASE_OF = {"counting": "count", "measuring": "speed", "training": "proxy"}
MATRIX = list(itertools.product(STATES, ("KILL", "STOP", "OOM")))
FEW = [
    ("starting", "KILL"),
    ("starting", "OOM"),
    ("idle", "STOP"),
    ("counting", "STOP"),
    ("training", "KILL"),
    ("training", "OOM"),
    ("sending", "KILL"),
]


@pytest.mark.parametrize(
    ("state", "fault"), MATRIX if os.environ.get("EVNAS_FAULTS") == "whole" else FEW
)
def test_a_fault_in_a_state_costs_no_result(start, tmp_path, monkeypatch, state, fault):
    """A stopped actor says nothing to Ray: its work ends by `engine.timeout_s`, a result too."""
    waits = state in ("starting", "idle") and fault == "STOP"
    short = partial(Keeper, start_s=10.0 if waits else 300.0)
    monkeypatch.setattr(tune_engine, "Keeper", short)
    driver, done = os.getpid(), tmp_path / "done"

    def happen(pid: int) -> None:
        if fault == "OOM":
            raise MemoryError
        os.kill(pid, signal.SIGKILL if fault == "KILL" else signal.SIGSTOP)

    def once() -> None:
        if os.getpid() != driver and not done.exists():
            done.touch()
            happen(os.getpid())

    def evaluate(work: Work) -> Finished:
        class Fatal:
            def __reduce__(self):  # its annotations would not be found in an actor
                once()
                return str, ("packed",)

        if state in PHASE_OF and work.label == "first":
            once()
        details: dict[str, Any] = {"pid": os.getpid()}
        if state == "sending" and work.label == "first":
            details["fatal"] = Fatal()
        record = work.record("complete", started=0, seconds=0.0, found={"details": details})
        return Finished(work, record)

    engine = start(
        Unpacked(evaluate, once) if state == "starting" else evaluate,
        # an idle actor's fault ends by `start_s`; its first work takes what a busy machine takes
        timeout_s=3.0 if fault == "STOP" and state != "idle" else 120,
    )
    work = replace(empty("first"), phase=PHASE_OF.get(state, "count"))
    engine.submit(work)
    (first,) = ended(engine, 1)
    if state == "idle" and fault != "OOM":
        happen(first.details["pid"])
    engine.submit(replace(work, label="next", digest="next"))
    (following,) = ended(engine, 1)
    stopped, without_memory = fault == "STOP", fault == "OOM"
    wanted = {"starting": "complete", "idle": "complete", "sending": first.status}.get(
        state, "timeout" if stopped else "failed" if without_memory else "complete"
    )
    assert first.status == wanted, first.error
    assert following.status == "complete", following.error
    assert state == "idle" or done.exists()


def test_what_takes_too_long_is_stopped_and_what_raises_is_recorded(start):
    def evaluate(work: Work) -> Finished:
        import time as clock

        if work.label == "late":
            clock.sleep(100)
        raise ZeroDivisionError("in the model")

    engine = start(evaluate, timeout_s=0.5)
    engine.submit(empty("late"))
    [late] = ended(engine, 1)
    assert late.status == "timeout"
    assert "engine.timeout_s" in late.error
    engine.submit(empty("wrong"))
    [wrong] = ended(engine, 1)
    assert wrong.status == "failed"
    assert "Traceback" in wrong.error and "ZeroDivisionError: in the model" in wrong.error


def test_an_engine_that_is_closed_stops_what_runs(start, tmp_path):
    begun = tmp_path / "begun"

    def evaluate(work: Work) -> Finished:
        import time as clock

        begun.touch()
        clock.sleep(100)
        return Finished(work, work.record("complete", started=0, seconds=0.0))

    engine = start(evaluate)
    engine.submit(empty("endless"))
    while not begun.exists():
        assert engine.wait(0.1) == []
    engine.close()
    assert not engine._thread.is_alive()


def test_needs_that_no_node_meets_are_one_sentence(cluster):
    with pytest.raises(SpecError, match=r"engine.resources: no node has room for .*cpu.*64"):
        TuneEngine(address=cluster.address, resources={"cpu": 64}, timeout_s=1.0)


@pytest.mark.parametrize("first", ["local", "ray"])
def test_either_engine_goes_on_with_what_the_other_began(cluster, first, unbroken, file, tmp_path):
    engines = {
        "local": "{kind: local, workers: 1}",
        "ray": f"{{kind: ray, address: '{cluster.address}'}}",
    }
    killed_after(started(file, tmp_path, "--set", f"engine={engines.pop(first)}"), "2 proxy: ")
    kept = records(tmp_path)
    assert 6 <= len(kept) < 2 * TINY
    (second,) = engines.values()
    gone_on_with(file, tmp_path, second)
    assert records(tmp_path)[: len(kept)] == kept
    assert outcomes(tmp_path) == outcomes(unbroken)


def test_what_a_script_adds_reaches_the_actors(cluster, tmp_path):
    """They do not run the script; one that lacked the phase would record that it failed."""
    page = Path(__file__).parents[2] / "docs" / "extending" / "phase.md"
    (code,) = re.findall(r"```python\n(.*?)```", page.read_text(), re.S)
    engine = f'"targets": [], "engine": {{"kind": "ray", "address": "{cluster.address}"}},'
    (tmp_path / "mine.py").write_text(code.replace('"targets": [],', engine))
    command = [sys.executable, "mine.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    with Store.read(tmp_path / "results" / "shallow" / "study.db") as store:
        found = [(r.status, r.error) for _, r in store.records() if r.phase == "depth"]
    assert len(found) == 4 and {status for status, _ in found} <= {"complete", "infeasible"}, found

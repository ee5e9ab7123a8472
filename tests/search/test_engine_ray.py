"""A search on a real Ray cluster of two nodes, one of which goes away under way."""

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import ray
from ray.cluster_utils import Cluster
from tiny_search import TRIALS as TINY
from tiny_search import killed_after, outcomes, records, start, tiny_search, write

from evnas.search.engine import Engine
from evnas.search.engine_ray import RayEngine
from evnas.search.history import History
from evnas.search.loop import Ask, MakeWork, Search, run_search
from evnas.search.objectives import resolved_objectives
from evnas.search.runner import run_sweep
from evnas.search.strategies.build import build_strategy
from evnas.search.work import Event, Finished, Work
from evnas.space.catalog import entry
from evnas.space.search_spec import BudgetSpec, ObjectiveSpec, SpaceSpec, StrategySpec
from evnas.space.space import SearchSpace
from evnas.store import Store
from evnas.sweep import load_sweep

pytestmark = [
    pytest.mark.filterwarnings("ignore"),  # Ray's own deprecations and unclosed sockets
    pytest.mark.timeout(180),
]
TARGET, TRIALS = "closed", 12


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A head with one CPU; each test adds the node that it takes away."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_DISABLE_MEMORY_MONITOR", "1")
        patch.setenv("OMP_NUM_THREADS", "1")  # both engines shall sum in one order
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
        ray.init(address=cluster.address, log_to_driver=False)
        yield cluster
        ray.shutdown()
        cluster.shutdown()


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("search") / "tiny.yaml", tiny_search())


@pytest.fixture(scope="module")
def unbroken(file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return gone_on_with(file, tmp_path_factory.mktemp("whole"), "{kind: local, workers: 1}")


def engine_on(
    cluster: Cluster, evaluate: Callable[[Work], Finished], *, timeout_s: float = 120
) -> RayEngine:
    return RayEngine(
        address=cluster.address, resources={"cpu": 1}, timeout_s=timeout_s, evaluate=evaluate
    )


def work_of(ask: Ask) -> Work:
    return Work(
        label=ask.label, digest=ask.arch.digest, arch=ask.arch.to_dict(), phase=ask.phase,
        budget=ask.budget, target=ask.target, origin=ask.origin,
        speed={"device": "cpu"} if ask.target else None,
    )  # fmt: skip


def searched(store: Store, engine: Engine, *, make_work: MakeWork = work_of) -> Search:
    """A random search that measures and counts, run to its end."""
    wishes = {"throughput_img_s": "max", "params": "max"}
    objectives = resolved_objectives(
        [ObjectiveSpec.model_validate({"metric": m, "goal": g}) for m, g in wishes.items()],
        [TARGET],
    )
    axes = {"stages[*].depth": {"each": [1, 2, 3]}, "stages[0].dim": [64, 96, 128]}
    space = SearchSpace.from_spec(SpaceSpec.model_validate({"axes": axes}), entry("m1").arch)
    search = Search(
        history=History(objectives=objectives).take_all(store.records()),
        strategy=build_strategy(StrategySpec(kind="random"), space),
        constraints=(),
        targets=[TARGET],
        budget=BudgetSpec(trials=TRIALS),
        first_budget=0.0,
    )
    run_search(search, store, engine, make_work=make_work)
    return search


def test_a_search_survives_the_loss_of_a_node(cluster: Cluster, tmp_path: Path) -> None:
    begun, gone = tmp_path / "begun", tmp_path / "gone"

    def evaluate(work: Work) -> Finished:
        import time as clock

        if work.resolution == 1:  # only the death of its node ends this
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
    engine = engine_on(cluster, evaluate)

    speeds: list[str] = []

    def make_work(ask: Ask) -> Work:
        work = work_of(ask)
        if ask.phase == "speed":
            speeds.append(ask.label)
            if len(speeds) == 3:
                return replace(work, resolution=1)
            if len(speeds) == 4:  # the third is all that runs
                while not begun.exists():
                    assert engine.wait(0.1) == []
                cluster.remove_node(second)
                gone.touch()
        return work

    try:
        assert engine.slots == 2
        with Store.create(tmp_path / "study.db", sweep={}, environment={}) as store:
            search = searched(store, engine, make_work=make_work)
            records = [record for _, record in store.records()]
    finally:
        engine.close()
    assert gone.exists()
    assert len(records) == 2 * TRIALS
    assert {r.status for r in records} == {"complete"}
    assert {r.details["gpus"] for r in records} == {""}  # hidden from CPU work
    measured = [r.details["node"] for r in records if r.phase == "speed"]
    assert measured[:2] == [second.node_id] * 2  # where the target is, while it is there
    assert len(search.history.complete) == TRIALS


def test_what_waits_for_a_lost_node_is_started_anew(cluster: Cluster, tmp_path: Path) -> None:
    begun, gone = tmp_path / "begun", tmp_path / "gone"

    def evaluate(work: Work) -> Finished:
        import time as clock

        begun.touch()
        while not gone.exists():
            clock.sleep(0.05)
        found = {"details": {"node": ray.get_runtime_context().get_node_id()}}
        return Finished(work, work.record("complete", started=0, seconds=0.01, found=found))

    second = cluster.add_node(num_cpus=1, resources={TARGET: 1})
    engine = engine_on(cluster, evaluate, timeout_s=60)
    labels = ("under way", "waiting", "later")
    works = [Work(label=x, digest=x, arch={}, phase="speed", target=TARGET) for x in labels]
    third = None
    try:
        for work in works[:2]:
            engine.submit(work)
        while not begun.exists():  # the target is held by the first: the second has to wait
            assert engine.wait(0.1) == []
        cluster.remove_node(second)
        gone.touch()
        ended: list[Event] = []
        while len(ended) < 2:
            ended += engine.wait(0.1)
        third = cluster.add_node(num_cpus=1, resources={TARGET: 1})  # it comes back
        engine.submit(works[2])
        while len(ended) < 3:
            ended += engine.wait(0.1)
        records = [event.record for event in ended if isinstance(event, Finished)]
        assert {r.label: r.status for r in records} == dict.fromkeys(labels, "complete")
        assert records[2].details["node"] == third.node_id
    finally:
        engine.close()
        if third is not None:
            cluster.remove_node(third)


def gone_on_with(file: Path, results: Path, engine: str) -> Path:
    """The search run to its end, here, by that engine."""
    sweep = load_sweep(file, overrides=[f"engine={engine}"])
    run_sweep(sweep, results=results, fresh=False, began=time.monotonic())
    return results


@pytest.mark.parametrize("first", ["local", "ray"])
def test_either_engine_goes_on_with_what_the_other_began(
    cluster: Cluster, first: str, unbroken: Path, file: Path, tmp_path: Path
) -> None:
    engines = {
        "local": "{kind: local, workers: 1}",
        "ray": f"{{kind: ray, address: '{cluster.address}'}}",
    }
    killed_after(start(file, tmp_path, "--set", f"engine={engines.pop(first)}"), "2 proxy: ")
    kept = records(tmp_path)
    assert 6 <= len(kept) < 2 * TINY
    (second,) = engines.values()
    gone_on_with(file, tmp_path, second)
    assert records(tmp_path)[: len(kept)] == kept
    assert outcomes(tmp_path) == outcomes(unbroken)

"""A search on a real Ray cluster of two nodes, one of which goes away under way."""

import os
from pathlib import Path

import pytest

from evnas.search.engine_ray import RayEngine
from evnas.search.history import History
from evnas.search.loop import Ask, Search, run_search
from evnas.search.objectives import resolved_objectives
from evnas.search.strategies.build import build_strategy
from evnas.search.work import Event, Finished, Work
from evnas.space.catalog import entry
from evnas.space.search_spec import BudgetSpec, ObjectiveSpec, SpaceSpec, StrategySpec
from evnas.space.space import SearchSpace
from evnas.store import Store

TARGET, TRIALS = "closed", 12


def make_work(ask: Ask) -> Work:
    return Work(
        label=ask.label, digest=ask.arch.digest, arch=ask.arch.to_dict(), phase=ask.phase,
        budget=ask.budget, target=ask.target, origin=ask.origin,
        speed={"device": "cpu"} if ask.target else None,
    )  # fmt: skip


@pytest.mark.filterwarnings("ignore")  # Ray's own deprecations and unclosed sockets
@pytest.mark.timeout(180)
def test_a_search_survives_the_loss_of_a_node(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_DISABLE_MEMORY_MONITOR", "1")
    import ray
    from ray.cluster_utils import Cluster

    flag = tmp_path / "node-is-gone"

    def evaluate(work: Work) -> Finished:
        import time as clock

        if work.resolution == 1:  # only a node's death ends this: it is run again on the other
            while not flag.exists():
                clock.sleep(0.05)
        values = {"params": float(sum(s["dim"] for s in work.arch["stages"]))}
        if work.phase == "speed":
            values = {"throughput_img_s": 1e6 / sum(s["depth"] for s in work.arch["stages"])}
        details = {"gpus": os.environ.get("CUDA_VISIBLE_DEVICES"), "node": os.getppid()}
        found = {"values": values, "details": details}
        return Finished(work, work.record("complete", started=0, seconds=0.01, found=found))

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    second = cluster.add_node(num_cpus=1, resources={TARGET: 1})
    ray.init(address=cluster.address, log_to_driver=False)
    engine = RayEngine(
        address=cluster.address, resources={"cpu": 1}, timeout_s=120, evaluate=evaluate
    )
    try:
        assert engine.slots == 2
        objectives = resolved_objectives(
            [ObjectiveSpec(metric="throughput_img_s", goal="max"),
             ObjectiveSpec(metric="params", goal="max")], [TARGET],
        )  # fmt: skip
        axes = {"stages[*].depth": {"each": [1, 2, 3]}, "stages[0].dim": [64, 96, 128]}
        space = SearchSpace.from_spec(SpaceSpec.model_validate({"axes": axes}), entry("m1").arch)
        nodes: list[str] = []

        def on_event(event: Event) -> None:
            if isinstance(event, Finished):
                nodes.append(event.record.label)
                if len(nodes) == 6:
                    cluster.remove_node(second)
                    flag.touch()

        with Store.create(tmp_path / "study.db", sweep={}, environment={}) as store:
            search = Search(
                history=History(objectives=objectives),
                strategy=build_strategy(StrategySpec(kind="random"), space),
                constraints=(), targets=[TARGET], budget=BudgetSpec(trials=TRIALS),
                first_budget=0.0,
            )  # fmt: skip
            run_search(search, store, engine, make_work=make_work, on_event=on_event)
            records = [record for _, record in store.records()]
    finally:
        engine.close()
        ray.shutdown()
        cluster.shutdown()
    assert len(records) == 2 * TRIALS
    assert {r.status for r in records} == {"complete"}
    assert {r.details["gpus"] for r in records} == {""}  # hidden from CPU work
    assert len(search.history.complete) == TRIALS

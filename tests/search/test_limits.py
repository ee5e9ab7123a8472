"""The limits beyond which a search's candidate is not timed further, and that they travel."""

import io
from collections.abc import Sequence
from pathlib import Path

import pytest
from inline_engine import InlineEngine

from evnas.arch.catalog import entry
from evnas.phases.speed import SPEED, SpeedTask
from evnas.phases.work import Work
from evnas.record import Measurement, Record
from evnas.search.limits import limits_of
from evnas.search.prepare import prepared
from evnas.search.runner import run_of
from evnas.search.state.history import History
from evnas.search.terminal.view import PlainView
from evnas.space.expressions import parse_expression
from evnas.store import Store
from evnas.sweep.search_spec import ObjectiveSpec
from evnas.sweep.sweep import sweep_of

CPU = "cpu-torch-224-b8-float32"
ARCH = entry("m1").arch.to_dict()
KNOWN = ["params_m", "latency_ms", "throughput_img_s", "throughput_ratio"]


def counted(label: str, params: float) -> Record:
    return Record(
        label=label, digest=label, arch=ARCH, phase="count", status="complete",
        values={"params": params},
    )  # fmt: skip


def timed(label: str, latencies: Sequence[float]) -> Record:
    measured = Measurement("latency_ms", tuple(latencies))
    return Record(
        label=label, digest=label, arch=ARCH, phase="speed", status="complete", target=CPU,
        measurements={"latency_ms": measured},
    )  # fmt: skip


def history(*constraints: str) -> History:
    objectives = (
        ObjectiveSpec(metric="params_m", goal="min"),
        ObjectiveSpec(metric=f"latency_ms@{CPU}", goal="min"),
    )
    read = [parse_expression(text, KNOWN) for text in constraints]
    return History(objectives=objectives, constraints=read)


@pytest.mark.parametrize(
    ("text", "quantity", "beyond", "value"),
    [
        (f"latency_ms@{CPU} <= 30", "latency_ms", "above", 30),
        (f"30 > latency_ms@{CPU}", "latency_ms", "above", 30),
        (f"latency_ms@{CPU} <= 4 * params_m", "latency_ms", "above", 20),
        (f"throughput_ratio@{CPU} >= 0.6", "throughput_ratio", "below", 0.6),
        (f"throughput_img_s@{CPU} >= 250 and params_m <= 9", "throughput_img_s", "below", 250),
    ],
)
def test_a_constraint_on_one_speed_is_a_limit(text, quantity, beyond, value):
    known = history(text)
    known.take(counted("0", 5e6))
    (limit,) = limits_of(known, "0", CPU)
    assert (limit["quantity"], limit["beyond"]) == (quantity, beyond)
    assert limit["value"] == pytest.approx(value, rel=1e-9)
    assert limit["why"] == f"breaks {text}"
    met_exactly = {f"{quantity}@{CPU}": float(value), "params_m": 5.0}
    if "> lat" not in text:
        assert known.constraints[0].holds(ARCH, met_exactly)
        outside = limit["value"] >= value if beyond == "above" else limit["value"] <= value
        assert outside


@pytest.mark.parametrize(
    "text",
    [
        f"latency_ms@{CPU} <= 30 or throughput_ratio@{CPU} >= 1",  # neither decides alone
        f"abs(latency_ms@{CPU} - 20) <= 5",  # broken on both sides
        "latency_ms@cuda0-torch-224-b8-float32 <= 30",
        "params_m <= 12",
    ],
)
def test_what_no_single_speed_decides_is_no_limit(text):
    known = history(text)
    known.take(counted("0", 5e6))
    assert limits_of(known, "0", CPU) == ()


def test_the_front_is_a_limit_where_all_else_is_known():
    known = history()
    for label, params, latencies in (
        ("0", 5e6, [10.0, 10.1, 10.2]),
        ("1", 4e6, [12.0, 12.1, 12.2]),
        ("2", 9e6, [5.0, 5.0, 5.0]),
    ):
        known.take(counted(label, params))
        known.take(timed(label, latencies))
    assert limits_of(known, "3", CPU) == ()  # nothing is known of it
    known.take(counted("3", 6e6))
    (limit,) = limits_of(known, "3", CPU)
    assert (limit["quantity"], limit["beyond"], limit["value"]) == ("latency_ms", "above", 10.2)
    assert limit["why"] == "trial 0 is better or as good in every objective"
    known.take(counted("4", 3e6))  # smaller than all: no speed is too low
    assert limits_of(known, "4", CPU) == ()
    assert limits_of(known, "3", "") == ()


def test_limits_travel_with_the_task():
    limit = {"quantity": "latency_ms", "beyond": "above", "value": 30.0, "why": "breaks it"}
    task = SPEED.within(SpeedTask(target={"device": "cpu"}, budget_s=1.0), [limit])
    assert task.limits == (limit,)


def test_work_that_is_asked_for_carries_what_constraints_say(tmp_path: Path) -> None:
    sweep = sweep_of(
        {
            "name": "small",
            "base": "m1",
            "space": {"axes": {"stages[0].depth": [1, 2, 3]}},
            "strategy": "random",
            "targets": [{"device": "cpu", "batch_size": 8}],
            "objectives": {"latency_ms": "min", "params_m": "min"},
            "constraints": ["latency_ms <= 30"],
            "budget": {"trials": 2},
        }
    )

    def found_by(work: Work) -> Record:
        found = {"values": {"params": 5e6, "macs_exact": 2e8}}
        if work.phase == "speed":
            samples = Measurement("latency_ms", (20.0, 21.0))
            found = {
                "values": {"throughput_img_s": 400.0},
                "measurements": {"latency_ms": samples},
            }
        return work.record("complete", started=0.0, seconds=1.0, found=found)

    engine = InlineEngine(found_by)
    with Store.create(tmp_path / "study.db", sweep=sweep.spec.to_dict(), environment={}) as store:
        run = run_of(
            prepared(sweep),
            store=store,
            engine=engine,
            view_of=lambda board: PlainView(board, io.StringIO()),
        )
        run.schedule = run.ready.schedule(run.ready.history(store))
        run.drive(run.schedule)
    tasks = [work.task for work in engine.asked if work.phase == "speed"]
    why = [[limit["why"] for limit in task.limits] for task in tasks]
    broken = "breaks latency_ms <= 30"
    assert why == [[broken], [broken, "trial 0 is better or as good in every objective"]]
    assert all(task.narrow == ("latency_ms",) for task in tasks)

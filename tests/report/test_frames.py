"""From records to rows: means, intervals, states, and what later records change."""

import math
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evnas.record import Measurement, Record
from evnas.report.frame.objectives import Constraint, Objective, find_constraints, find_objectives
from evnas.report.frame.slim_records import BATCH, read_slim_records
from evnas.report.frame.trial_frame import TrialFrame
from evnas.report.query.front import collect_points, find_front
from evnas.search.state.trial import Trial
from evnas.stats.pareto import from_seeds
from evnas.store import Store
from evnas.sweep.sweep import sweep_of

ARCH: dict[str, Any] = {"stages": []}


def record(**changes: Any) -> Record:
    fields: dict[str, Any] = {
        "label": "A",
        "digest": "d",
        "arch": ARCH,
        "phase": "proxy",
        "status": "complete",
    }
    return Record(**(fields | changes))


def framed(*records: Record, **options: Any) -> TrialFrame:
    """The records as a study's reader finds them in a store."""
    frame = TrialFrame(**options)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "study.db"
        with Store.create(path, sweep={}, environment={}) as store:
            for each in records:
                store.append(each)
            for batch in read_slim_records(store):
                frame.extend(batch)
    return frame


def test_top1_is_the_mean_over_seeds_with_student_s_interval() -> None:
    frame = framed(
        record(seed=0, budget=100.0, values={"top1_percent": 70.0}),
        record(seed=1, budget=100.0, values={"top1_percent": 72.0}),
    )
    row = frame.as_row(0)
    half = 12.7062047 * math.sqrt(2) / math.sqrt(2)  # t(0.975, 1) s / sqrt(n), s = sqrt(2)
    assert row["top1_percent"] == 71.0
    assert row["top1_percent:high"] - 71.0 == pytest.approx(half, rel=1e-6)
    assert row["seeds"] == 2


def test_one_seed_has_the_interval_of_its_held_out_images() -> None:
    values = {"top1_percent": 50.0, "held_out_images": 100.0}
    row = framed(record(budget=1.0, values=values)).as_row(0)
    assert row["top1_percent:low"] == pytest.approx(40.38, abs=0.01)  # Wilson, p = 1/2, n = 100
    assert row["top1_percent:high"] == pytest.approx(59.62, abs=0.01)


def test_a_larger_budget_replaces_what_smaller_ones_found() -> None:
    frame = framed(
        record(seed=0, budget=100.0, values={"top1_percent": 60.0}),
        record(seed=1, budget=100.0, values={"top1_percent": 62.0}),
        record(seed=0, budget=400.0, values={"top1_percent": 75.0}),
        record(seed=2, budget=100.0, values={"top1_percent": 10.0}),
    )
    row = frame.as_row(0)
    assert (row["top1_percent"], row["budget"], row["seeds"]) == (75.0, 400.0, 1.0)
    assert row["top1_percent:low"] is None


def test_a_speed_stands_under_its_target_with_its_interval() -> None:
    speed = Measurement("throughput_img_s", (90.0, 100.0, 110.0))
    row = framed(
        record(phase="speed", target="cpu", measurements={"throughput_img_s": speed})
    ).as_row(0)
    assert row["throughput_img_s@cpu"] == 100.0
    assert row["throughput_img_s@cpu:low"] <= 100.0 <= row["throughput_img_s@cpu:high"]


def test_counts_are_shown_in_millions_and_giga() -> None:
    row = framed(record(phase="count", values={"params": 13.9e6, "macs_exact": 0.4e9})).as_row(0)
    assert row["params_m"] == pytest.approx(13.9)
    assert row["macs_exact_g"] == pytest.approx(0.4)


def test_the_gravest_end_of_a_trial_s_phases_is_its_own() -> None:
    frame = framed(
        record(phase="count"),
        record(status="diverged", error="trace\nloss is nan", budget=1.0),
        record(phase="speed", target="t"),
    )
    assert list(frame.text["status"]) == ["diverged"]
    assert list(frame.text["error"]) == ["loss is nan"]


def test_rows_are_trials_and_later_records_touch_their_own() -> None:
    frame = framed(
        record(label="A", phase="count"),
        record(label="B", phase="count"),
        record(label="A", phase="speed", target="t"),
    )
    assert list(frame.text["label"]) == ["A", "B"]
    assert list(frame.touched) == [3, 2]
    assert [frame.record_ids(row) for row in (0, 1)] == [[1, 3], [2]]


def test_objectives_are_found_under_a_target_and_their_way_is_kept() -> None:
    speed = Measurement("latency_ms", (3.0,))
    frame = framed(
        record(phase="speed", target="cpu", measurements={"latency_ms": speed}),
        record(budget=1.0, values={"top1_percent": 60.0}),
    )
    want = [Objective("latency_ms@cpu", "less"), Objective("top1_percent", "more")]
    top1 = {"metric": "top1_percent", "goal": "max"}
    for name in ("latency_ms", "latency_ms@cpu"):
        asked = [{"metric": name, "goal": "min"}, top1]
        assert find_objectives({"objectives": asked}, frame) == want
    unmet = [{"metric": "latency_ms@cuda", "goal": "min"}, top1]
    assert find_objectives({"objectives": unmet}, frame) == want[1:]


def test_an_ablation_is_judged_by_ratios_and_by_the_accuracy_that_there_is() -> None:
    rates = {k: Measurement(k, (3.0,)) for k in ("throughput_img_s", "throughput_ratio")}
    speed = record(phase="speed", target="cpu", measurements=rates)
    predicted = record(phase="predict", values={"predicted_top1_percent": 75.0})
    trained = record(budget=1.0, values={"top1_percent": 60.0})
    ratio = Objective("throughput_ratio@cpu", "more")
    assert find_objectives({}, framed(speed, predicted)) == [
        ratio,
        Objective("predicted_top1_percent", "more"),
    ]
    assert find_objectives({}, framed(speed, predicted, trained)) == [
        ratio,
        Objective("top1_percent", "more"),
    ]


def test_a_search_writes_what_its_page_reads() -> None:
    sweep = sweep_of(
        {
            "name": "small",
            "base": "efficientvim_m1",
            "space": {"axes": {"stages[*].depth": {"each": [1, 2]}}},
            "strategy": "random",
            "objectives": {"params_m": "min", "top1_percent": "max"},
            "constraints": ["params_m <= 20", "macs_g <= 0.5", "params_m + macs_g <= 30"],
            "budget": {"trials": 2},
            "proxy": {},
        }
    )
    frame = framed(
        record(phase="count", values={"params": 1e6, "macs_exact": 1e8}),
        record(budget=1.0, values={"top1_percent": 60.0}),
    )
    stored = sweep.spec.to_dict()
    assert find_objectives(stored, frame) == [
        Objective("params_m", "less"),
        Objective("top1_percent", "more"),
    ]
    assert find_constraints(stored, frame) == [
        Constraint("params_m", True, 20.0),
        Constraint("macs_exact_g", True, 0.5),
    ]


def test_the_front_is_of_complete_trials_alone() -> None:
    def trial(label: str, params: float, top1: float, status: str = "complete") -> list[Record]:
        return [
            record(label=label, phase="count", values={"params": params}),
            record(label=label, budget=1.0, values={"top1_percent": top1}, status=status),
        ]

    frame = framed(
        *trial("a", 1e6, 60), *trial("b", 2e6, 70), *trial("c", 3e6, 65),
        *trial("d", 1e6, 99, "diverged"), *trial("e", 2e6, 70),
    )  # fmt: skip
    rows, values = collect_points(
        frame, [Objective("params_m", "less"), Objective("top1_percent", "more")]
    )
    assert [frame.text["label"][row] for row in rows[find_front(values)]] == ["a", "b", "e"]


def test_nothing_found_is_nan() -> None:
    assert np.isnan(framed(record(phase="count")).column("no_such_key")).all()


def test_a_search_s_bars_are_those_its_front_is_decided_by() -> None:
    """The spread is pooled over the trials with several seeds, as in search/outcome.py."""
    seeds = {"a": (70.0, 72.0), "b": (60.0, 66.0), "c": (50.0,)}
    frame = framed(
        *(
            record(label=label, seed=seed, budget=1.0, values={"top1_percent": value})
            for label, values in seeds.items()
            for seed, value in enumerate(values)
        ),
        pooled=True,
    )
    spread = math.sqrt((2.0 + 18.0) / 2)  # variances of a and b
    for row, values in enumerate(seeds.values()):
        want = from_seeds(values, spread=spread).interval
        found = frame.as_row(row)
        assert (found["top1_percent:low"], found["top1_percent:high"]) == pytest.approx(want)


def timed(label: str, seed: int, **samples: tuple[float, ...]) -> Record:
    batch = {"batch_size": 8}
    measurements = {name: Measurement(name, taken, batch) for name, taken in samples.items()}
    return record(label=label, phase="speed", seed=seed, target="t", measurements=measurements)


def test_the_reference_s_speed_is_that_of_all_alternations() -> None:
    frame = framed(
        timed("A", 0, latency_ms=(50.0,), throughput_img_s=(160.0,)),  # alone and first
        timed("B", 0, latency_ms=(20.0,), base_latency_ms=(40.0, 41.0)),
        timed("C", 0, latency_ms=(80.0,), base_latency_ms=(39.0, 42.0, 43.0)),
        reference="A",
    )
    assert frame.as_row(0)["latency_ms@t"] == 41.0
    assert frame.as_row(0)["throughput_img_s@t"] == pytest.approx(8e3 / 41)
    assert frame.as_row(0)["latency_ms@t:low"] < 41 < frame.as_row(0)["latency_ms@t:high"]
    assert [frame.as_row(i)["latency_ms@t"] for i in (1, 2)] == [20.0, 80.0]


def test_timed_again_all_samples_count() -> None:
    """A search's confirmation; so does `front/`, through `Trial`."""
    records = [
        timed("7", 0, latency_ms=(30.0, 31.0, 32.0)),
        record(label="7", values={"top1_percent": 70.0}),
        timed("7", 1, latency_ms=(20.0, 21.0)),
    ]
    frame = framed(*records, pooled=True, earlier=lambda ids: [records[i - 1] for i in ids])
    row = frame.as_row(0)
    want = Measurement("latency_ms", (30.0, 31.0, 32.0, 20.0, 21.0)).interval()
    assert (row["latency_ms@t:low"], row["latency_ms@t"], row["latency_ms@t:high"]) == (
        want.low,
        30.0,
        want.high,
    )
    trial = Trial(label="7", digest="d", kept_arch=ARCH, origin="")
    for each in records:
        trial.take(each)
    assert trial.value("latency_ms@t") == 30.0


def test_a_table_s_intervals_are_those_of_the_records(synthetic: Any) -> None:
    """Many at once and each alone are the same to the last bit, over several batches."""
    records = list(synthetic.records(60))
    assert len(records) > 2 * BATCH
    frame = framed(*records)
    for each in records:
        row = frame.row(each.label)
        assert row is not None
        for name, measured in each.measurements.items():
            key, want = f"{name}@{each.target}", measured.interval()
            found = [frame.numbers[key + end][row] for end in (":low", "", ":high")]
            assert found == [want.low, want.mid, want.high]


def test_what_no_number_can_be_stays_nan_and_infinity() -> None:
    values = {"params": math.nan, "loss": math.inf}
    frame = framed(record(phase="count", values=values))
    assert math.isnan(frame.numbers["params_m"][0])
    assert frame.numbers["loss"][0] == math.inf
    assert frame.as_row(0)["loss"] is None

"""Records: the round trip through plain data, and what is refused."""

import json
from dataclasses import asdict, replace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evnas.record import STATUSES, Measurement, Record, TargetFields
from evnas.stats.interval import Interval

finite = st.floats(allow_nan=False, allow_infinity=False)
samples = st.lists(finite, min_size=1, max_size=20).map(tuple)


@st.composite
def any_record(draw: st.DrawFn) -> Record:
    measured = {"latency_ms": Measurement("latency_ms", draw(samples), {"batch_size": 4})}
    return Record(
        label=draw(st.text(max_size=8)),
        digest="0123456789ab",
        arch={"timm": "resnet18"},
        phase=draw(st.sampled_from(["count", "speed", "proxy", "score"])),
        status=draw(st.sampled_from(STATUSES)),
        seed=draw(st.integers(0, 9)),
        budget=draw(finite),
        values=draw(st.dictionaries(st.text(max_size=5), finite, max_size=3)),
        measurements=draw(st.sampled_from([{}, measured])),
        curve=tuple(draw(st.lists(st.fixed_dictionaries({"loss": finite}), max_size=3))),
        error=draw(st.text(max_size=20)),
    )


@given(any_record())
def test_round_trip_through_json(record):
    again = Record.from_dict(json.loads(json.dumps(record.to_dict())))
    assert again == record
    assert again.key == record.key


def test_an_unknown_status_is_refused_and_a_phase_of_another_package_is_not():
    fields: dict[str, Any] = {"label": "A", "digest": "0", "arch": {}}
    with pytest.raises(ValueError, match="status must be one of"):
        Record(**fields, phase="count", status=cast(Any, "done"))
    assert Record(**fields, phase="energy", status="complete").phase == "energy"


def test_a_measurement_needs_samples():
    with pytest.raises(ValueError, match="at least one sample"):
        Measurement("latency_ms", ())


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30), st.randoms())
def test_an_interval_holds_its_median_in_any_order(values, random):
    interval = Measurement("x", tuple(values)).interval()
    assert min(values) <= interval.low <= interval.mid <= interval.high <= max(values)
    assert interval.holds(interval.mid)
    random.shuffle(values)
    assert Measurement("x", tuple(values)).interval() == interval


def test_an_interval_covers_the_median_about_as_often_as_it_says():
    import numpy as np

    draws = np.random.default_rng(3).normal(10.0, 1.0, size=(200, 15))
    covered = sum(Measurement("x", tuple(row)).interval().holds(10.0) for row in draws)
    assert 0.90 <= covered / 200 <= 1.0


def test_bounds_are_part_of_an_interval():
    interval = Interval(1.0, 2.0, 3.0)
    assert interval.holds(1.0) and interval.holds(3.0)
    assert not interval.holds(3.0001)


targets = st.builds(
    TargetFields,
    device=st.sampled_from(["cpu", "cuda:0", "cuda:11"]),
    runtime=st.sampled_from(["torch", "cuda_graph"]),
    resolution=st.integers(8, 8192),
    batch_size=st.integers(1, 512) | st.just("auto"),
    precision=st.sampled_from(["float32", "bfloat16"]),
    form=st.sampled_from(["plain", "deployed"]),
    mode=st.sampled_from(["inference", "training"]),
)


@given(targets)
def test_a_speed_holds_its_target_and_an_old_one_is_read_by_its_id(on: TargetFields) -> None:
    fields: dict[str, Any] = {"label": "A", "digest": "0", "arch": {}, "status": "complete"}
    old = Record(**fields, phase="speed", target=on.id)
    assert old.on == on
    elsewhere = replace(on, device="cuda:7")
    assert replace(old, details={"target": asdict(elsewhere)}).on == elsewhere
    assert {on.id, on.device_type, on.parts[0], str(on.resolution), on.runtime} <= on.names


def test_what_is_no_speed_has_no_target() -> None:
    fields: dict[str, Any] = {"label": "A", "digest": "0", "arch": {}, "status": "complete"}
    assert Record(**fields, phase="count").on is None
    assert Record(**fields, phase="score", target="erf-224").on is None

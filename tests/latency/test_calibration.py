"""Calibrations on a made-up device: what is measured, broken off, gone on with and predicted."""

import functools
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_up_device import MadeUpDevice, network_ms

from evnas.arch.catalog import catalog
from evnas.arch.spec import ArchSpec
from evnas.commands.latency_targets import space_of
from evnas.errors import MeasurementError
from evnas.latency.calibration import Calibration, CalibrationProgress, calibrate, calibration_in
from evnas.latency.design import Design, design_of, networks_of
from evnas.latency.parts import Part
from evnas.latency.predictor import NetworkTime
from evnas.latency.table import LatencyTable
from evnas.latency.validation import cross_validated, on_others
from evnas.measure.target import Target
from evnas.space.space import SearchSpace

TARGET = Target(device="cpu", runtime="torch", form="deployed", batch_size=8)


@functools.cache
def space() -> tuple[SearchSpace, ArchSpec]:
    """That of the laptop's search."""
    sweep, found = space_of(Path(__file__).parents[2] / "sweeps" / "search_cpu.yaml")
    return found, sweep.base


@functools.cache
def design() -> Design:
    return design_of(*space(), 224)


@functools.cache
def small() -> Design:
    """Some of each kind, enough for a fit."""
    return Design(design().networks[:20], design().parts[:45])


def run(
    device: MadeUpDevice, folder: Path, **more: Any
) -> tuple[CalibrationProgress, Calibration]:
    table = LatencyTable.of_target(TARGET, folder=folder)
    chosen = more.pop("design", None) or small()
    progress = calibrate(chosen, table, device, TARGET, clock=device.clock, **more)
    return progress, calibration_in(table, chosen.networks, TARGET)


@functools.cache
def noisy() -> Calibration:
    """Of a device whose measurements are off by a hundredth."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        return run(MadeUpDevice(noise=0.01), Path(folder), design=design())[1]


def test_a_design_is_the_same_every_time_and_has_each_once() -> None:
    again = design_of(*space(), 224)
    assert again == design()
    assert design().networks[0] == space()[1]
    assert len({arch.digest for arch in design().networks}) == len(design().networks)
    assert len(set(design().parts)) == len(design().parts)
    in_turn = list(design().in_turn())
    assert sorted(map(str, in_turn)) == sorted(map(str, [*design().networks, *design().parts]))
    early = in_turn[:30]
    assert len({part.group for part in early if isinstance(part, Part)}) == 5
    assert sum(isinstance(one, ArchSpec) for one in early) >= 9


def test_parts_are_spread_over_their_range() -> None:
    blocks = [part for part in design().parts if part.kind == "block"]
    by_group = {g: [dict(p.numbers) for p in ps] for g, ps in itertools.groupby(
        sorted(blocks, key=lambda p: p.group), key=lambda p: p.group)}  # fmt: skip
    assert len(by_group) == 3
    for numbers in by_group.values():
        assert {n["side"] for n in numbers} == {14.0, 7.0, 4.0}
        assert {n["mlp_ratio"] for n in numbers} == {2.0, 3.0, 4.0}


def test_what_was_broken_off_goes_on_and_measures_nothing_twice(tmp_path: Path) -> None:
    device = MadeUpDevice(takes_s=6.0)
    first, _ = run(device, tmp_path, minutes=3)
    assert first.measured == 30
    assert first.left == len(list(small().in_turn())) - 30
    second, whole = run(device, tmp_path)
    assert (second.known, second.left) == (30, 0)
    assert len({str(one) for one in device.asked}) == len(device.asked)
    unbroken = run(MadeUpDevice(takes_s=6.0), tmp_path / "other")[1]
    assert whole.id == unbroken.id
    assert Calibration.from_dict(whole.to_dict()) == whole


def test_a_predictor_is_near_what_it_has_not_seen_and_knows_how_near() -> None:
    predictor = noisy().predictor()
    others = networks_of(*space(), count=150, seed=7)[1:]
    known = {arch.digest for arch in design().networks}
    new = [arch for arch in others if arch.digest not in known]
    times = [
        NetworkTime(arch=arch, latency_ms=network_ms(arch, 224), macs=1e7 * network_ms(arch, 224))
        for arch in new
    ]
    ways = on_others(predictor, times)
    assert ways["both"].mean_error_percent < 2.0
    assert ways["both"].tau > 0.95
    assert ways["both"].mean_error_percent < ways["sum"].mean_error_percent
    assert 80 <= (ways["both"].covered_percent or 0) <= 100
    inside = cross_validated(predictor)["both"].covered_percent
    assert inside is not None and 85 <= inside <= 97


def test_intervals_widen_with_the_noise_of_measurements(tmp_path: Path) -> None:
    def width(calibration: Calibration) -> float:
        predictor = calibration.predictor()
        found = [predictor.predict(arch) for arch in networks_of(*space(), count=10, seed=3)]
        return float(np.mean([p.high_ms / p.low_ms for p in found]))

    rough = run(MadeUpDevice(noise=0.08), tmp_path)[1]
    assert width(rough) > 1.1 * width(noisy())
    assert all(
        p.surely[0] < p.low_ms < p.mid_ms < p.high_ms < p.surely[1]
        for p in (noisy().predictor().predict(arch) for arch in design().networks[:3])
    )


def test_what_is_unlike_all_that_was_measured_is_said_to_be() -> None:
    predictor = noisy().predictor()
    with pytest.raises(MeasurementError, match="no part like stem vssd"):
        predictor.predict(catalog()["vssd_micro"].arch)
    raw = space()[1].to_dict()
    raw["stages"][2]["dim"] = 1600
    assert "dim 1600" in predictor.predict(ArchSpec.from_dict(raw)).outside
    assert predictor.predict(design().networks[5]).outside == ""


def test_a_runtime_that_lacks_an_operator_leaves_its_parts_out(tmp_path: Path) -> None:
    progress, found = run(MadeUpDevice(refuses="nc_ssd"), tmp_path, design=design())
    assert progress.refused == ("no such operator",)
    predictor = found.predictor()
    assert not any("nc_ssd" in group for group in predictor.parts.groups)
    assert len(predictor.networks) < len(found.networks)


def test_too_little_is_no_predictor(tmp_path: Path) -> None:
    _, found = run(MadeUpDevice(takes_s=6.0), tmp_path, minutes=1)
    with pytest.raises(MeasurementError, match="needs 12 networks"):
        found.predictor()


def test_a_slow_hour_does_not_show(tmp_path: Path) -> None:
    device = MadeUpDevice(takes_s=6.0)
    run(device, tmp_path, minutes=5)
    device.slower = 1.4
    _, found = run(device, tmp_path)
    steady = run(MadeUpDevice(takes_s=6.0), tmp_path / "other")[1]
    ratios = [
        mine["latency_ms"] / theirs["latency_ms"]
        for mine, theirs in zip(found.networks, steady.networks, strict=True)
    ]
    # those beside the change have anchors of both kinds around them
    assert sum(abs(ratio - 1) < 0.01 for ratio in ratios) >= 0.8 * len(ratios)

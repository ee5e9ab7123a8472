"""Energy an image from counters: RAPL's, read from made-up files, and what cannot be read."""

from pathlib import Path

import pytest

from evnas.errors import SpecError
from evnas.measure.timing import energy, speed
from evnas.measure.timing.energy import (
    EnergyMeter,
    NoMeter,
    energy_meter_for,
    measure_energy,
    why_no_energy,
)
from evnas.search.bench import bench
from evnas.search.prepare import prepared
from evnas.sweep.parts import TargetSpec
from evnas.sweep.sweep import sweep_of

POWERCAP = "sys/class/powercap"


def a_zone(root: Path, zone: str, name: str, joules: float, wrap_joules: float = 1000.0) -> Path:
    folder = root / POWERCAP / zone
    folder.mkdir(parents=True)
    (folder / "name").write_text(f"{name}\n")
    (folder / "energy_uj").write_text(f"{round(1e6 * joules)}\n")
    (folder / "max_energy_range_uj").write_text(f"{round(1e6 * wrap_joules)}\n")
    return folder


class Watch:
    """A call takes half a second, and each of two packages three joules of it."""

    def __init__(self, folders: list[Path]) -> None:
        self.folders, self.calls = folders, 0

    def now(self) -> float:
        return 0.5 * self.calls

    def time(self, call: object, repeats: int) -> float:
        self.calls += repeats
        for folder in self.folders:
            counted = int((folder / "energy_uj").read_text()) + 3_000_000 * repeats
            (folder / "energy_uj").write_text(str(counted % 1_000_000_000))
        return 0.5 * repeats


def test_packages_add_up_and_wrap(tmp_path: Path) -> None:
    folders = [
        a_zone(tmp_path, "intel-rapl:0", "package-0", 10.0),
        a_zone(tmp_path, "intel-rapl:1", "package-1", 998.0),  # begins again meanwhile
    ]
    a_zone(tmp_path, "intel-rapl:0:0", "core", 5.0)
    a_zone(tmp_path, "intel-rapl:2", "psys", 5.0)
    meter = energy_meter_for("cpu", tmp_path)
    assert meter.name == "RAPL, package-0 and package-1"
    found = measure_energy(
        lambda: None, images=4, call_s=0.5, meter=meter, stopwatch=Watch(folders)
    )
    # two calls are a second; two packages take 12 J for 8 images
    assert (found.seconds, found.images) == (1.0, 8)
    assert found.mj_per_image == pytest.approx(1500.0)


def test_a_machine_without_counters_says_so(tmp_path: Path) -> None:
    assert "no RAPL counter of a package" in why_no_energy("cpu", tmp_path)
    a_zone(tmp_path, "intel-rapl:0", "psys", 1.0)
    assert "no RAPL counter of a package" in why_no_energy("cpu", tmp_path)
    assert "OpenVINO tells nothing" in why_no_energy("GPU.0", tmp_path)


def test_a_counter_of_root_alone_says_how_to_open_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_zone(tmp_path, "intel-rapl:0", "package-0", 1.0)
    assert why_no_energy("cpu", tmp_path) == ""
    monkeypatch.setattr("os.access", lambda *_, **__: False)
    assert "chmod a+r /sys/class/powercap/intel-rapl:0/energy_uj" in why_no_energy("cpu", tmp_path)


def meter_of(*joules: float) -> EnergyMeter:
    readings = iter(joules)
    return EnergyMeter("made up", lambda: [next(readings)], [float("inf")])


SMALL = {"timm": "test_vit"}
FAST = TargetSpec(device="cpu", batch_size=2, resolution=160, budget_s=0.05)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(energy, "LEAST_S", 0.01)


@pytest.mark.usefixtures("quick")
def test_a_record_has_it_where_the_device_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "energy_meter_for", lambda device: meter_of(1.0, 3.0))
    record = bench(SMALL, FAST).record
    about = record.details["conditions"]["energy"]
    assert record.values["energy_mj_per_image"] == pytest.approx(2e3 / about["images"])
    assert (about["meter"], about["joules"]) == ("made up", 2.0)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("counts", [False, True], ids=["no meter", "it stands still"])
def test_and_no_figure_where_it_does_not(monkeypatch: pytest.MonkeyPatch, counts: bool) -> None:
    def meter(device: str) -> EnergyMeter:
        if not counts:
            raise NoMeter("none")
        return meter_of(1.0, 1.0)

    monkeypatch.setattr(speed, "energy_meter_for", meter)
    record = bench(SMALL, FAST).record
    assert "energy_mj_per_image" not in record.values
    assert "energy" not in record.details["conditions"]


def test_a_search_by_energy_needs_a_counter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(energy, "why_no_energy", lambda device: "no counter here")
    search = {
        "name": "s",
        "base": "efficientvim_m1",
        "space": {"axes": {"stages[0].depth": [1, 2]}},
        "strategy": {"kind": "random"},
        "objectives": {"energy_mj_per_image": "min", "params_m": "min"},
        "budget": {"trials": 2},
        "targets": [{"device": "cpu", "resolution": 64}],
    }
    with pytest.raises(SpecError, match=r"targets\[0\].*cannot be measured here: no counter here"):
        prepared(sweep_of(search))

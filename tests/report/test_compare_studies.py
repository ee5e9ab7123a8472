"""Studies side by side: what is compared, with which bounds, and what cannot be."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from evnas.arch.catalog import entry
from evnas.cli import app
from evnas.errors import SpecError
from evnas.record import Measurement, Record, Status
from evnas.report.query.compare import compare
from evnas.store import Store

M1, M2 = (entry(f"efficientvim_{name}").arch for name in ("m1", "m2"))
SWEEP: dict[str, Any] = {
    "name": "x",
    "base": "efficientvim_m1",
    "rows": {"A": {}},
    "proxy": {"epochs": 2, "lr": 0.002},
}
ROUNDS = (10.0, 10.2, 9.8, 10.1, 9.9)


def record(
    phase: str,
    *,
    label: str = "A",
    arch: Any = M1,
    seed: int = 0,
    budget: float = 0.0,
    values: dict[str, float] | None = None,
    latency_ms: tuple[float, ...] = (),
    processor: str | None = "a CPU",
    details: dict[str, Any] | None = None,
    status: Status = "complete",
) -> Record:
    about: dict[str, Any] = dict(details or {})
    if latency_ms and processor is not None:
        about["conditions"] = {"machine": "host", "processor": processor}
    return Record(
        label=label,
        digest=arch.digest,
        arch=arch.to_dict(),
        phase=phase,
        status=status,
        seed=seed,
        budget=budget,
        target="cpu" if phase == "speed" else "",
        values=values or {},
        measurements={"latency_ms": Measurement("latency_ms", latency_ms)} if latency_ms else {},
        details=about,
    )


def study(folder: Path, *records: Record, **sweep: Any) -> Path:
    with Store.create(folder / "study.db", sweep={**SWEEP, **sweep}, environment={}) as store:
        for each in records:
            store.append(each)
    return folder


def trained(top1: float, seed: int, **more: Any) -> Record:
    values = {"top1_percent": top1, "loss": top1 / 10}
    return record("proxy", seed=seed, budget=more.pop("budget", 100.0), values=values, **more)


def counted(params: float, **more: Any) -> Record:
    values = {"params": params, "macs_exact": 2e8}
    return record("count", values=values, details={"resolution": 224, **more.pop("details", {})})


def the_line(first: Path, other: Path) -> dict[str, dict[str, Any]]:
    """Quantity -> difference of the one row."""
    (row,) = compare([first, other])["rows"]
    return {each["quantity"]: each for each in row["differences"][other.name]}


def test_counts_are_compared_exactly(tmp_path: Path) -> None:
    found = the_line(study(tmp_path / "a", counted(6e6)), study(tmp_path / "b", counted(6.5e6)))
    apart = found["params_m"]
    assert (apart["first"], apart["other"]) == (6.0, 6.5)
    assert apart["difference"] == {"low": 0.5, "mid": 0.5, "high": 0.5}


def test_counts_at_two_resolutions_are_not(tmp_path: Path) -> None:
    other = study(tmp_path / "b", counted(6e6, details={"resolution": 192}))
    apart = the_line(study(tmp_path / "a", counted(6e6)), other)["macs_exact_g"]
    assert apart["difference"] is None and apart["reason"] == "resolution: 224 -> 192"


def test_speeds_have_the_interval_of_both_samples(tmp_path: Path) -> None:
    slower = tuple(ms + 2.0 for ms in ROUNDS)
    a = study(tmp_path / "a", record("speed", latency_ms=ROUNDS))
    b = study(tmp_path / "b", record("speed", latency_ms=slower))
    apart = the_line(a, b)["latency_ms@cpu"]["difference"]
    assert apart["mid"] == pytest.approx(2.0)
    assert 1.4 < apart["low"] < 2.0 < apart["high"] < 2.6
    same = the_line(a, study(tmp_path / "c", record("speed", latency_ms=ROUNDS)))
    apart = same["latency_ms@cpu"]["difference"]
    assert apart["low"] < 0 < apart["high"]


@pytest.mark.parametrize(
    ("processor", "reason"), [("another CPU", "several machines"), (None, "is not known")]
)
def test_absolute_speeds_of_two_machines_are_not_compared(
    processor: str | None, reason: str, tmp_path: Path
) -> None:
    a = study(tmp_path / "a", record("speed", latency_ms=ROUNDS))
    b = study(tmp_path / "b", record("speed", latency_ms=ROUNDS, processor=processor))
    apart = the_line(a, b)["latency_ms@cpu"]
    assert apart["difference"] is None and reason in apart["reason"]


def test_trainings_are_paired_by_their_seeds(tmp_path: Path) -> None:
    a = study(tmp_path / "a", *(trained(60.0 + s, s) for s in range(3)))
    b = study(tmp_path / "b", *(trained(61.0 + s + s / 10, s) for s in range(4)))
    apart = the_line(a, b)["loss"]["difference"]
    assert apart["mid"] == pytest.approx(0.11)  # of seeds 0, 1 and 2 alone
    assert 0.05 < apart["low"] < 0.11 < apart["high"] < 0.16


@pytest.mark.parametrize(
    ("records", "sweep", "reason"),
    [
        ([trained(61.0, 1)], {}, "they have no seed in common"),
        ([trained(61.0, 0)], {"proxy": {"epochs": 2, "lr": 0.1}}, "proxy.lr: 0.002 -> 0.1"),
        ([trained(61.0, 0, budget=50.0)], {}, "budget: 100.0 -> 50.0"),
    ],
)
def test_trainings_of_another_kind_are_not_compared(
    records: list[Record], sweep: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    a = study(tmp_path / "a", trained(60.0, 0))
    apart = the_line(a, study(tmp_path / "b", *records, **sweep))["top1_percent"]
    assert apart["difference"] is None and apart["reason"] == reason


def test_rows_go_by_their_architecture_whatever_they_are_called(tmp_path: Path) -> None:
    a = study(tmp_path / "a", counted(6e6), record("count", label="B", arch=M2))
    b = study(tmp_path / "b", record("count", label="mine", values={"params": 6e6}))
    found = compare([a, b])
    assert [row["label"] for row in found["rows"]] == [{"a": "A", "b": "mine"}, {"a": "B"}]
    assert [row["differences"] for row in found["rows"]][1] == {}


def test_rows_of_one_architecture_at_two_sizes_go_by_their_label_too(tmp_path: Path) -> None:
    big = record("count", label="B", values={"params": 6e6}, details={"resolution": 384})
    a, b = (study(tmp_path / name, counted(6e6), big) for name in "ab")
    labels = [row["label"] for row in compare([a, b])["rows"]]
    assert labels == [{"a": "A", "b": "A"}, {"a": "B", "b": "B"}]


def test_three_studies_stand_beside_the_first(tmp_path: Path) -> None:
    folders = [study(tmp_path / n, counted(p)) for n, p in (("a", 6e6), ("b", 7e6), ("c", 9e6))]
    (row,) = compare(folders)["rows"]
    mids = {name: each[0]["difference"]["mid"] for name, each in row["differences"].items()}
    assert mids == {"b": 1.0, "c": 3.0}


def test_the_command_prints_both_ways(tmp_path: Path) -> None:
    a = study(tmp_path / "a", counted(6e6), record("count", label="B", arch=M2))
    broken = record("proxy", budget=100.0, status="diverged")
    b = study(tmp_path / "b", counted(6.5e6), broken)
    done = CliRunner().invoke(app, ["compare", str(a), str(b)])
    assert done.exit_code == 0
    assert "b less a: 1 architectures in common" in done.output
    assert "+0.5" in done.output and "only in a: 1 (B)" in done.output
    (status,) = [line for line in done.output.splitlines() if " status " in line]
    assert "complete" in status and "diverged" in status
    whole = json.loads(CliRunner().invoke(app, ["compare", str(a), str(b), "--json"]).output)
    assert whole == json.loads(json.dumps(compare([a, b])))


def test_one_study_is_not_compared(tmp_path: Path) -> None:
    a = study(tmp_path / "a", counted(6e6))
    for folders in ([a], [a, a]):
        with pytest.raises(SpecError, match="two studies or more"):
            compare(folders)

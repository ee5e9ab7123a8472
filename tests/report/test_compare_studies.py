"""Studies side by side: what is compared, with which bounds, and what cannot be."""

import json
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect
from reader_of_pages import serious
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


def test_trainings_on_other_images_are_not_compared(tmp_path: Path) -> None:
    folders = [study(tmp_path / name, trained(70.0, 0), trained(71.0, 1)) for name in "abc"]
    for folder, fingerprint in zip(folders, ("1", "1", "2"), strict=True):
        with Store.append_to(folder / "study.db") as store:
            store.note("images", {"fingerprint": fingerprint})
    first, same, other = folders
    assert the_line(first, same)["top1_percent"]["difference"] is not None
    line = the_line(first, other)["top1_percent"]
    assert (line["difference"], line["reason"]) == (None, "trained on other images")


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


def test_an_older_study_that_says_less_is_of_the_same_kind(tmp_path: Path) -> None:
    more = {**SWEEP["proxy"], "halve_batch": False}
    a, b = study(tmp_path / "a", trained(60.0, 0)), tmp_path / "b"
    assert the_line(a, study(b, trained(61.0, 0), proxy=more))["top1_percent"]["difference"]


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
    assert "b less a: 1 architecture in common" in done.output
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


ARCHS = {name: entry(f"efficientvim_{name.lower()}").arch for name in ("M1", "M2", "M3")}


def timed(folder: Path, processor: str, **latencies: float) -> Path:
    """A study of one machine; each row's latency with a spread of 2 %."""
    records = []
    for label, ms in latencies.items():
        rounds = tuple(ms * r / 10 for r in ROUNDS)
        about: dict[str, Any] = {"arch": ARCHS[label], "latency_ms": rounds}
        records.append(record("speed", label=label, processor=processor, **about))
    return study(folder, *records)


def test_rank_flips_compare_where_figures_do_not(tmp_path: Path) -> None:
    a = timed(tmp_path / "a", "a CPU", M1=10.0, M2=20.0, M3=30.0)
    b = timed(tmp_path / "b", "another CPU", M1=50.0, M2=40.0, M3=90.0)
    found = compare([a, b])
    assert all(d["difference"] is None for r in found["rows"] for d in r["differences"]["b"])
    (order,) = found["orders"]["b"]
    assert (order["pairs"], order["flips"], order["sure"]) == (3, 1, 1)
    assert order["places"] == {"M1": (1, 2), "M2": (2, 1), "M3": (3, 3)}
    (flip,) = order["listed"]
    assert (flip["better"], flip["worse"]) == ("M1", "M2")
    assert flip["lead"]["mid"] == pytest.approx(10.0) and flip["lead"]["low"] > 0
    assert flip["lag"]["mid"] == pytest.approx(10.0)


def test_a_flip_within_the_spread_is_not_sure(tmp_path: Path) -> None:
    a = timed(tmp_path / "a", "a CPU", M1=10.0, M2=10.02, M3=30.0)
    b = timed(tmp_path / "b", "a CPU", M1=50.0, M2=40.0, M3=90.0)
    (order,) = compare([a, b])["orders"]["b"]
    assert (order["flips"], order["sure"]) == (1, 0)


def test_rows_of_another_machine_are_not_ranked_with_the_others(tmp_path: Path) -> None:
    a = timed(tmp_path / "a", "a CPU", M1=10.0, M2=20.0)
    with Store.append_to(a / "study.db") as store:
        about: dict[str, Any] = {"arch": ARCHS["M3"], "latency_ms": ROUNDS}
        store.append(record("speed", label="M3", processor="another CPU", **about))
    b = timed(tmp_path / "b", "a CPU", M1=10.0, M2=20.0, M3=30.0)
    (order,) = compare([a, b])["orders"]["b"]
    assert set(order["places"]) == {"M1", "M2"} and order["left_out"] == 1


def test_the_page_shows_what_turned_round(tmp_path: Path, watched: Any, axe: str) -> None:
    a = timed(tmp_path / "a <i>", "a CPU", M1=10.0, M2=20.0, M3=30.0)
    b = timed(tmp_path / "b", "another CPU", M1=50.0, M2=40.0, M3=90.0)
    file = tmp_path / "both.html"
    done = CliRunner().invoke(app, ["compare", str(a), str(b), "--html", str(file)])
    assert done.exit_code == 0 and "1 of 3 pairs turned round, 1 beyond both" in done.output
    page = watched.open(file.as_uri())
    expect(page.get_by_role("heading", level=1)).to_have_text("a <i> beside b")
    turned = page.locator(".places .sure text")
    assert sorted(turned.all_text_contents()) == ["M1", "M1", "M2", "M2"]
    expect(page.locator(".places .kept text").first).to_have_text("M3")
    flips = page.get_by_role("table", name="Pairs turned round")
    expect(flips.get_by_role("row").nth(1)).to_contain_text("M1, M2")
    assert serious(page, axe) == []
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.emulate_media(color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(18, 22, 27)"
    assert serious(page, axe) == []


def test_studies_are_ticked_and_compared_in_the_dashboard(watched: Any, workshop: Any) -> None:
    timed(workshop.folder / "a", "a CPU", M1=10.0, M2=20.0, M3=30.0)
    timed(workshop.folder / "b", "another CPU", M1=50.0, M2=40.0, M3=90.0)
    page = watched.open(workshop.url)
    page.get_by_label("Compare b").check()
    page.get_by_label("Compare a").check()
    page.get_by_role("link", name="Compare b with a").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("b beside a")
    answer = page.request.get(f"{workshop.url}/compare?study=a&study=..")
    assert answer.status == 404 and "no study '..'" in answer.text()

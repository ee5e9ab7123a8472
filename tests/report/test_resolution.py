"""Latency against resolution, with batches that were halved: table, frame and panel."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from evnas.record import Measurement, Record
from evnas.report.frame.study_reader import StudyReader
from evnas.report.panels.table import compute_panel
from evnas.report.table.ablation import build_ablation_table
from evnas.report.table.formats import as_csv, as_markdown
from evnas.store import Store
from evnas.sweep.sweep import load_sweep

SWEEP = load_sweep(Path(__file__).parents[2] / "sweeps" / "efficientvim_figure_a.yaml")
MEMORY = 256 * 512**2
"""Pixels of a batch that fits, made up."""
MS = {"EfficientViM-M4": 0.5, "SHViT-S4": 1.5, "MobileOne-S4": 3.5}
"""An image of 512 pixels a side; it grows with their number."""


def batch_at(side: int) -> int:
    batch = 256
    while batch * side**2 > MEMORY:
        batch //= 2
    return batch


def records() -> Iterator[Record]:
    """SHViT takes twice the memory, and at 4096 not even one image of MobileOne fits."""
    for row in SWEEP.candidates:
        if row.absent:
            continue
        name, side = row.label.split("@")
        about: dict[str, Any] = {"label": row.label, "digest": row.digest, "arch": row.to_dict()}
        target = f"cuda0-torch-{side}-b256-float32"
        details: dict[str, Any] = {"target_index": 0}
        yield Record(**about, phase="count", status="complete", values={"params": 1e6})
        if row.label == "MobileOne-S4@4096":
            yield Record(**about, phase="speed", status="oom", target=target, details=details)
            continue
        batch = batch_at(int(side)) // (2 if name == "SHViT-S4" else 1)
        if batch < 256:
            details["batch_halved"] = {"asked": 256, "timed": batch, "refused": {}}
        ms = MS[name] * (int(side) / 512) ** 2
        base_ms = MS["EfficientViM-M4"] * (int(side) / 512) ** 2 * batch
        taken = {"throughput_img_s": 1e3 / ms, "latency_ms": ms * batch}
        if row.label != "EfficientViM-M4@512":
            # of a batch by itself: the base is slower an image where SHViT halves it once more
            slower = 1.1 if name == "SHViT-S4" else 1.0
            taken |= {"base_latency_ms": slower * base_ms, "throughput_ratio": 0.5}
        conditions = {"batch_size": batch, "warnings": []}
        found = {k: Measurement(k, (v,) * 7, conditions) for k, v in taken.items()}
        yield Record(
            **about, phase="speed", status="complete", target=target, measurements=found,
            details=details, values={"peak_mib": 100.0, "latency_ms": ms * batch},
        )  # fmt: skip


@pytest.fixture
def study(tmp_path: Path) -> Path:
    folder = tmp_path / "figure_a"
    with Store.create(folder / "study.db", sweep=SWEEP.spec.to_dict(), environment={}) as store:
        for record in records():
            store.append(record)
    return folder


def test_the_table_has_latencies_and_says_which_batch_each_is_of() -> None:
    table = build_ablation_table(SWEEP, records(), {})
    lines = {line.label: line for line in table.lines}
    found = {label: line.cells["latency_ms_per_img"] for label, line in lines.items()}
    assert found["SHViT-S4@2048"].value == pytest.approx(16 * MS["SHViT-S4"])
    assert found["MobileOne-S4@4096"].status == "oom"
    assert lines["EfficientViM-M4@512"].note == ""
    assert lines["SHViT-S4@2048"].note == (
        "timed at batch 8: 16 did not fit into memory, 256 was asked for"
    )
    assert lines["EMO"].note == "timm has no EMO"
    assert "timed at batch 8: 16 did not fit" in as_markdown(table)
    assert "latency_ms_per_img" in as_csv(table).splitlines()[0]


def test_the_reference_s_speed_is_of_its_own_batch_alone(study: Path) -> None:
    """Not of the smaller ones that it had beside rows that take more memory."""
    table = build_ablation_table(SWEEP, records(), {})
    cells = next(line.cells for line in table.lines if line.label == "EfficientViM-M4@512")
    assert cells["latency_ms_per_img"].value == pytest.approx(0.5)
    reader = StudyReader(study)
    reader.read_all()
    row = reader.frame.as_row(0)
    target = "cuda0-torch-512-b256-float32"
    assert row[f"throughput_img_s@{target}"] == pytest.approx(2e3)
    assert row[f"latency_ms@{target}"] == pytest.approx(128.0)
    reader.close()


def test_what_is_of_a_batch_is_left_out_where_that_was_halved(study: Path) -> None:
    reader = StudyReader(study)
    reader.read_all()
    place = {label: i for i, label in enumerate(reader.frame.text["label"])}
    row, target = reader.frame.as_row(place["SHViT-S4@2048"]), "cuda0-torch-2048-b256-float32"
    assert row[f"throughput_img_s@{target}"] == pytest.approx(1e3 / 24)
    for name in ("latency_ms", "peak_mib"):
        assert row.get(f"{name}@{target}") is None
    reader.close()


def test_curves_have_a_point_a_resolution(study: Path) -> None:
    reader = StudyReader(study)
    found: Any = compute_panel("resolution", reader)
    (figure,) = found
    reader.close()
    assert figure["name"] == "cuda:0, torch, float32"
    curves = {curve["name"]: curve["points"] for curve in figure["curves"]}
    assert list(curves) == ["EfficientViM-M4", "SHViT-S4", "MobileOne-S4"]
    assert [p["resolution"] for p in curves["SHViT-S4"]] == [512, 1024, 2048, 3072, 4096]
    assert [p["batch"] for p in curves["SHViT-S4"]] == [128, 32, 8, 2, 2]
    assert curves["SHViT-S4"][2]["ms"] == pytest.approx(24.0)
    assert curves["MobileOne-S4"][4] == {
        "row": "MobileOne-S4@4096",
        "resolution": 4096,
        "ended": "oom",
    }


def test_the_panel_draws_them(study: Path, serve: Any, chromium: Browser, watch: Any) -> None:
    server, pages = serve(study.parent), watch(chromium)
    page = pages.open(f"{server.url}/#study=figure_a&view=resolution")
    expect(page.locator("#figure-resolution-0 .main-svg").first).to_be_visible()
    rows = page.get_by_role("region", name="Resolution, cuda:0, torch, float32").locator("tr")
    expect(rows.filter(has_text="SHViT-S4@2048")).to_contain_text("24")
    expect(rows.filter(has_text="MobileOne-S4@4096")).to_contain_text("oom")
    pages.close()
    pages.check()
    server.stop()

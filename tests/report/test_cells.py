"""What the tables say, cell by cell, against the records: units, rounding, what is missing."""

import datetime as dt
import math
import re
import shutil
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect
from report.by_records import (
    Trial,
    Value,
    expected_numbers,
    expected_texts,
    trials_of,
    with_pooled,
    with_reference,
)

from evnas.store import Store

ROOT = Path(__file__).parents[2]
REFERENCE = sorted(ROOT.glob("results/reference/table_c_cpu_*/study.db"))[-1]

HEADINGS = {  # of a study with one target; with several, " on " and what tells them apart follow
    "number": "Order",
    "seconds": "Device time, s",
    "depth": "Blocks",
    "ended": "Ended",
    "params_m": "Parameters, M",
    "macs_exact_g": "FLOPs, exact, G",
    "macs_paper_g": "FLOPs, by the paper, G",
    "throughput_img_s": "Throughput, images/s",
    "throughput_ratio": "Throughput, ratio to base",
    "latency_ms": "Latency of a batch, ms",
    "base_latency_ms": "Latency of the base, ms",
    "peak_mib": "Peak memory, MiB",
    "budget": "Budget, image presentations",
    "seeds": "Seeds",
    "top1_percent": "Top-1 (proxy), %",
    "predicted_top1_percent": "Top-1 (predicted), %",
    "predicted_top1_low_percent": "Top-1 (predicted), low of 90 %, %",
    "predicted_top1_high_percent": "Top-1 (predicted), high of 90 %, %",
    "loss": "Loss (proxy)",
    "train_images": "Images trained on",
    "train_seconds": "Time trained, s",
    "train_throughput_img_s": "Training throughput, images/s",
    "held_out_images": "Held-out images",
}
TEXTS = {
    "label": "Trial",
    "digest": "Digest",
    "status": "Status",
    "origin": "Origin",
    "mixers": "Mixer",
    "blocks": "Block",
    "dims": "Dims",
    "depths": "Depths",
    "changed": "Changed",
    "phases": "Phases",
    "error": "Reason",
}
CHANGED = {
    "A": "base",
    "B": "stages[0,1].dim 224/320",
    "C": "mixer nc_ssd, mixer.heads 8, head.fusion none",
    "D": "mixer sa, mixer.heads 4, head.fusion none",
    "E": "mixer.heads 2/4/8, mixer.score shared",
    "F": "mixer.score shared",
    "G": "head.fusion features",
    "H": "head.fusion none",
    "I": "stages[0,2].mixer.states 9/49",
    "J": "stages[0,2].mixer.states 25",
    "L": "norm full_bn",
}
"""What the rows of Table C change, as sweeps/table_c.yaml says."""
CELLS = """rows => rows.map(tr => [...tr.children].slice(1).map(td => {
  const small = td.querySelector('small');
  return [td.textContent.slice(0, td.textContent.length - (small?.textContent.length || 0)).trim(),
          (small?.textContent || '').trim()]; }))"""


def shown(page: Page) -> tuple[dict[str, str], list[dict[str, tuple[str, str]]]]:
    """Headings by column, and cells (text, spread) by row and column, of the table's page."""
    page.evaluate("EV.choose({ cols: EV.table.all().join('~') })")
    keys: list[str] = page.evaluate("EV.table.keys()")
    expect(page.locator("#trials thead th")).to_have_count(len(keys) + 1)
    heads = [text.strip(" ↑↓") for text in page.locator("#trials thead th").all_inner_texts()[1:]]
    cells = page.locator("#trials tbody tr").evaluate_all(CELLS)
    return (
        dict(zip(keys, heads, strict=True)),
        [dict(zip(keys, map(tuple, row), strict=True)) for row in cells],
    )


def check_column(values: Sequence[Value | None], cells: Sequence[tuple[str, str]]) -> None:
    """Numbers of a column, one below another."""
    known = [v[1] for v in values if v is not None]
    decimals = {len(c.partition(".")[2]) for c, _ in cells if c != "–"}
    assert len(decimals) == 1, "as many decimals in every cell"
    places = decimals.pop()
    if all(v == int(v) for v in known):
        assert places == 0
    else:
        before = math.floor(math.log10(statistics.median(map(abs, known)))) + 1
        assert 3 <= before + places <= 5, "three to five digits that count"
    for value, (text, spread) in zip(values, cells, strict=True):
        if value is None:
            assert (text, spread) == ("–", "")
            continue
        low, middle, high = value
        # the page keeps seven digits
        room = 0.5 * 10**-places + 1e-6 * abs(middle)
        assert abs(float(text.replace(",", "")) - middle) <= room, (text, middle)
        check_spread(spread, middle - low, high - middle, places=places)


def check_spread(spread: str, below: float, above: float, *, places: int) -> None:
    """` ± half`, or both sides, to as many decimals as the value."""
    if below == above == 0:
        assert spread == ""
        return
    shown = re.findall(r"[\d.,]+", spread)
    assert {len(text.partition(".")[2]) for text in shown} == {places}, spread
    want = [(below + above) / 2] if spread.startswith("±") else [above, below]
    numbers = [float(text.replace(",", "")) for text in shown]
    if "<" in spread:
        assert want[0] < 0.5 * numbers[0]
    else:
        # what the page pools over differs a little: it counts by what ends a trial
        assert numbers == pytest.approx(want, rel=0.03, abs=0.51 * 10**-places), spread
    if abs(above - below) > 0.3 * (above + below):
        assert spread.startswith("+"), spread


def check_table(
    page: Page,
    trials: Sequence[Trial],
    numbers: Sequence[dict[str, Value]],
    changed: Mapping[str, str] | None = None,
) -> None:
    headings, cells = shown(page)
    assert len(cells) == len(trials)
    texts = [expected_texts(trial) for trial in trials]
    for words in texts if changed else ():
        words["changed"] = (changed or {})[words["label"]]
    targets = list(dict.fromkeys(r.target for t in trials for r in t if r.target))
    for key, heading in TEXTS.items():
        assert headings[key] == heading
        assert [row[key][0] for row in cells] == [row[key] for row in texts], key
    keys = {key for row in numbers for key in row}
    assert {k for k in headings if k not in TEXTS and not k.startswith("printed ")} == keys
    for key in keys:
        name, _, target = key.partition("@")
        own = [p for p in target.split("-") if not all(p in t.split("-") for t in targets)]
        place = f" on {' '.join(own)}" if target and len(targets) > 1 else ""
        assert headings[key] == HEADINGS[name] + place
        column = [row[key] for row in cells]
        if key == "ended":
            for row, (text, _) in zip(numbers, column, strict=True):
                moment = dt.datetime.fromtimestamp(row[key][1], dt.UTC)
                assert text == f"{moment:%Y-%m-%d %H:%M} UTC"
        else:
            check_column([row.get(key) for row in numbers], column)


def test_a_real_ablation_cell_by_cell(tmp_path: Path, serve: Any, watched: Any) -> None:
    """Table C as taken for results/reference: one target, a row timed beside all others."""
    (tmp_path / "real").mkdir()
    trials = trials_of(Path(shutil.copy(REFERENCE, tmp_path / "real" / "study.db")))
    numbers = [expected_numbers(i, trial) for i, trial in enumerate(trials)]
    with_reference(trials, numbers, "A")
    server = serve(tmp_path)
    page = watched.open(f"{server.url}/#study=real")
    # what was printed stands in columns of its own once it is there
    expect(page.locator("#trials thead")).to_contain_text("printed")
    check_table(page, trials, numbers, CHANGED)
    server.stop()


def test_a_search_with_gaps_cell_by_cell(page: Page, results: Path) -> None:
    """Two targets, one or two seeds, trials that diverged or were pruned; the first page of it."""
    trials = trials_of(results / "made" / "study.db")
    numbers = [expected_numbers(i, trial) for i, trial in enumerate(trials)]
    with_pooled(trials, numbers)
    trials, numbers = trials[:50], numbers[:50]
    assert any("top1_percent" not in row for row in numbers)
    assert {r.status for trial in trials for r in trial} >= {"complete", "pruned", "diverged"}
    check_table(page, trials, numbers)


def box_share(points: Sequence[tuple[float, float]]) -> float:
    """Hypervolume of points that want to be large, as a share of the box that they span."""
    (x0, x1), (y0, y1) = ((min(v), max(v)) for v in zip(*points, strict=True))
    area, height = 0.0, y0
    for x, y in sorted(points, reverse=True):
        area += (x - x0) * max(0.0, y - height)
        height = max(height, y)
    return float(area / ((x1 - x0) * (y1 - y0)))


@pytest.mark.parametrize("which", ["made", "table_c"])
def test_a_study_s_row_cell_by_cell(
    which: str, tmp_path: Path, results: Path, serve: Any, watched: Any
) -> None:
    """Name, kind, progress, best, hypervolume, when, where."""
    source = REFERENCE if which == "table_c" else results / "made" / "study.db"
    (tmp_path / which).mkdir()
    source = Path(
        shutil.copy(source, tmp_path / which / "study.db")
    )  # reading leaves files beside
    trials = trials_of(source)
    texts = [expected_texts(trial, searched=which == "made") for trial in trials]
    numbers = [expected_numbers(i, trial) for i, trial in enumerate(trials)]
    if which == "table_c":
        with_reference(trials, numbers, "A")
    target = next(r.target for t in trials for r in t if r.target)
    speed = "throughput_img_s" if which == "made" else "throughput_ratio"
    aims = (f"{speed}@{target}", "top1_percent")
    rows: list[Any] = [
        (text["label"], *(row[aim][1] for aim in aims))
        for text, row in zip(texts, numbers, strict=True)
        if text["status"] == "complete" and all(aim in row for aim in aims)
    ]
    best = [max(rows, key=lambda row: row[1]), max(rows, key=lambda row: row[2])]
    ends = Counter(text["status"] for text in texts if text["status"] != "complete")
    place = " on cpu b16 float32" if which == "made" else ""

    server = serve(tmp_path)
    page = watched.open(server.url)
    expect(page.locator("#studies tbody tr")).not_to_contain_text("still reading")
    name, kind, progress, found, hypervolume, begun, where = (
        page.locator("#studies tbody tr").locator("th, td").all_inner_texts()
    )
    title = {"made": "Synthetic study: figures made up for timing the dashboard"}.get(
        which, "EfficientViM supplement, Table C: ablations of EfficientViM-M2"
    )
    assert name.split("\n") == [which, title]
    assert kind == ("ablation" if which == "table_c" else "random")
    first, *others = progress.strip().split("\n")
    assert first == f"{len(trials)} trials of {len(trials)}"
    assert sorted(", ".join(others).split(", ")) == sorted(
        f"{n} {end}" for end, n in ends.items()
    ) or not (ends or others)
    assert found.split("\n") == [
        f"Throughput{place} {best[0][1]:.1f} images/s ({best[0][0]})"
        if which == "made"
        else f"Throughput, ratio to base {best[0][1]:.3f} ({best[0][0]})",
        f"Top-1 (proxy) {best[1][2]:.2f} % ({best[1][0]})",
    ]
    assert float(hypervolume) == pytest.approx(box_share([row[1:] for row in rows]), abs=5e-4)
    moment = dt.datetime.fromtimestamp(trials[0][0].started, dt.UTC)
    assert begun == f"{moment:%Y-%m-%d %H:%M} UTC"
    with Store.read(source) as store:
        environment = store.meta("environment")
    assert where == environment.get("cpu", {}).get("model", environment["platform"])
    server.stop()

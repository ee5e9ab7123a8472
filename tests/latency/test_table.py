"""The table of measured latencies: shared, replaced whole, and refused where it is damaged."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from evnas.errors import MeasurementError
from evnas.latency.table import LatencyTable, Timed
from evnas.measure.target import Target

TORCH = Target(device="cpu", runtime="torch", batch_size=8)


def timed(name: str, ms: float, **more: Any) -> Timed:
    return Timed(what={"part": name}, batch_size=8, latency_ms=ms, **more)


def table(folder: Path, target: Target = TORCH) -> LatencyTable:
    return LatencyTable.of_target(target, folder=folder)


def test_what_is_added_is_there_for_others_and_nothing_of_theirs_is_lost(tmp_path: Path) -> None:
    mine, theirs = table(tmp_path), table(tmp_path)
    mine.add(timed("a", 1.0))
    theirs.add(timed("b", 2.0))
    mine.add(timed("c", 3.0))
    assert {e.latency_ms for e in table(tmp_path).entries.values()} == {1.0, 2.0, 3.0}
    assert table(tmp_path).get({"part": "a"}, 8) == timed("a", 1.0)
    assert table(tmp_path).get({"part": "a"}, 1) is None
    assert [file.suffix for file in tmp_path.iterdir()] == [".json"]


@pytest.mark.parametrize(
    "other", [replace(TORCH, runtime="onnx"), replace(TORCH, form="deployed")]
)
def test_another_target_has_a_table_of_its_own(other: Target, tmp_path: Path) -> None:
    table(tmp_path).add(timed("a", 1.0))
    assert not table(tmp_path, other).entries
    assert table(tmp_path, replace(TORCH, batch_size=1, resolution=96)).entries


def test_other_threads_have_a_table_of_their_own(tmp_path: Path) -> None:
    table(tmp_path).add(timed("a", 1.0))
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(threads + 1)
        assert not table(tmp_path).entries
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"entries": [{"ms": 1}]}'])
def test_a_damaged_table_is_one_sentence_that_names_it(text: str, tmp_path: Path) -> None:
    mine = table(tmp_path)
    mine.add(timed("a", 1.0))
    mine.file.write_text(text)
    with pytest.raises(MeasurementError, match="remove the file to measure again") as caught:
        table(tmp_path)
    assert str(caught.value).startswith(str(mine.file))


def test_a_machine_that_slows_down_is_seen_by_its_anchors(tmp_path: Path) -> None:
    mine = table(tmp_path)
    for i in range(60):
        slower = 1.0 if i < 40 else 1.5
        mine.add(timed(f"{i}", 4.0 * slower, anchor_ms=10.0 * slower, at=float(i)))
    steady = list(table(tmp_path).steady().values())
    far = [ms for i, ms in enumerate(steady) if abs(i - 40) > 4]
    assert far == pytest.approx([4.0] * len(far))
    assert json.loads(mine.file.read_text())["of"]["runtime"] == "torch"

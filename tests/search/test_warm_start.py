"""Warm starts on the real road: from published rows, an earlier study and a CSV."""

import time
from pathlib import Path
from typing import Any

import in_process
import pytest
import yaml

from evnas.arch.catalog import entry
from evnas.errors import SpecError
from evnas.phases.work import Event, Work
from evnas.record import Record
from evnas.search.evaluate import Evaluator
from evnas.search.runner import run_sweep
from evnas.search.strategies.warm import warm_candidates
from evnas.space.space import SearchSpace
from evnas.space.spec import SpaceSpec
from evnas.store import Store
from evnas.sweep.parts import EngineSpec
from evnas.sweep.search_spec import WarmStartSpec
from evnas.sweep.sweep import sweep_of

M1 = entry("efficientvim_m1").arch
AXES: dict[str, Any] = {"stages[*].depth": {"each": [1, 2, 3]}, "stages[0].dim": [64, 128]}


class Here:
    """The evaluator in this process."""

    slots = 1

    def __init__(self) -> None:
        self.works: list[Work] = []

    def submit(self, work: Work) -> None:
        self.works.append(work)

    def wait(self, timeout_s: float) -> list[Event]:
        return [Evaluator().run(self.works.pop(), lambda fraction, text: None)]

    def close(self) -> None:
        pass


def counting(name: str, trials: int, **more: object) -> dict[str, Any]:
    """A search that only counts."""
    return {
        "name": name,
        "base": "efficientvim_m1",
        "space": {"axes": AXES},
        "strategy": "random",
        "objectives": {"params_m": "min", "macs_g": "max"},
        "budget": {"trials": trials},
        "targets": [],
        **more,
    }


def searched(results: Path, search: dict[str, Any]) -> list[Record]:
    def engine_for(spec: EngineSpec) -> Here:
        return Here()

    folder = run_sweep(
        sweep_of(search), results=results, fresh=False, began=time.monotonic(),
        make_engine=engine_for,
    )  # fmt: skip
    with Store.read(folder / "study.db") as store:
        return [record for _, record in store.records()]


def test_all_three_sources_in_one_search(tmp_path: Path) -> None:
    earlier = searched(tmp_path, counting("earlier", 4))
    rows = tmp_path / "rows.csv"
    # the last two: M1 itself, which is published, and the first row again
    rows.write_text('"stages[*].depth",stages[0].dim\n"[3, 1, 1]",64\n\n,\n"[3, 1, 1]",64\n')
    starts = [
        {"published": True},
        {"study": str(tmp_path / "earlier" / "study.db"), "most": 3},
        {"csv": str(rows)},
    ]
    found = searched(tmp_path, counting("warm", 8, warm_start=starts))
    origins = [record.origin for record in found]
    assert origins[0] == "published EfficientViM main M1"
    assert len([o for o in origins if o.startswith("published")]) == 1
    from_study = [r for r in found if r.origin.startswith("study earlier trial ")]
    for record in from_study:
        label = record.origin.rsplit(" ", 1)[1]
        assert record.digest == earlier[int(label)].digest
    assert len(from_study) == 3
    from_csv = [r for r in found if ".csv" in r.origin]
    assert [r.origin for r in from_csv] == ["rows.csv:2"]
    assert [s["depth"] for s in from_csv[0].arch["stages"]] == [3, 1, 1]
    assert origins[5:] == ["random"] * 3
    assert len({r.digest for r in found}) == len(found) == 8


def test_an_earlier_searchs_front_comes_first(tmp_path: Path) -> None:
    earlier = searched(tmp_path, counting("earlier", 9))
    start = WarmStartSpec(study=str(tmp_path / "earlier" / "study.db"), most=1)
    space = SearchSpace.from_spec(SpaceSpec.model_validate({"axes": AXES}), M1)
    ((origin, arch),) = warm_candidates([start], space)
    first = next(r for r in earlier if r.digest == arch.digest)
    assert origin == f"study earlier trial {first.label}"
    for other in earlier:  # nothing is smaller and costs more
        smaller = other.values["params"] < first.values["params"]
        assert not (smaller and other.values["macs_exact"] >= first.values["macs_exact"])


BAD = {
    "path": ("stages[0].dimm\n64\n", r"rows\.csv:2: stages\[0\]\.dimm.*did you mean"),
    "value": ("stages[0].dim\n\n64\nwide\n", r"rows\.csv:4: stages\[0\]\.dim: .*'wide'"),
    "yaml": ("stages[0].dim\n[64\n", r"rows\.csv:2: stages\[0\]\.dim: must be YAML.*\[64"),
    "cells": (
        "stages[0].dim\n64,1\n",
        r"rows\.csv:2: a row must have a value per column, got 2 for 1",
    ),
    "quote": ('stages[0].dim\n"64\n', r"rows\.csv:2: unexpected end of data"),
    "empty": ("", r"rows\.csv: must hold a header of paths"),
    "outside": ("stages[0].dim\n96\n", "none of its 1 architecture lies in the space"),
}


@pytest.mark.parametrize("fault", BAD)
def test_a_bad_csv_is_said_with_its_line(fault: str, tmp_path: Path) -> None:
    text, said = BAD[fault]
    rows = tmp_path / "rows.csv"
    rows.write_text(text)
    space = SearchSpace.from_spec(SpaceSpec.model_validate({"axes": AXES}), M1)
    with pytest.raises(SpecError, match=said) as caught:
        warm_candidates([WarmStartSpec(csv=str(rows))], space)
    assert caught.value.path == "warm_start[0]"
    assert "\n" not in str(caught.value)


def test_the_command_says_it_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("stages[0].dimm\n64\n")
    search = counting("bad", 3, warm_start=[{"csv": "rows.csv"}])
    (tmp_path / "bad.yaml").write_text(yaml.safe_dump(search, sort_keys=False))
    done = in_process.evnas("sweep", "bad.yaml", cwd=tmp_path)
    assert done.returncode == 2
    line = (tmp_path / "bad.yaml").read_text().splitlines().index("warm_start:") + 2
    assert done.stderr.startswith(f"evnas: bad.yaml:{line}: warm_start[0]: rows.csv:2: stages[0]")
    assert done.stderr.count("\n") == 1

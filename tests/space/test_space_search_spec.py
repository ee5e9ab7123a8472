"""The search part of a sweep's YAML: short forms, refusals, and the schema beside it."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from evnas.sweep.search_spec import SearchSpec, WarmStartSpec
from evnas.sweep.sweep import load_sweep, sweep_schema

ROOT = Path(__file__).parents[2]
GOOD = {
    "name": "x",
    "base": "efficientvim_m1",
    "space": {"axes": {"stages[0].depth": [1, 2]}},
    "strategy": "evolution",
    "objectives": {"throughput_img_s@cpu": "max", "top1_percent": "max"},
    "budget": {"trials": 10},
}


def test_short_forms_mean_the_long_ones() -> None:
    spec = SearchSpec.model_validate(GOOD)
    assert spec.strategy.kind == "evolution"
    assert [(o.metric, o.goal) for o in spec.objectives] == [
        ("throughput_img_s@cpu", "max"),
        ("top1_percent", "max"),
    ]
    assert SearchSpec.model_validate(spec.model_dump(mode="json")) == spec


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"budget": {}}, "budget needs one of"),
        ({"objectives": {"top1_percent": "max"}}, "at least 2"),
        ({"objectives": {"top1": "max", "params_m": "min"}}, "nothing measures 'top1'"),
        ({"objectives": [{"metric": "loss", "goal": "min"}] * 2}, "objectives must differ"),
        ({"constraints": ["params <"]}, "must be a condition"),
        ({"constraints": ["para_m < 3"]}, "nothing is called 'para_m'"),
        ({"strategy": {"kind": "mo_asha", "rungs": [3, 1]}}, "ascending"),
        ({"space": {"axes": {"norm": {"choose": 1}}}}, "must be a list of values"),
        ({"space": {"axes": {"stages[0].dim": {"int": {"low": 1}}}}}, "Field required"),
        ({"confirm": {"seeds": 0}}, "greater than or equal to 1"),
    ],
)
def test_what_cannot_be_is_refused(change: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError) as caught:
        SearchSpec.model_validate(GOOD | change)
    assert reason in str(caught.value)


def test_a_warm_start_names_one_source() -> None:
    with pytest.raises(ValidationError, match="must name one"):
        WarmStartSpec(published=True, csv="x.csv")


def test_the_schema_file_is_current() -> None:
    kept = json.loads((ROOT / "space.schema.json").read_text())
    assert kept == sweep_schema(), "write it again: evnas schema > space.schema.json"


@pytest.mark.parametrize("name", ["cpu", "gpu", "two_targets", "placement"])
def test_ready_search_files_are_valid(name: str) -> None:
    sweep = load_sweep(ROOT / "sweeps" / f"search_{name}.yaml")
    assert isinstance(sweep.spec, SearchSpec)


def test_a_space_that_cannot_be_says_where(tmp_path: Path) -> None:
    from evnas.errors import SpecError

    file = tmp_path / "bad.yaml"
    file.write_text(
        "name: x\nbase: efficientvim_m1\nspace:\n  axes:\n    stages[0].wide: [1, 2]\n"
        "strategy: random\nobjectives: {params: min, top1_percent: max}\nbudget: {trials: 3}\n"
    )
    with pytest.raises(SpecError) as caught:
        load_sweep(file)
    assert "bad.yaml:5" in str(caught.value) and "there is no 'wide'" in str(caught.value)

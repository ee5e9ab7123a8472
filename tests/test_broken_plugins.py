"""What another package registered and cannot be loaded costs a sentence where it is asked for, and
nothing where it is not."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from broken_plugins import PLACES, REASONS, TABLES, break_tables, names_in, tables_are_all
from inline_engine import InlineEngine
from tiny_search import tiny_search
from typer.testing import CliRunner, Result

from evnas.arch.spec import ArchSpec
from evnas.cli import app
from evnas.errors import EvnasError
from evnas.phases.work import Work
from evnas.record import Record
from evnas.registry import PluginError, Registry
from evnas.search.evaluate import Evaluator, silent
from evnas.search.runner import run_sweep
from evnas.search.signals import known_signals
from evnas.space.expressions import parse_expression
from evnas.store import Store
from evnas.sweep.parts import training_fault
from evnas.sweep.sweep import sweep_of

UNUSED = tiny_search() | {
    "objectives": {"params_m": "min", "macs_g": "min"},
    "constraints": ["stages[0].depth <= 2"],
    "budget": {"trials": 2},
    "proxy": "none",
}
"""A search that has no need of any of them."""


@pytest.fixture(autouse=True)
def broken() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        break_tables(patch)
        yield
    for table in TABLES:
        table._found = None


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.kind)
@pytest.mark.parametrize("fault", PLACES)
def test_every_table_names_what_it_cannot_use(table: Registry[Any], fault: str) -> None:
    assert tables_are_all()
    name, theirs = f"{fault}_{table.kind}", names_in(table).keys()
    with pytest.raises(PluginError, match=f"{table.kind} {name!r} .*{REASONS[fault]}"):
        table.get(name)
    with pytest.raises(PluginError):
        table.must_load(name)
    assert table.broken().keys() == theirs
    assert set(table.usable()) == set(table.names()) - theirs


def test_a_search_that_does_not_use_them_runs_and_says_what_it_goes_without(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    evaluator = Evaluator()

    def found(work: Work) -> Record:
        return evaluator.run(work, silent).record

    run_sweep(
        sweep_of(UNUSED),
        results=tmp_path,
        fresh=False,
        began=time.monotonic(),
        make_engine=lambda spec: InlineEngine(found),
    )
    with Store.read(tmp_path / "tiny" / "study.db") as store:
        ends = [(r.phase, r.status) for _, r in store.records()]
    assert ends == [("count", "complete")] * 2
    said = capfd.readouterr().err
    for fault in PLACES:
        assert said.count(f"phase '{fault}_phase'") == 1
    assert "no candidate is evaluated by it" in said


def command(*words: str) -> Result:
    done = CliRunner().invoke(app, list(words))
    assert done.exit_code == 0, done.exception
    return done


def test_commands_that_list_go_on_without_them(tmp_path: Path) -> None:
    (tmp_path / "sweep.yaml").write_text(yaml.safe_dump(UNUSED, sort_keys=False))
    assert "is valid" in command("check", str(tmp_path / "sweep.yaml")).output
    schema = command("schema").output
    assert '"tpe"' in schema and '"hsm_ssd"' in json.dumps(ArchSpec.model_json_schema())
    assert "broken_strategy" not in schema
    assert "efficientvim_m1" in command("models").output
    advice = command("doctor", "--json").output
    for table in TABLES:
        assert f"{table.kind} 'broken_{table.kind}'" in advice
    assert "needs runtime torch or compile" in training_fault(runtime="onnx", form="plain")
    assert parse_expression("stages[0].mixer.states <= 9").fields
    assert {"reach", "snip"} <= set(known_signals(())) and "broken_score" not in known_signals(())


AXES = {"stages[1].depth": [1, 2]}
ASKED: dict[str, dict[str, Any]] = {
    "phase": {"objectives": {"params_m": "min", "NAME": "min"}},
    "phase in a constraint": {"constraints": ["NAME <= 3"]},
    "block": {"space": {"set": {"stages[0].block": "NAME"}, "axes": AXES}},
    "strategy": {"strategy": {"kind": "NAME"}},
    "runtime": {"targets": [{"device": "cpu", "runtime": "NAME"}]},
    "score": {"objectives": {"params_m": "min", "NAME": "max"}},
    "score in a constraint": {"constraints": ["NAME <= 3"]},
    "dataset": {"proxy": {"data": "NAME"}},
    "mixer": {"space": {"set": {"stages[0].mixer.kind": "NAME"}, "axes": AXES}},
}


@pytest.mark.parametrize("fault", PLACES)
@pytest.mark.parametrize("asked", ASKED)
def test_whoever_asks_for_one_reads_why(asked: str, fault: str, tmp_path: Path) -> None:
    kind = asked.split()[0]
    name = f"{fault}_{kind}"
    text = yaml.safe_dump(UNUSED | ASKED[asked], sort_keys=False).replace("NAME", name)
    file = tmp_path / "sweep.yaml"
    file.write_text(text)
    done = CliRunner().invoke(app, ["check", str(file)])
    assert isinstance(done.exception, EvnasError), (done.exception, done.output)
    (line,) = str(done.exception).splitlines()
    assert f"{kind} {name!r}" in line
    assert REASONS[fault] in line
    assert line.startswith(f"{file}:")

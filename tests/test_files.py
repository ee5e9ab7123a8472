"""Paths as people give them, wherever one is taken."""

from pathlib import Path
from typing import Any, cast

import pytest
from typer.testing import CliRunner

import evnas
from evnas import cli, running
from evnas.arch.catalog import entry
from evnas.cli import app
from evnas.errors import DataError, SpecError
from evnas.files import expanded, placed
from evnas.proxy.data import load_data
from evnas.store import Store
from evnas.sweep.named import arch_of


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("IMAGES", "my images")
    monkeypatch.delenv("UNSET", raising=False)
    return tmp_path


def test_home_and_variables_are_replaced(home):
    assert expanded("~/a") == home / "a"
    assert expanded("${HOME}/${IMAGES}/a") == home / "my images" / "a"
    assert expanded("a$b~") == Path("a$b~")
    assert placed("../x", Path("/a/b")) == Path("/a/x")
    assert placed("~/x", Path("/a/b")) == home / "x"
    with pytest.raises(SpecError, match=r"\$\{UNSET\}/a: must name variables that are set, UNSET"):
        expanded("${UNSET}/a")


@pytest.mark.parametrize("start", ["~", "${HOME}"])
def test_every_command_and_function_takes_them(home, start, monkeypatch):
    (home / "x.yaml").write_text("name: x\nbase: efficientvim_m1\nrows: {A: {}}\ntargets: []\n")
    ran = CliRunner().invoke(app, ["check", f"{start}/x.yaml"])
    assert ran.exit_code == 0, ran.output
    seen = {}
    cli._with_paths(lambda **given: seen.update(given))(
        results=Path(f"{start}/studies"), weights=[Path(f"{start}/a.pt")], name="~", most=3
    )
    assert seen == {
        "results": home / "studies", "weights": [home / "a.pt"], "name": "~", "most": 3
    }  # fmt: skip
    Store.create(home / "studies" / "x" / "study.db", sweep={}, environment={}).close()
    assert evnas.load_study(f"{start}/studies/x").name == "x"

    def ran_in(sweep, *, results, fresh, began):
        assert (sweep.spec.name, results) == ("x", home / "studies")
        return running.Ran(results / "x", None, cast(Any, None))

    monkeypatch.setattr(running, "run_and_write", ran_in)
    assert evnas.run(f"{start}/x.yaml", results=f"{start}/studies").name == "x"
    m1 = entry("efficientvim_m1").arch
    (home / "m1.yaml").write_text(str(m1.to_dict()))
    assert arch_of(f"{start}/m1.yaml").digest == m1.digest
    with pytest.raises(DataError, match=f"{home}/none must be a folder of images"):
        load_data({"folder": f"{start}/none"})

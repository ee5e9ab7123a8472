"""Paths as people give them, wherever one is taken."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

import evnas
from evnas.arch.catalog import entry
from evnas.cli import app
from evnas.errors import SpecError
from evnas.files import expanded, placed
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


def counting(folder):
    (folder / "x.yaml").write_text(
        "name: x\nbase: efficientvim_m1\nrows: {A: {}, B: {norm: ln}}\ntargets: []\n"
    )


@pytest.mark.parametrize("start", ["~", "${HOME}"])
def test_every_command_and_function_takes_them(home, start):
    counting(home)
    ran = CliRunner().invoke(app, ["sweep", f"{start}/x.yaml", "--results", f"{start}/studies"])
    assert ran.exit_code == 0, ran.output
    assert (home / "studies" / "x" / "study.db").exists()
    ran = CliRunner().invoke(app, ["report", f"{start}/studies/x", f"--output={start}/out"])
    assert ran.exit_code == 0, ran.output
    assert (home / "out" / "table.md").exists()
    assert len(evnas.load_study(f"{start}/studies/x").frame) == 2
    assert evnas.run(f"{start}/x.yaml", results=f"{start}/studies").name == "x"
    assert not Path(start).exists()
    m1 = entry("efficientvim_m1").arch
    (home / "m1.yaml").write_text(str(m1.to_dict()))
    assert arch_of(f"{start}/m1.yaml").digest == m1.digest

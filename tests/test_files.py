"""Paths as people give them, wherever one is taken."""

import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import pytest
from typer.testing import CliRunner

import evnas
from evnas import cli, running
from evnas.arch.catalog import entry
from evnas.cli import app
from evnas.errors import DataError, SpecError, StoreError
from evnas.files import (
    HeldLock,
    csv_cell,
    expanded,
    held_locks,
    make_folder_of,
    must_have_a_place,
    placed,
    write_whole,
)
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

    def ran_in(sweep, *, results, fresh, began, retry, rows):
        assert (sweep.spec.name, results) == ("x", home / "studies")
        return running.Ran(results / "x", None, cast(Any, None))

    monkeypatch.setattr(running, "run_and_write", ran_in)
    assert evnas.run(f"{start}/x.yaml", results=f"{start}/studies").name == "x"
    m1 = entry("efficientvim_m1").arch
    (home / "m1.yaml").write_text(str(m1.to_dict()))
    assert arch_of(f"{start}/m1.yaml").digest == m1.digest
    with pytest.raises(DataError, match=f"{home}/none must be a folder of images"):
        load_data({"folder": f"{start}/none"})


def test_a_file_is_there_whole_or_as_it_was(tmp_path, monkeypatch):
    path, link = tmp_path / "report.html", tmp_path / "link.html"
    write_whole(path, "old é")
    link.symlink_to(path)

    def killed(self: Path, target: Path) -> Path:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            write_whole(path, "new")
    assert path.read_text("utf-8") == "old é"
    write_whole(link, b"new")
    assert path.read_text() == "new" and link.is_symlink()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["link.html", "report.html"]


def test_a_file_that_finds_no_room_says_how_much_it_needs(tmp_path):
    script = (
        "import resource, sys, pathlib\n"
        "from evnas.errors import StoreError\n"
        "from evnas.files import write_whole\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try:\n"
        "    write_whole(pathlib.Path(sys.argv[1]), 'x' * 5000)\n"
        "except StoreError as e:\n"
        "    print(e)\n"
    )
    path = tmp_path / "a.html"
    ended = subprocess.run(
        [sys.executable, "-c", script, str(path)], capture_output=True, text=True
    )
    assert f"{path}: no room for it (File too large)" in ended.stdout, ended.stderr
    assert "bytes are free and 5,000 are needed; raise `ulimit -f`" in ended.stdout
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(StoreError, match=r"no room for it \(No space left on device\)"):
        write_whole(Path("/dev/full"), "x")


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        ("=1+1", "'=1+1"), ("-x", "'-x"), ("@a", "'@a"), ("\t=1", "'\t=1"), ("+", "'+"),
        ("-1.5", "-1.5"), ("+3e-4", "+3e-4"), ("-0.5%", "-0.5%"), (-1.5, -1.5), ("a=1", "a=1"),
        ("-inf", "'-inf"), ("", ""), (None, None),
    ],
)  # fmt: skip
def test_cells_that_a_spreadsheet_would_run_are_texts(value, cell):
    assert csv_cell(value) == cell


def test_only_locks_that_are_held_are_listed(tmp_path):
    locks = tmp_path / "locks"
    locks.write_text(
        "1: POSIX  ADVISORY  READ 1 fe:00:7 128 128\n"
        "2: FLOCK  ADVISORY  WRITE 2 00:1b:7 0 EOF\n"
        "2: -> FLOCK  ADVISORY  WRITE 3 00:1b:7 0 EOF\n"
        "3: FLOCK\n"
    )
    assert held_locks(locks) == [HeldLock(pid=2, device="00:1b", inode=7)]
    assert held_locks(tmp_path / "none") == []


def test_a_file_is_written_where_a_folder_is_for_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path, said in [
        (tmp_path, "must be a file to write, it is a folder; name a file in it"),
        (tmp_path / "gone" / "a.html", "must lie in a folder, .*gone is not there; make it first"),
        (tmp_path / "file" / "a.html", "must lie in a folder, .*file is a file"),
    ]:
        for act in (must_have_a_place, lambda path: write_whole(path, "x")):
            with pytest.raises(SpecError, match=said):
                act(path)
    must_have_a_place(tmp_path / "a.html")
    must_have_a_place(Path("/dev/stdout"))


@pytest.mark.parametrize("command", [["plan", "table_c"], ["compare", "a", "b"]])
def test_a_page_without_a_place_is_known_at_once(command: list[str], tmp_path: Path) -> None:
    done = CliRunner().invoke(app, [*command, "--html", str(tmp_path)])
    assert isinstance(done.exception, SpecError) and "it is a folder" in str(done.exception)


def test_a_folder_that_cannot_be_made_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(
        StoreError, match=r"file: must be a folder that can be made \(File exists\)"
    ):
        make_folder_of(tmp_path / "file" / "a.pdf")
    make_folder_of(tmp_path / "a" / "b" / "c.pdf")
    assert (tmp_path / "a" / "b").is_dir()

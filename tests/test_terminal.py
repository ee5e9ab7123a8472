"""What commands print fits the terminal, in words; each says by an example how it is called."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from known_commands import COMMANDS
from PIL import Image

from evnas.arch.catalog import entry
from evnas.arch.changes import read_changes, shortened
from evnas.arch.paths import diff
from evnas.arch.spec import ArchSpec
from evnas.commands.fronts import members_table
from evnas.commands.output import columns, fitted_text
from evnas.commands.stages import stage_lines
from evnas.report.page.erf_picture import BAR, CAPTION, GAP, SIDE, draw_fields

ROOT = Path(__file__).parents[1]
HEAD = ("row", "images/s", "differs from the base")
ROWS = [
    ("A", 12.5, "the base"),
    ("B", 9.25, "stages[0].dim: 128 -> 224; stages[1].dim: 256 -> 320"),
]


def evnas(*arguments: str, columns: int) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "evnas", *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ | {"COLUMNS": str(columns)},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def widest(text: str) -> int:
    return max(len(line) for line in text.splitlines())


@pytest.mark.parametrize("width", [40, 80, 200])
def test_a_table_is_as_wide_as_the_terminal_at_most(monkeypatch, width):
    monkeypatch.setenv("COLUMNS", str(width))
    text = columns(HEAD, ROWS)
    assert widest(text) <= width
    assert "stages[1].dim: 256 -> 320" in text  # broken between two changes
    assert sorted(re.findall(r"\S+", text)) == sorted(re.findall(r"\S+", _whole(monkeypatch)))


def _whole(monkeypatch) -> str:
    monkeypatch.delenv("COLUMNS")
    return columns(HEAD, ROWS)


def test_a_piped_table_keeps_its_lines_whole(monkeypatch):
    text = _whole(monkeypatch) if "COLUMNS" in os.environ else columns(HEAD, ROWS)
    assert text.splitlines()[2].endswith(ROWS[1][2])


def test_where_not_even_words_fit_a_row_is_a_paragraph(monkeypatch):
    monkeypatch.setenv("COLUMNS", "24")
    text = columns(("model", "a", "b", "c"), [("m" * 15, "1.5", "", "2.5")])
    assert text.splitlines() == [f"model: {'m' * 15}", "a: 1.5", "c: 2.5"]


@pytest.mark.parametrize("width", [80, 200])
@pytest.mark.parametrize(
    "command",
    ["models", "check table_c", "show efficientvim_m2", "space search_cpu --samples 2"],
)
def test_look_ups_fit(command, width):
    text = evnas(*command.split(), columns=width)
    assert widest(text) <= width
    assert "{" not in text


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("short enough", ["short enough"]),
        ("  one: two three four", ["  one: two", "    three four"]),
        ("a_path/that/has/no/blank x", ["a_path/that/has/no/blank", "  x"]),
        ("", [""]),
    ],
)
def test_a_long_line_goes_on_further_in(line, shown):
    assert fitted_text(line, 14).split("\n") == shown
    assert fitted_text(line, None) == line


@pytest.mark.parametrize("width", [80, 160])
def test_help_is_as_wide_as_the_terminal(width):
    text = evnas("bench", "--help", columns=width)
    assert 0.8 * width < widest(text) <= width
    assert "--install-completion" in evnas("--help", columns=width)


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_shows_how_it_is_called(name):
    command = COMMANDS[name]
    examples = [
        line.split() for line in command.help.splitlines() if line.strip().startswith("evnas ")
    ]
    assert examples
    words = len(name.split())
    for _, *called in examples:
        assert " ".join(called[:words]) == name
        arguments = called[words:]
        given = arguments[: arguments.index(">")] if ">" in arguments else arguments
        command.make_context(name, given)  # refuses what it does not know


def test_parts_of_an_architecture_are_words():
    lines = stage_lines(entry("efficientvim_m2").arch.to_dict())
    assert "stem: efficientvim, stride 16" in lines
    assert not any("{" in line for line in lines)


def test_stages_that_change_in_one_field_stand_together():
    base = entry("efficientvim_m2").arch
    raw = base.to_dict()
    raw["stages"][0]["dim"], raw["stages"][2]["dim"] = 160, 480
    raw["stages"][1]["mixer"] = {"kind": "sa", "heads": 4}
    raw["head"]["fusion"] = "none"
    changes = diff(base, ArchSpec.from_dict(raw))
    short = shortened(changes)
    assert "stages[0,2].dim: 128, 512 -> 160, 480" in short
    assert "stages[1].mixer: hsm_ssd -> sa" in short
    assert "None" not in short
    assert shortened(read_changes(f"{p}: {old} -> {new}" for p, old, new in changes)) == short


@pytest.mark.parametrize("width", [80, 200])
def test_a_front_fits_however_much_its_members_differ(monkeypatch, width):
    monkeypatch.setenv("COLUMNS", str(width))
    base, other = entry("efficientvim_m1").arch, entry("vmamba_tiny_s1l8").arch
    changes = [f"{path}: {old} -> {new}" for path, old, new in diff(base, other)]
    assert sum(map(len, changes)) > 600
    span = {"low": 1.554, "mid": 1.57, "high": 1.582}
    member = {
        "trial": "35",
        "objectives": {"throughput_ratio": span, "predicted_top1_percent": span},
        "tied_with": ["30", "33", "43"],
        "nearest_published": "vmamba_tiny_s1l8",
        "diff_to_base": changes,
    }
    text = members_table([member, {**member, "trial": "3", "diff_to_base": []}])
    assert widest(text) <= width
    assert len(text.splitlines()) <= 2000 // width
    assert "the base" in text and "head.fusion: hidden -> none" in " ".join(text.split())


def test_a_field_picture_has_a_bar_and_its_scale(tmp_path):
    field = np.zeros((8, 8))
    field[4, 4] = 1.0
    draw_fields({"one": field}, tmp_path / "erf.png")
    picture = np.asarray(Image.open(tmp_path / "erf.png").convert("RGB")).astype(int)
    left = SIDE + 2 * GAP
    bar = picture[CAPTION : CAPTION + SIDE, left + BAR // 2]
    assert (bar[0] == picture[CAPTION + SIDE // 2 + 10, GAP + SIDE // 2 + 10]).all()  # the largest
    assert (bar[-1] == picture[CAPTION + 5, GAP + 5]).all()  # nothing
    assert (picture[:, left + BAR + 8 :] < 128).any()  # ticks are written

"""Figures for papers: what a file holds, what is drawn of a study, and what is refused."""

import importlib.util
import io
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from evnas.arch.catalog import entry
from evnas.cli import app
from evnas.errors import EvnasError, SpecError
from evnas.record import Record
from evnas.report.frame.objectives import Constraint
from evnas.report.frame.study_reader import StudyReader
from evnas.report.notebook.study import load_study
from evnas.report.page import assets, colours
from evnas.report.paper.curves import learning_curves
from evnas.report.paper.front import draw_front
from evnas.report.paper.labels import placed_labels
from evnas.report.paper.points import front_points
from evnas.report.paper.style import STYLES, inches, must_have_matplotlib
from evnas.store import Store

ROOT = Path(__file__).parents[2]
TABLE_C = sorted(ROOT.glob("results/reference/table_c_cpu_*"))[-1]


def drawn(*arguments: str) -> dict[str, object]:
    """What `evnas figure ... --json` says."""
    pytest.importorskip("matplotlib")
    done = CliRunner().invoke(app, ["figure", *arguments, "--json"])
    assert done.exit_code == 0, (done.output, done.exception)
    found: dict[str, object] = json.loads(done.stdout)
    return found


def test_one_command_writes_three_files_with_their_letters_inside(tmp_path: Path) -> None:
    files = [tmp_path / f"front{end}" for end in (".pdf", ".svg", ".png")]
    options = [part for file in files for part in ("-o", str(file))]
    drawn(str(TABLE_C), "front", "--style", "paper", "--width", "3.3in", *options)
    pdf, svg, png = (file.read_bytes() for file in files)
    assert b"/FontFile2" in pdf and b"/Type3" not in pdf  # TrueType, embedded
    assert b'width="237.6pt"' in svg and b"<text" not in svg  # letters are outlines
    assert not re.search(rb'href="(?!#)', svg)  # nothing is asked of elsewhere
    from PIL import Image

    assert Image.open(io.BytesIO(png)).width == 1980  # 3.3 inches of 600 dots
    again = tmp_path / "again.pdf"
    drawn(str(TABLE_C), "front", "-o", str(again))
    assert again.read_bytes() == pdf


def test_an_ablation_stands_on_ratios_with_its_reference_at_one() -> None:
    reader = StudyReader(TABLE_C)
    try:
        reader.read_all()
        found = front_points(reader, x=None, y=None)
        assert found.keys[0].startswith("throughput_ratio@")
        row = reader.frame.row(reader.frame.reference)
        assert row is not None and found.columns.numbers[found.keys[0]][row] == 1.0
        (at,) = (mark[1:] for mark in found.printed if mark[0] == reader.frame.reference)
        assert at == (1.0, found.columns.numbers["top1_percent"][row])  # beside it, not over it
        assert len(found.printed) > 2
        speeds = front_points(reader, x="throughput_img_s", y="macs_paper_g")
        assert not speeds.printed and "is of this machine" in speeds.notes[0]
        with pytest.raises(SpecError, match=r"--y must name a column .* got 'flops'"):
            front_points(reader, x=None, y="flops")
    finally:
        reader.close()


def test_bounds_on_both_axes_are_named_once() -> None:
    Figure = pytest.importorskip("matplotlib.figure").Figure
    reader = StudyReader(TABLE_C)
    try:
        reader.read_all()
        found = front_points(reader, x=None, y=None)
    finally:
        reader.close()
    bounds = tuple(Constraint(key=key, at_most=True, bound=1.0) for key in found.keys)
    figure = Figure(layout="constrained")
    draw_front(figure.add_subplot(), replace(found, bounds=bounds), STYLES["paper"])
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names.count("bound") == 1


@pytest.mark.parametrize("name", ["curves", "ratios"])
def test_other_figures_of_a_study(name: str, tmp_path: Path) -> None:
    file = tmp_path / f"{name}.svg"
    drawn(str(TABLE_C), name, "-o", str(file))
    assert colours.PALETTE[0].encode() in file.read_bytes()


def test_a_curve_is_of_each_seed_once(tmp_path: Path) -> None:
    arch = entry("efficientvim_m1").arch

    def trained(seed: int, *top1: float, phase: str = "proxy") -> Record:
        curve = [{"images": 100.0 * (i + 1), "top1_percent": v} for i, v in enumerate(top1)]
        return Record(label="1", digest=arch.digest, arch=arch.to_dict(), phase=phase,
                      status="complete", seed=seed, budget=curve[-1]["images"],
                      values={"top1_percent": top1[-1]}, curve=tuple(curve))  # fmt: skip

    with Store.create(tmp_path / "study.db", sweep={"name": "x"}, environment={}) as store:
        for record in (trained(0, 10.0), trained(0, 10.0, 20.0), trained(1, 40.0, 60.0)):
            store.append(record)
        drawn = load_study(tmp_path).figure("curves")  # a notebook's
        assert [list(trace.x) for trace in drawn.data] == [[100, 200], [100, 200]]
        store.append(trained(0, 1.0, 2.0, phase="inherited"))
    reader = StudyReader(tmp_path)
    try:
        reader.read_all()
        found = learning_curves(reader, ["1"])
    finally:
        reader.close()
    assert found.by_label == {"1": {100.0: [10.0, 40.0], 200.0: [20.0, 60.0]}}


def test_hypervolume_of_a_search_and_trials_by_name(results: Path, tmp_path: Path) -> None:
    for name, more in (("hypervolume", ()), ("curves", ("--trial", "3")), ("front", ())):
        file = tmp_path / f"{name}.pdf"
        drawn(str(results / "made"), name, "-o", str(file), "--style", "slides", *more)
        assert file.read_bytes().startswith(b"%PDF")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["fronts"], "FIGURE must be one of front, curves, hypervolume, ratios, got 'fronts'"),
        (["front", "--style", "poster"], "--style must be paper or slides, got 'poster'"),
        (["front", "--width", "3.3"], "--width must be a length such as 3.3in"),
        (["front", "--height", "0.1mm"], "--height must be 1in to 40in, got '0.1mm'"),
        (["front", "-o", "front.bmp"], "--output must end with .pdf, .svg, .png, got front.bmp"),
        (["curves", "--x", "params_m"], "--x and --y are of the front"),
    ],
)
def test_a_mistake_is_a_sentence(more: list[str], said: str) -> None:
    done = CliRunner().invoke(app, ["figure", str(TABLE_C), *more])
    assert isinstance(done.exception, SpecError) and said in str(done.exception)


def test_what_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(EvnasError, match=r"pip install 'evnas\[figures\]'"):
        must_have_matplotlib()


def test_lengths() -> None:
    found = [inches(text, option="--width") for text in ("3.3in", "84mm", "8.4 cm", "252pt")]
    assert found == pytest.approx([3.3, 3.30709, 3.30709, 3.5], rel=1e-5)


def test_colours_are_those_of_the_page() -> None:
    script, css = assets.page_js(), assets.text("style.css")
    light = re.search(r'light: (\["#.*?"\])', script)
    marks = re.search(r"EV\.SYMBOLS = (\[.*?\])", script)
    fixed = re.search(r"const fixed = (\[.*?\])", script)
    assert light and tuple(json.loads(light[1])) == colours.PALETTE
    assert marks and tuple(json.loads(marks[1])) == colours.MARKS
    assert fixed and tuple(json.loads(fixed[1])) == colours.KNOWN_FIRST
    first = dict(re.findall(r"--([\w-]+): (#\w+);", css.split("}")[0]))
    own = (colours.INK, colours.MUTED, colours.FAINT, colours.LINE, colours.WARN)
    assert tuple(first[name] for name in ("ink", "muted", "faint", "line", "warn")) == own


def test_no_label_lies_on_another() -> None:
    marks = [(10.0 + 3 * i, 50.0, f"trial {i}") for i in range(8)] + [(500.0, 50.0, "outside")]
    found = placed_labels(marks, (0, 0, 100, 100), size=7, away=4)
    boxes = [(at[0], at[1], at[0] + 4.34 * len(at[2]), at[1] + 7) for at in found if at]
    assert 2 <= len(boxes) < 8 and found[-1] is None
    for i, one in enumerate(boxes):
        for two in boxes[i + 1 :]:
            apart = one[0] >= two[2] or two[0] >= one[2] or one[1] >= two[3] or two[1] >= one[3]
            assert apart

"""All studies, and one that grows, in a browser."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, expect

from evnas.report.server.studies import Studies
from evnas.store import Store

ROOT = Path(__file__).parents[2]


def test_studies_are_listed_with_their_troubles(served: Any, watched: Any) -> None:
    page = watched.open(served.url)
    table = page.locator("#studies")
    expect(table.get_by_role("link", name="made")).to_be_visible()
    expect(table).to_contain_text("schema 99")
    expect(table).to_contain_text("not a study of evnas, or damaged")
    table.get_by_role("link", name="made").click()
    expect(page.locator("#filter-says")).to_have_text("400 of 400 trials")


def test_records_of_another_process_appear(
    tmp_path: Path, synthetic: Any, watched: Any, workshop: Any
) -> None:
    folder = workshop.folder / "growing"
    synthetic.make(3, folder)
    page = watched.open(f"{workshop.url}/#study=growing")
    expect(page.locator("#filter-says")).to_contain_text("3 of 3 trials")
    script = (
        "import sys, importlib.util as u\n"
        "from pathlib import Path; from evnas.store import Store\n"
        "s = u.spec_from_file_location('d', sys.argv[1]); d = u.module_from_spec(s)\n"
        "s.loader.exec_module(d)\n"
        "with Store.append_to(Path(sys.argv[2])) as store:\n"
        "    for r in d.records(4, seed=9, first=3): store.append(r)\n"
    )
    made = [str(ROOT / "benchmarks/dashboard.py"), str(folder / "study.db")]
    subprocess.run([sys.executable, "-c", script, *made], check=True, cwd=ROOT)
    expect(page.locator("#filter-says")).to_contain_text("7 of 7 trials")


SMALL_SWEEP = """
name: really_run
base: efficientvim_m1
rows:
  A: {}
  B: {head.fusion: none}
targets: [{device: cpu, runtime: torch, resolution: 32, batch_size: 1, budget_s: 0.1}]
"""


def test_a_real_sweep_appears_by_itself_and_grows(
    tmp_path: Path, workshop: Any, watched: Any
) -> None:
    (tmp_path / "small.yaml").write_text(SMALL_SWEEP)
    page = watched.open(workshop.url)
    command = [
        "evnas.cli",
        "sweep",
        str(tmp_path / "small.yaml"),
        "--results",
        str(workshop.folder),
    ]
    sweep = subprocess.Popen(
        [sys.executable, "-m", *command],
        stdout=subprocess.DEVNULL,
        env=os.environ | {"PATH": ""},  # no browser to draw pictures with: they take seconds
    )
    page.get_by_role("link", name="really_run").click(timeout=120_000)
    expect(page.locator("#filter-says")).to_have_text("2 of 2 trials", timeout=120_000)
    expect(page.locator("#trials tbody")).to_contain_text("6.679")  # M1 has 6,679,458 parameters
    last_speed = page.locator("#trials tbody tr").last.locator("td.number").first
    expect(last_speed).to_have_text(re.compile(r"^\d+\.\d"), timeout=120_000)
    assert sweep.wait() == 0


def test_markup_in_a_trial_s_texts_is_text(watched: Any, workshop: Any, synthetic: Any) -> None:
    evil = "<img src=x onerror=\"document.title='owned'\"><b>A</b>"
    sweep = synthetic.sweep(2) | {"title": f"<script>1</script>{evil}"}
    with Store.create(
        workshop.folder / "evil" / "study.db", sweep=sweep, environment={"a": evil}
    ) as s:
        for record in synthetic.records(2):
            s.append(replace(record, label=evil + record.label, origin=evil, error=evil))
    page = watched.open(f"{workshop.url}/#study=evil")
    expect(page.locator("#trials tbody th button").first).to_have_text(f"{evil}0")
    page.locator("#trials tbody th button").first.click()
    expect(page.locator(".side h2")).to_have_text(f"Trial {evil}0")
    page.locator("#pin-0").check()
    page.locator("#pin-1").check()
    for tab in ("compare", "curves", "search", "conditions", "front"):
        page.locator(f"#tab-{tab}").click()
        expect(page.locator("main > section")).to_be_visible()
    assert page.locator("img, main b:text-is('A')").count() == 0
    assert "owned" not in page.title().replace(evil, "")


def test_an_empty_study_says_so(served: Any, watched: Any) -> None:
    page = watched.open(f"{served.url}/#study=empty")
    expect(page.get_by_role("heading", name="The resolved sweep")).to_be_visible()
    expect(page.locator("#no-trial")).to_contain_text("No trial has ended yet.")
    assert page.locator("#tab-front").count() == 0


def test_a_chart_without_marks_says_why(page: Page) -> None:
    label = page.evaluate(
        """() => {
            const { status, label } = EV.data.text, top1 = EV.data.numbers.get('top1_percent');
            const row = status.findIndex((s, r) => s === 'diverged' && !(top1.values[r] > 0));
            return label[row];
        }"""
    )
    page.evaluate("label => EV.choose({ filter: `label:${label}` })", label)
    expect(page.locator("#filter-says")).to_have_text("1 of 400 trials")
    expect(page.locator("#front-notes")).to_contain_text(
        "No trial that passes the filter has both values"
    )


def test_a_row_s_panel_is_the_one_marked(served: Any, watched: Any) -> None:
    """A button that opens another panel marks its tab too."""
    page = watched.open(f"{served.url}/#study=made&view=conditions")
    expect(page.locator("#tab-conditions")).to_have_attribute("aria-current", "page")
    page.evaluate("EV.choose({ view: 'front' }, { push: true })")
    expect(page.locator("#tab-front")).to_have_attribute("aria-current", "page")
    expect(page.locator("#tabs [aria-current]")).to_have_count(1)


def test_in_a_narrow_window_the_trial_s_name_stays_beside_its_figures(
    served: Any, watched: Any
) -> None:
    page = watched.open(f"{served.url}/#study=made", width=700, height=844)
    name = page.locator("#trials tbody th").first
    expect(name).to_be_visible()
    scrolled = page.locator(".table .scroll")
    scrolled.evaluate("node => { node.scrollLeft = 400; }")
    assert name.bounding_box()["x"] == scrolled.bounding_box()["x"]


def test_what_may_not_be_read_is_a_row_of_its_own(synthetic: Any) -> None:
    # not below pytest's own, which nobody else may enter, as root's TMPDIR may be
    folder = Path(tempfile.mkdtemp(dir="/tmp" if os.getuid() == 0 else None))
    try:
        for name in ("good", "locked", "private"):
            synthetic.make(3, folder / name)
        Studies(folder).overview()  # what it imports may be out of reach later
        folder.chmod(0o755)
        (folder / "locked").chmod(0o000)
        (folder / "private" / "study.db").chmod(0o000)
        if os.getuid() == 0:
            os.seteuid(65534)
        rows = {row["name"]: row for row in Studies(folder).overview()}
    finally:
        if os.getuid() == 0:
            os.seteuid(0)
        (folder / "locked").chmod(0o755)
        shutil.rmtree(folder)
    assert "error" not in rows["good"]
    for name in ("locked", "private"):
        assert "must be a file that can be read" in rows[name]["error"]
        assert "damaged" not in rows[name]["error"]

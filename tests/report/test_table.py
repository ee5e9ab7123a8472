"""The table in a browser: filter, sorting, what is saved of it."""

import csv
import io
import re
import zipfile

import yaml
from playwright.sync_api import Page, expect
from reader_of_pages import filtered, rows, saved

from evnas.arch.spec import ArchSpec


def test_the_table_filters_and_says_what_it_cannot_read(page: Page) -> None:
    filtered(page, "mixers:hsm_ssd params_m<10")
    mixers = page.locator("#trials tbody tr td:nth-of-type(3)").all_inner_texts()
    assert mixers and set(mixers) == {"hsm_ssd"}
    page.fill("#filter", "beauty>3")
    expect(page.locator("#filter-says")).to_contain_text("no column is called beauty")
    page.fill("#filter", "-hsm_ssd status:diverged")
    expect(page.locator("#trials tbody tr").first).to_contain_text("diverged")
    assert "hsm_ssd" not in page.locator("#trials tbody").inner_text()


def test_the_table_sorts_both_ways(page: Page) -> None:
    page.locator("#sort-params_m").click()
    expect(page.locator("th[aria-sort=ascending]")).to_contain_text("Parameters")
    first = rows(page)[0]
    page.locator("#sort-params_m").click()
    expect(page.locator("th[aria-sort=descending]")).to_contain_text("Parameters")
    assert rows(page)[0] != first


def test_exports_hold_what_is_listed(page: Page) -> None:
    said = filtered(page, "params_m<8")
    table = list(csv.DictReader(io.StringIO(saved(page, "#save-csv"))))
    assert len(table) == said
    assert all(float(line["params_m"]) < 8 for line in table)
    assert all(float(line["top1_percent:low"] or 0) <= 100 for line in table)
    latex = saved(page, "#save-latex")
    assert latex.count(" \\\\\n") == said + 1 and "hsm\\_ssd" in latex and "\\toprule" in latex


def test_a_selection_is_saved_as_latex(page: Page) -> None:
    for row in (2, 5):
        page.locator(f"#pin-{row}").check()
    lines = saved(page, "#save-latex").splitlines()
    assert lines[0].startswith("\\begin{tabular}{lllll") and lines[-1] == "\\end{tabular}"
    body = lines[lines.index("\\midrule") + 1 : lines.index("\\bottomrule")]
    assert [line.split(" & ")[0] for line in body] == ["2", "5"]
    wide = len(lines[0].removeprefix("\\begin{tabular}{").removesuffix("}"))
    assert all(len(re.split(r"(?<!\\)&", line)) == wide for line in [lines[2], *body])
    assert "$\\pm$" in body[1] and "±" not in "".join(lines)


def test_latex_and_csv_take_no_text_for_markup(page: Page) -> None:
    page.evaluate("EV.data.text.origin[2] = '=1+1 & 50 % \\\\x_{2} \"~^#$'")
    latex = page.evaluate("EV.latex(['label', 'origin'], [2])")
    assert (
        "2 & =1+1 \\& 50 \\% \\textbackslash{}x\\_\\{2\\} "
        '"\\textasciitilde{}\\textasciicircum{}\\#\\$ \\\\'
    ) in latex
    found = list(csv.reader(io.StringIO(page.evaluate("EV.csv(['label', 'origin'], [2])"))))
    assert found[1] == ["2", "'=1+1 & 50 % \\x_{2} \"~^#$"]  # and no formula of it
    page.reload()


def test_any_column_can_be_shown(page: Page) -> None:
    page.locator("#columns").click()
    page.get_by_role("checkbox", name="Device time, s").check()
    expect(page.locator("#trials thead")).to_contain_text("Device time")
    page.get_by_role("checkbox", name="Mixer", exact=True).uncheck()
    expect(page.locator("#trials thead")).not_to_contain_text("Mixer")
    assert "cols=" in page.url


def test_the_table_carries_all_that_the_chart_shows(page: Page) -> None:
    page.locator("#trials").evaluate("() => EV.choose({ cols: EV.table.all().join('~') })")
    heads = page.locator("#trials thead th").all_inner_texts()
    choices = page.locator("#axis-x option").all_inner_texts()
    assert {text.strip() for text in choices} <= {head.strip(" ↑↓") for head in heads}
    half = page.evaluate("EV.cellWithSpread('top1_percent', 3)").split("±")[1].strip()
    expect(page.locator("#trials tbody tr[data-row='3']")).to_contain_text(f"± {half}")


def test_four_at_most_are_pinned(page: Page) -> None:
    for row in range(5):
        page.locator(f"#pin-{row}").check()
    assert page.evaluate("EV.pins()") == ["1", "2", "3", "4"]


def test_architectures_of_a_selection_come_as_yaml_in_a_zip(page: Page) -> None:
    for row in (2, 5):
        page.locator(f"#pin-{row}").check()
    with page.expect_download() as waiting:
        page.locator("#save-zip").click()
    digests = [page.evaluate(f"EV.data.text.digest[{row}]") for row in (2, 5)]
    with zipfile.ZipFile(waiting.value.path()) as found:
        assert found.testzip() is None
        assert found.namelist() == [f"2-{digests[0]}.yaml", f"5-{digests[1]}.yaml"]
        archs = [ArchSpec.from_dict(yaml.safe_load(found.read(n))) for n in found.namelist()]
    assert [arch.digest for arch in archs] == digests

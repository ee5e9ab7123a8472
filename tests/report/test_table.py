"""The table in a browser: filter, sorting, what is saved of it."""

import csv
import io
import zipfile

import yaml
from playwright.sync_api import Page, expect
from reader_of_pages import filtered, rows, saved

from evnas.space.arch import ArchSpec


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


def test_architectures_come_as_yaml_in_a_zip(page: Page) -> None:
    page.locator("#pin-2").check()
    with page.expect_download() as waiting:
        page.locator("#save-zip").click()
    with zipfile.ZipFile(waiting.value.path()) as found:
        assert found.testzip() is None
        (name,) = found.namelist()
        arch = ArchSpec.from_dict(yaml.safe_load(found.read(name)))
    assert name == f"2-{arch.digest}.yaml"

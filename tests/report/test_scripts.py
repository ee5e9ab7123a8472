"""The page's scripts: their order, and panels that come from outside."""

import base64
import gzip
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from evnas.registry import PluginError
from evnas.report.frame.study_reader import StudyReader
from evnas.report.page import assets
from evnas.report.page.html import live_page, one_file
from evnas.report.page.one_file import render_page

SCRIPTS = Path(assets.__file__).parents[1] / "static/js"
SOURCES = {str(path.relative_to(SCRIPTS)): path.read_text() for path in SCRIPTS.rglob("*.js")}

OUTSIDE = """"use strict";
EV.panel({
  name: "sizes",
  title: "Sizes",
  build(view) {
    view.node = EV.h("section", { "aria-label": "Sizes" });
    return view.node;
  },
  async refresh(view) {
    const { unit } = await EV.panelData("sizes");
    EV.put(view.node, EV.h("p", { id: "sizes" }, `${EV.plural(EV.data.n, "trial")} in ${unit}`));
  },
});
"""
"""What another package would give: a panel that draws what its Python function gave."""


def test_scripts_come_after_what_they_need() -> None:
    joined = assets.joined(
        {
            "a.js": "// needs: z.js\na;",
            "b.js": "// needs: a.js, z.js\nb;",
            "y.js": "// needs: nothing\ny;",
            "z.js": "// needs: nothing\nz;",
        }
    )
    assert re.findall(r"^\{ // (.*)$", joined, re.M) == ["y.js", "z.js", "a.js", "b.js"]
    assert joined.startswith('"use strict";\n')


@pytest.mark.parametrize(
    ("scripts", "said"),
    [
        ({"a.js": "EV.a = 1;"}, "a.js: its first line must be `// needs: ...`, got `EV.a = 1;`"),
        ({"a.js": "// needs: b.js\n"}, "a.js needs b.js, which is none of the page's scripts"),
        (
            {"a.js": "// needs: b.js\n", "b.js": "// needs: a.js\n"},
            "scripts need each other: ",
        ),
    ],
)
def test_an_order_that_cannot_be_is_refused(scripts: dict[str, str], said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        assets.joined(scripts)


def test_the_page_holds_every_script_once() -> None:
    order = re.findall(r"^\{ // (.*)$", assets.page_js(), re.M)
    assert sorted(order) == sorted(SOURCES)
    assert order[0] == "core.js"


def test_what_a_script_uses_is_made_by_one_of_them() -> None:
    code = {n: re.sub(r"^ *(//|/?\*).*$", "", text, flags=re.M) for n, text in SOURCES.items()}
    made = {
        name for text in code.values() for name in re.findall(r"\bEV\.(\w+) (?:\|\|)?= ", text)
    }
    used = {name: set(re.findall(r"\bEV\.(\w+)", text)) - made for name, text in code.items()}
    assert {name: found for name, found in used.items() if found} == {}


def test_every_panel_is_one_file_with_one_registration() -> None:
    for name, text in SOURCES.items():
        named = re.findall(r'^EV\.(?:panel|dataPanel)\(\{\n  name: "(\w+)"', text, re.M)
        assert named == ([Path(name).stem] if name.startswith("panels/") else []), name


def test_lines_are_at_most_120_characters() -> None:
    long = [
        (n, line) for n, text in SOURCES.items() for line in text.split("\n") if len(line) > 120
    ]
    assert long == []


@pytest.fixture(scope="module")
def reader(results: Path) -> Iterator[StudyReader]:
    """The study of 400 trials, read to its end."""
    found = StudyReader(results / "made")
    found.read_all()
    yield found
    found.close()


def with_panels(reader: StudyReader, folder: Path, **panels: str) -> str:
    """Address of the one-file page with panels from outside and the data of one."""
    blocks = re.findall(r'data-name="([\w-]+)">([^<]*)<', render_page(reader))
    data = {n: gzip.decompress(base64.b64decode(b)) for n, b in blocks if n != "plotly"}
    page = folder / "report.html"
    page.write_text(one_file("t", data | {"panel-sizes": b'{"unit": "millions"}'}, panels))
    return page.as_uri()


def test_a_panel_from_outside_is_a_tab_after_ours(
    reader: StudyReader, tmp_path: Path, watched: Any
) -> None:
    page = watched.open(with_panels(reader, tmp_path, sizes=OUTSIDE), offline=True)
    expect(page.locator("#tabs a").last).to_have_text("Sizes")
    expect(page.locator("#tabs a").first).to_have_text("Front")
    page.locator("#tab-sizes").click()
    expect(page.locator("#sizes")).to_have_text("400 trials in millions")
    page.locator("#tab-conditions").click()
    expect(page.locator(".command")).to_be_visible()


def test_a_panel_that_is_added_to_an_open_page_gets_its_tab(page: Any) -> None:
    page.evaluate(OUTSIDE.replace("EV.panelData", "(() => ({ unit: 'g' }))"))
    expect(page.locator("#tabs a").last).to_have_text("Sizes")
    page.evaluate("EV.panels.delete('sizes'); EV.refresh()")
    expect(page.locator("#tab-sizes")).to_have_count(0)


def test_a_panel_that_does_not_parse_leaves_the_others(
    reader: StudyReader, tmp_path: Path, watched: Any
) -> None:
    url = with_panels(reader, tmp_path, broken="EV.panel({", sizes=OUTSIDE)
    page = watched.open(url, offline=True)
    expect(page.locator("#tabs a").last).to_have_text("Sizes")
    assert any("Unexpected end of input" in said for said in watched.complaints)
    watched.complaints.clear()


@pytest.mark.parametrize(
    ("call", "said"),
    [
        ("{ name: 'front', build() {}, refresh() {} }", 'panel "front" is registered twice'),
        ("{ name: 'p', build() {} }", 'panel "p": refresh must be a function, got undefined'),
    ],
)
def test_a_registration_that_cannot_be_is_refused(page: Any, call: str, said: str) -> None:
    script = f"() => {{ try {{ EV.panel({call}); }} catch (e) {{ return e.message; }} }}"
    assert page.evaluate(script) == said


def test_a_panel_that_cannot_say_whether_it_has_anything_leaves_the_others(
    reader: StudyReader, tmp_path: Path, watched: Any
) -> None:
    lost = OUTSIDE.replace('"sizes"', '"lost"').replace(
        "build(", "available: () => EV.x.y, build("
    )
    url = with_panels(reader, tmp_path, lost=lost, sizes=OUTSIDE)
    page = watched.open(url, offline=True)
    expect(page.locator("#tabs a").last).to_have_text("Sizes")
    expect(page.locator("#tab-lost")).to_have_count(0)
    page.locator("#tab-conditions").click()
    expect(page.locator(".command")).to_be_visible()
    assert any('panel "lost": available() failed: ' in said for said in watched.complaints)
    watched.complaints.clear()


def test_the_live_page_asks_for_the_scripts_of_panels_after_its_own() -> None:
    sources = re.findall(r'<script src="([^"]*)" defer', live_page(["sizes", "a/b"]))
    assert sources == ["static/page.js", "static/panels/sizes.js", "static/panels/a%2Fb.js"]


def test_a_source_that_would_end_its_script_is_refused() -> None:
    with pytest.raises(PluginError, match="panel 'p': its JavaScript must not hold </script"):
        one_file("t", {}, {"p": "'</SCRIPT>'"})

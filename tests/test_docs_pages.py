"""Pages made from the code are current; what other pages show as code is right."""

import importlib.util
import re
import shlex
from pathlib import Path

import pytest
import yaml
from known_commands import COMMANDS

from evnas.sweep.sweep import sweep_of

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def _made() -> dict[str, str]:
    """What `scripts/write_reference.py` would write."""
    place = ROOT / "scripts" / "write_reference.py"
    spec = importlib.util.spec_from_file_location("write_reference", place)
    assert spec is not None and spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    made: dict[str, str] = script.pages()
    return made


MADE = _made()


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(), re.S)


@pytest.mark.parametrize("name", MADE)
def test_a_page_made_from_the_code_is_current(name: str) -> None:
    kept = (ROOT / "docs" / "reference" / name).read_text(encoding="utf-8")
    assert kept == MADE[name], "write it again: python scripts/write_reference.py"


def test_every_key_of_a_sweep_is_described() -> None:
    bare = [line for line in MADE["keys.md"].splitlines() if line.endswith("|  |")]
    assert bare == []


def commands(page: Path) -> list[str]:
    """Command lines of evnas in bash blocks and indented ones, without comments."""
    text = page.read_text()
    lines = [
        line for block in blocks(page, "bash") for line in block.replace("\\\n", " ").splitlines()
    ]
    lines += re.findall(r"^    ((?:\.venv/bin/)?evnas .*)$", text, re.M)
    found = (re.sub(r"\s+#.*|\s+&&.*", "", line.strip()) for line in lines)
    return [
        line.removeprefix(".venv/bin/")
        for line in found
        if re.match(r"(\.venv/bin/)?evnas ", line)
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_that_pages_show_are_known(page: Path) -> None:
    for line in commands(page):
        for called in re.split(r"\s{2,}(?=evnas )", line):  # two stand side by side
            _, name, *arguments = shlex.split(re.split(r"\s{2,}|>", called)[0])
            if name.startswith("-"):
                continue
            if name not in COMMANDS and arguments:
                name = f"{name} {arguments.pop(0)}"
            assert name in COMMANDS, line
            COMMANDS[name].make_context(name, arguments)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_sweeps_that_pages_show_are_valid(page: Path) -> None:
    if page.parent.name == "extending":
        pytest.skip("of things that the page adds; they are run by a test of their own")
    for block in blocks(page, "yaml"):
        data = yaml.safe_load(block)
        if isinstance(data, dict) and {"name", "base"} <= set(data):
            sweep_of(data, source=str(page))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_python_that_pages_show_compiles(page: Path) -> None:
    for block in blocks(page, "python"):
        compile(block, str(page), "exec")


def test_every_page_stands_in_the_site() -> None:
    said = (ROOT / "mkdocs.yml").read_text()
    pages = [str(page.relative_to(ROOT / "docs")) for page in PAGES[1:]]
    assert [page for page in pages if f": {page}\n" not in said] == []

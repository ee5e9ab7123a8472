"""Links between pages, and the modules and files that pages name, are there."""

import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)", page.read_text())
    local = [link for link in links if "://" not in link]
    assert [link for link in local if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_modules_that_are_named_exist(page: Path) -> None:
    named = set(re.findall(r"(?:from|import) (evnas(?:\.\w+)+)", page.read_text()))
    named |= set(re.findall(r'"(evnas(?:\.\w+)+):', page.read_text()))
    shown = ("evnas.search.strategies.widest", "evnas.mixers.pool")  # what pages add
    named = {name for name in named if not name.startswith(shown)}
    missing = [name for name in named if importlib.util.find_spec(name) is None]
    assert missing == []
    files = set(re.findall(r"`(evnas/[\w/]+\.py)`", page.read_text())) - {"evnas/mixers/pool.py"}
    assert [file for file in files if not (ROOT / file).exists()] == []

"""A part of a page that a command writes, between two marks that no reader sees."""

import textwrap
from pathlib import Path

WIDTH = 160
"""At which pages fold their prose."""


def section_of(page: Path, name: str) -> str:
    """What stands between the marks. Raises ValueError where they are not there."""
    _, inside, _ = _parted(page, name)
    return inside.strip() + "\n"


def write_section(page: Path, name: str, text: str) -> None:
    """Put another text between the marks."""
    before, _, after = _parted(page, name)
    page.write_text(f"{before}\n{text.strip()}\n{after}", encoding="utf-8")


def folded(text: str) -> str:
    """The same with long lines folded, but for tables, whose rows are a line each."""
    return "\n".join(
        line if line.startswith("|") else textwrap.fill(line, WIDTH, break_on_hyphens=False)
        for line in text.split("\n")
    )


def _parted(page: Path, name: str) -> tuple[str, str, str]:
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    text = page.read_text(encoding="utf-8")
    if begin not in text or end not in text:
        raise ValueError(f"{page} must hold the lines {begin} and {end}")
    before, rest = text.split(begin)
    inside, after = rest.split(end)
    return before + begin, inside, end + after

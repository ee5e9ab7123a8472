"""A part of a page that a command writes, between two marks that no reader sees."""

from pathlib import Path


def section_of(page: Path, name: str) -> str:
    """What stands between the marks. Raises ValueError where they are not there."""
    _, inside, _ = _parted(page, name)
    return inside.strip() + "\n"


def write_section(page: Path, name: str, text: str) -> None:
    """Put another text between the marks."""
    before, _, after = _parted(page, name)
    page.write_text(f"{before}\n{text.strip()}\n{after}", encoding="utf-8")


def _parted(page: Path, name: str) -> tuple[str, str, str]:
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    text = page.read_text(encoding="utf-8")
    if begin not in text or end not in text:
        raise ValueError(f"{page} must hold the lines {begin} and {end}")
    before, rest = text.split(begin)
    inside, after = rest.split(end)
    return before + begin, inside, end + after

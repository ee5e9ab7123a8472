"""Pages that are only read: words, tables and drawings, in the page's own style, one file, no
script and no request."""

import re
from collections.abc import Iterable, Sequence
from html import escape

from evnas.report.page import assets

POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
_DARK = re.compile(r':root\[data-theme="dark"\] \{(.*?)\}', re.DOTALL)


def plain_page(title: str, parts: Iterable[str]) -> str:
    """A whole document.

    Args:
        title: text.
        parts: HTML, each made by what stands below or escaped by the caller.
    """
    css = assets.text("style.css")
    dark = _DARK.search(css)
    assert dark is not None, "style.css has the colours of the dark page"
    by_system = f"@media screen and (prefers-color-scheme: dark){{:root{{{dark[1]}}}"
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{escape(title)} · evnas</title>\n"
        f"<style>{css}{by_system}html{{color-scheme:light dark}}}}</style>\n</head>\n<body>\n"
        f'<header class="top"><span class="brand">evnas</span><h1>{escape(title)}</h1></header>\n'
        f'<main id="main">{"".join(parts)}</main>\n</body>\n</html>\n'
    )


def section(heading: str, *parts: str) -> str:
    """A part of a page under its heading, which is text; parts are HTML."""
    return f"<section><h2>{escape(heading)}</h2>{''.join(parts)}</section>"


def note(text: str) -> str:
    """A paragraph of text."""
    return f'<p class="note">{escape(text)}</p>'


def listing(caption: str, heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of text; on a phone its rows are cards. The first cell of a row is its name."""
    head = "".join(f'<th scope="col" role="columnheader">{escape(name)}</th>' for name in heads)
    body = "".join(_row(heads, row) for row in rows)
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(caption)}">'
        f'<table class="cards" role="table"><caption>{escape(caption)}</caption>'
        f'<thead role="rowgroup"><tr role="row">{head}</tr></thead>'
        f'<tbody role="rowgroup">{body}</tbody></table></div>'
    )


def _row(heads: Sequence[str], row: Sequence[str]) -> str:
    first, *others = (
        f'data-head="{escape(head)}">{escape(cell)}' for head, cell in zip(heads, row, strict=True)
    )
    cells = "".join(f'<td role="cell" {cell}</td>' for cell in others)
    return f'<tr role="row"><th scope="row" role="rowheader" {first}</th>{cells}</tr>'

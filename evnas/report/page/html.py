"""The page as HTML: live, with files beside it, or as one file with everything inside."""

import base64
import gzip
import hashlib
import html
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from urllib.parse import quote

from plotly import __version__ as plotly_version

from evnas.registry import PluginError
from evnas.report.page import assets

_NONE: Mapping[str, str] = MappingProxyType({})


def live_page(panels: Iterable[str] = ()) -> str:
    """The page that the server gives: no inline script, everything from itself, by addresses
    relative to its own, since a proxy may serve it below some path.

    Args:
        panels: names of panels from outside; the server gives static/panels/<name>.js for each.
    """
    sources = [
        "static/page.js",
        *(f"static/panels/{quote(name, safe='')}.js" for name in panels),
    ]
    scripts = "\n".join(f'<script src="{source}" defer></script>' for source in sources)
    # read after the table stands; its version stands in its address, so that a browser may keep it
    plotly = f'<meta name="plotly" content="static/plotly.js?{plotly_version}">'
    return _filled(
        policy="",
        style='<link rel="stylesheet" href="static/style.css">',
        scripts=f"{scripts}\n{plotly}",
        title="evnas",
    )


def one_file(title: str, data: Mapping[str, bytes], panels: Mapping[str, str] = _NONE) -> str:
    """The page with its scripts and `data` inside; it opens from a disk, offline.

    Data and plotly.js lie in it compressed. The policy names each script by its hash, so a script
    that data could smuggle in would not run.

    Args:
        title: of the document.
        data: blocks by name, which the page reads: about, pack, cards, and
            `panel-<name>`, JSON that a panel reads by EV.panelData(name).
        panels: JavaScript of panels from outside by name; each is a script of its own after the
            page's, so that one which does not parse leaves the others whole.

    Raises:
        PluginError: a panel's source holds `</script`, which would end it within HTML.
    """
    plotly = assets.plotly_js()
    scripts = [assets.page_js(), *panels.values()]
    for name, source in panels.items():
        if "</script" in source.lower() or "<!--" in source:
            raise PluginError(
                f"panel {name!r}: its JavaScript must not hold </script or <!--, which end it "
                "within the page; write '<' + '/script' instead"
            )
    hashes = " ".join(_hash(text) for text in (plotly, *scripts))
    policy = (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
    )
    blocks = {"plotly": plotly.encode(), **data}
    embedded = "\n".join(
        f'<script type="application/gzip" data-name="{html.escape(name)}">{_packed(raw)}</script>'
        for name, raw in blocks.items()
    )
    return _filled(
        policy=f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
        style=f"<style>{assets.text('style.css')}</style>",
        scripts="\n".join([embedded, *(f"<script>{script}</script>" for script in scripts)]),
        title=html.escape(title),
    )


def _filled(*, policy: str, style: str, scripts: str, title: str) -> str:
    page = assets.text("page.html")
    for name, value in (("POLICY", policy), ("STYLE", style), ("TITLE", title)):
        page = page.replace(f"<!--{name}-->", value)
    # last, and split rather than replaced in: a script may hold any text
    before, after = page.split("<!--SCRIPTS-->")
    return before + scripts + after


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _packed(raw: bytes) -> str:
    return base64.b64encode(gzip.compress(raw, 9, mtime=0)).decode()

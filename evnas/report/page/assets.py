"""The page's own files, as they lie in the package; the server and the one file use the same."""

import functools
import importlib.resources

from plotly.offline import get_plotlyjs

SCRIPTS = (
    "core.js",
    "format.js",
    "pack.js",
    "pareto.js",
    "filter.js",
    "standing.js",
    "large.js",
    "cloud.js",
    "labels.js",
    "arch.js",
    "export.js",
    "source.js",
    "state.js",
    "plots.js",
    "frontmarks.js",
    "front.js",
    "table.js",
    "why.js",
    "trial.js",
    "curves.js",
    "compare.js",
    "search.js",
    "devices.js",
    "reproduction.js",
    "conditions.js",
    "studies.js",
    "main.js",
)
"""In the order in which they are loaded."""


@functools.cache
def text(name: str) -> str:
    """One file of the page. Only names in this module are asked for."""
    return importlib.resources.files("evnas.report").joinpath(f"static/{name}").read_text("utf-8")


@functools.cache
def page_js() -> str:
    """All scripts of the page as one: a request each would cost more than it carries."""
    return "\n".join(text(f"js/{name}") for name in SCRIPTS)


@functools.cache
def plotly_js() -> str:
    """plotly.js of the installed plotly package, minified."""
    return str(get_plotlyjs())

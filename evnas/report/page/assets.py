"""The page's own files, as they lie in the package; the server and the one file use the same."""

import functools
import importlib.resources
import re
from collections.abc import Mapping
from graphlib import CycleError, TopologicalSorter
from importlib.resources.abc import Traversable

from plotly.offline import get_plotlyjs

_NEEDS = re.compile(r"// needs: (nothing|[\w./]+(?:, [\w./]+)*)\n")


@functools.cache
def text(name: str) -> str:
    """One file of the page. Only names in this module are asked for."""
    return _static().joinpath(name).read_text("utf-8")


@functools.cache
def page_js() -> str:
    """All scripts of the page as one: a request each would cost more than it carries."""
    return joined(_scripts())


def joined(scripts: Mapping[str, str]) -> str:
    """Scripts as one, in the order of their needs, each in a block: its own names stay its own.

    Args:
        scripts: source by name. Its first line says which others must have run before it:
            `// needs: nothing`, or names with commas between. What a script calls later, when the
            page is open, needs no order.

    Returns:
        One strict script; scripts that do not need one another stand in the order of their names.

    Raises:
        ValueError: a script does not say what it needs, needs one that is not there, or itself.
    """
    needs = {name: _needs(name, source, scripts) for name, source in sorted(scripts.items())}
    try:
        order = _in_order(needs)
    except CycleError as error:
        raise ValueError(f"scripts need each other: {' -> '.join(error.args[1])}") from None
    blocks = [f"{{ // {name}\n{scripts[name]}}}\n" for name in order]
    return '"use strict";\n' + "".join(blocks)


@functools.cache
def plotly_js() -> str:
    """plotly.js of the installed plotly package, minified."""
    return str(get_plotlyjs())


def _needs(name: str, source: str, scripts: Mapping[str, str]) -> tuple[str, ...]:
    line = _NEEDS.match(source)
    if line is None:
        first = source.partition("\n")[0]
        raise ValueError(f"{name}: its first line must be `// needs: ...`, got `{first}`")
    needs = () if line[1] == "nothing" else tuple(line[1].split(", "))
    for other in needs:
        if other not in scripts:
            raise ValueError(f"{name} needs {other}, which is none of the page's scripts")
    return needs


def _in_order(needs: Mapping[str, tuple[str, ...]]) -> list[str]:
    sorter = TopologicalSorter(needs)
    sorter.prepare()
    order: list[str] = []
    while sorter.is_active():
        ready = sorted(sorter.get_ready())  # by name, so that the page is the same every time
        order += ready
        sorter.done(*ready)
    return order


def _scripts() -> dict[str, str]:
    folder = _static().joinpath("js")
    files = {file.name: file for file in folder.iterdir()}
    files |= {f"panels/{file.name}": file for file in folder.joinpath("panels").iterdir()}
    return {n: file.read_text("utf-8") for n, file in files.items() if n.endswith(".js")}


def _static() -> Traversable:
    return importlib.resources.files("evnas.report").joinpath("static")

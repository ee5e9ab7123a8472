"""What a request asks for, read from its query; every mistake is a sentence."""

import math

from starlette.datastructures import QueryParams

from evnas.errors import SpecError
from evnas.report.frame.snapshot import Snapshot
from evnas.report.query.view import ViewRequest, Window

LONGEST_FILTER = 1000


def parse_integer(query: QueryParams, name: str, *, default: int, least: int, most: int) -> int:
    """A whole number within bounds."""
    given = query.get(name, str(default))
    try:
        value = int(given)
    except ValueError:
        raise SpecError(f"{name} must be a whole number, got {given[:40]!r}") from None
    if not least <= value <= most:
        raise SpecError(f"{name} must be {least} to {most}, got {value}")
    return value


def parse_view_request(query: QueryParams, columns: Snapshot) -> ViewRequest:
    """A view of the study: axes `x`, `y` and `z`, `lx`, `ly`, `filter`, `range`, `lasso`, `sort`,
    `page`, and `label` for each trial that must be sent."""
    return ViewRequest(
        axes=parse_axes(query, columns),
        log=(query.get("lx") == "1", query.get("ly") == "1"),
        filter=parse_filter(query),
        window=_window(query),
        lasso=_polygon(query),
        sort=query.get("sort", "number"),
        page=parse_integer(query, "page", default=1, least=1, most=2**31),
        labels=tuple(query.getlist("label")[:8]),
    )


def parse_axes(query: QueryParams, columns: Snapshot) -> tuple[str, ...]:
    """Columns of two or three axes."""
    keys = [key for name in "xyz" if (key := query.get(name))]
    if len(keys) < 2:
        raise SpecError("x and y must name a column each")
    for key in keys:
        if key not in columns.numbers:
            raise SpecError(f"an axis must name a column of numbers, got {key[:60]!r}")
    return tuple(keys)


def parse_filter(query: QueryParams) -> str:
    """The filter, of a length that somebody may have typed."""
    line = query.get("filter", "")
    if len(line) > LONGEST_FILTER:
        raise SpecError(f"filter must have at most {LONGEST_FILTER} characters, got {len(line)}")
    return line


def _window(query: QueryParams) -> Window | None:
    if not query.get("range"):
        return None
    x0, x1, y0, y1 = _numbers(query["range"], "range", count=4)
    if not (x0 < x1 and y0 < y1):
        raise SpecError("range must be X0~X1~Y0~Y1 with X0 < X1 and Y0 < Y1")
    return x0, x1, y0, y1


def _polygon(query: QueryParams) -> tuple[tuple[float, float], ...]:
    if not query.get("lasso"):
        return ()
    corners = query["lasso"].split("_")[:2000]
    return tuple((x, y) for x, y in (_numbers(c, "lasso", count=2) for c in corners))


def _numbers(text: str, name: str, *, count: int) -> list[float]:
    try:
        found = [float(part) for part in text.split("~")]
    except ValueError:
        found = []
    if len(found) != count or not all(map(math.isfinite, found)):
        raise SpecError(f"{name} must hold {count} numbers with ~ between, got {text[:40]!r}")
    return found

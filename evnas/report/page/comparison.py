"""What `evnas compare` says, as a page: orders and their flips first, then every difference."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from evnas.report.frame.columns import describe_column
from evnas.report.page.plain_page import listing, note, plain_page, section
from evnas.stats.interval import Interval
from evnas.tables import quantity_and_target
from evnas.words import counted

Data = Mapping[str, Any]
MOST_LINES = 40
"""Rows beyond which places are not drawn: lines would hide each other."""
LINE, WIDTH, INNER, TOP = 20, 520, 150, 30
"""Pixels of the drawing of places: a row, all of it, room for labels, room for heads."""


def comparison_page(found: Data) -> str:
    """The page of `evnas.report.query.compare.compare`'s answer, one file."""
    first, *others = (study["name"] for study in found["studies"])
    title = f"{first} beside {', '.join(others)}"
    return plain_page(title, [_studies(found), *(_beside(found, first, o) for o in others)])


def _studies(found: Data) -> str:
    rows = [
        (study["name"], str(study["rows"]), str(study["complete"]), study["folder"])
        for study in found["studies"]
    ]
    alone = []
    for study in found["studies"]:
        labels = [r["label"][study["name"]] for r in found["rows"] if len(r["label"]) == 1
                  and study["name"] in r["label"]]  # fmt: skip
        if labels:
            alone.append(note(f"Only in {study['name']}: {', '.join(labels)}."))
    table = listing("Studies", ("Study", "Rows", "Complete", "Folder"), rows)
    return section("What is compared", table, *alone)


def _beside(found: Data, first: str, other: str) -> str:
    orders = found["orders"][other]
    rows = [row for row in found["rows"] if other in row["differences"]]
    if not rows:
        return section(f"{other} beside {first}", note("They have no architecture in common."))
    parts = [_orders(orders, first, other)]
    for order in orders:
        if order["flips"]:
            parts += [_places(order, first, other), _flips(order, first, other)]
    parts.append(_differences(rows, first, other))
    return section(f"{other} beside {first}", *parts)


def _orders(orders: Sequence[Data], first: str, other: str) -> str:
    heads = ("Quantity", "Rows", "Kendall's tau", "Pairs", "Turned round", "beyond both intervals")
    rows = [
        (
            quantity(order),
            f"{len(order['places'])}{_left_out(order)}",
            _tau(order["tau"]),
            str(order["pairs"]),
            str(order["flips"]),
            str(order["sure"])
            if order["flips"] <= len(order["listed"])
            else f"{order['sure']} of the {len(order['listed'])} widest",
        )
        for order in orders
    ]
    caption = f"Do {first} and {other} order their common rows alike?"
    return listing(caption, heads, rows)


def _left_out(order: Data) -> str:
    return f" ({order['left_out']} left out)" if order["left_out"] else ""


def _tau(tau: Data | None) -> str:
    return "" if tau is None else f"{tau['tau']:.2f} [{tau['low']:.2f}, {tau['high']:.2f}]"


def quantity(order: Data) -> str:
    """A quantity by its name, with both targets where they differ."""
    column = describe_column(order["quantity"])
    targets = dict.fromkeys(
        quantity_and_target(key)[1] for key in (order["quantity"], order["other_quantity"])
    )
    place = " and ".join(target for target in targets if target)
    unit = f", {column.unit}" if column.unit else ""
    return f"{column.label}{unit}{f' on {place}' if place else ''}"


def _flips(order: Data, first: str, other: str) -> str:
    heads = ("Better, then worse", f"ahead in {first} by [95 %]", f"behind in {other} by [95 %]",
             "Beyond both intervals")  # fmt: skip
    rows = [
        (
            f"{flip['better']}, {flip['worse']}",
            spelt(flip["lead"]),
            spelt(flip["lag"]),
            "yes" if flip["sure"] else "no",
        )
        for flip in order["listed"]
    ]
    return listing(f"Pairs turned round: {quantity(order)}", heads, rows)


def spelt(interval: Data | None) -> str:
    """An interval in digits."""
    if interval is None:
        return "cannot be told"
    return Interval(interval["low"], interval["mid"], interval["high"]).spelt()


def _places(order: Data, first: str, other: str) -> str:
    """A line a row from its place in the first study to that in the other."""
    places: Mapping[str, Sequence[int]] = order["places"]
    if len(places) > MOST_LINES:
        return ""
    turned = {
        label: flip["sure"]
        for flip in reversed(order["listed"])
        for label in (flip["better"], flip["worse"])
    }
    ends = [_spread([place[i] for place in places.values()]) for i in (0, 1)]
    drawn = []
    for number, (label, _) in enumerate(places.items()):
        left, right = (TOP + LINE * ends[i][number] for i in (0, 1))
        look = "sure" if turned.get(label) else "unsure" if label in turned else "kept"
        drawn.append(_line(label, left, right, look))
    height = TOP + LINE * len(places) + 10
    rows = counted(len(places), "row")
    words = f"Places of {rows} in {first} and in {other}, by {quantity(order)}"
    heads = "".join(
        f'<text x="{x}" y="14" text-anchor="{anchor}" class="head">{escape(name)}</text>'
        for x, anchor, name in ((INNER, "end", first), (WIDTH - INNER, "start", other))
    )
    return (
        f"<figure><figcaption>{escape(words)}; the best above</figcaption>"
        f'<svg class="places" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" role="img" '
        f'aria-label="{escape(words)}; the tables carry the same">{heads}{"".join(drawn)}</svg>'
        "</figure>"
    )


def _spread(places: Sequence[int]) -> list[int]:
    """Equal places one below the other, so that no label lies on another."""
    order = sorted(range(len(places)), key=lambda i: places[i])
    found = [0] * len(places)
    for row, i in enumerate(order):
        found[i] = row
    return found


def _line(label: str, left: float, right: float, look: str) -> str:
    a, b, text = INNER + 8, WIDTH - INNER - 8, escape(label)
    return (
        f'<g class="{look}"><line x1="{a}" y1="{left}" x2="{b}" y2="{right}"/>'
        f'<text x="{INNER}" y="{left + 4}" text-anchor="end">{text}</text>'
        f'<text x="{WIDTH - INNER}" y="{right + 4}">{text}</text></g>'
    )


def _differences(rows: Sequence[Data], first: str, other: str) -> str:
    heads = ("Row", "Quantity", first, other, "Difference [95 %]")
    lines = [line for row in rows for line in _cells(row, first, other)]
    return listing(f"{other} less {first}, row by row", heads, lines)


def _cells(row: Data, first: str, other: str) -> list[tuple[str, ...]]:
    label = " / ".join(dict.fromkeys((row["label"][first], row["label"][other])))
    found: list[tuple[str, ...]] = []
    status = (row["status"][first], row["status"][other])
    if status[0] != status[1]:
        found.append((label, "Status", *status, "differs"))
    for each in row["differences"][other]:
        same = {"quantity": each["quantity"], "other_quantity": each["quantity"]}
        values = (f"{each['first']:.6g}", f"{each['other']:.6g}")
        apart = each["difference"]
        said = f"cannot be compared: {each['reason']}" if apart is None else spelt(apart)
        found.append((label, quantity(same), *values, said))
    return found

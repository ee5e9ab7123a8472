"""`evnas compare`: studies side by side."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from evnas.commands.options import PageFile
from evnas.commands.output import AsJson, columns, emit, talk
from evnas.files import must_have_a_place, write_whole
from evnas.stats.interval import Interval
from evnas.words import counted


def compare(
    studies: Annotated[
        list[Path], typer.Argument(metavar="STUDY STUDY...", help="Folders under results/.")
    ],
    html: PageFile = None,
    json: AsJson = False,
) -> None:
    """Set studies side by side: how far equal rows lie apart, and which change their order.

    \b
    Examples:
      evnas compare results/table_c results/table_c_again
      evnas compare results/table_c results/table_c_gpu --html both.html
    """
    from evnas.store import Store

    if html is not None:
        must_have_a_place(html)
    for study in studies:  # a mistake does not wait for heavier packages
        Store.read(study / "study.db").close()
    from evnas.report.query.compare import compare as compared

    found = compared(studies)
    if html is not None:
        from evnas.report.page.comparison import comparison_page

        write_whole(html, comparison_page(found))
        talk(str(html))
    emit(found, _text(found), json)


def _text(found: Mapping[str, Any]) -> str:
    first, *others = (study["name"] for study in found["studies"])
    lines = [
        f"{study['name']}: {counted(study['rows'], 'row')}, {study['complete']} complete "
        f"({study['folder']})"
        for study in found["studies"]
    ]
    for name in others:
        rows = [row for row in found["rows"] if name in row["differences"]]
        lines += ["", f"{name} less {first}: {counted(len(rows), 'architecture')} in common"]
        if rows:
            cells = [cell for row in rows for cell in _cells(row, first, name)]
            head = ("row", "architecture", "quantity", first, name, "difference [95 %]")
            lines.append(columns(head, cells))
        lines += [_order(order) for order in found["orders"][name] if order["pairs"]]
    for study in found["studies"]:
        name = study["name"]
        alone = [row["label"][name] for row in found["rows"] if list(row["label"]) == [name]]
        if alone:
            lines += ["", f"only in {name}: {len(alone)} ({_shortened(alone)})"]
    return "\n".join(lines)


def _order(order: Mapping[str, Any]) -> str:
    """How a quantity orders the common rows, and the pairs that are turned round for sure."""
    tau = order["tau"]
    agree = "" if tau is None else f", tau {tau['tau']:.2f} [{tau['low']:.2f}, {tau['high']:.2f}]"
    keys = " and ".join(dict.fromkeys((order["quantity"], order["other_quantity"])))
    sure = [f"{f['better']}/{f['worse']}" for f in order["listed"] if f["sure"]]
    beyond = f" ({_shortened(sure)})" if sure else ""
    return (
        f"order by {keys}: {order['flips']} of {counted(order['pairs'], 'pair')} turned round, "
        f"{order['sure']} beyond both intervals{beyond}{agree}"
    )


def _cells(row: Mapping[str, Any], first: str, name: str) -> list[tuple[str, ...]]:
    label = " / ".join(dict.fromkeys((row["label"][first], row["label"][name])))
    found: list[tuple[str, ...]] = []
    status = (row["status"][first], row["status"][name])
    if status[0] != status[1]:
        found.append((label, row["digest"], "status", *status, "differs"))
    for each in row["differences"][name]:
        values = (f"{each['first']:.6g}", f"{each['other']:.6g}")
        found.append((label, row["digest"], each["quantity"], *values, _spelt(each)))
    return found


def _spelt(each: Mapping[str, Any]) -> str:
    apart = each["difference"]
    if apart is None:
        return f"cannot be compared: {each['reason']}"
    return Interval(apart["low"], apart["mid"], apart["high"]).spelt("+")


def _shortened(labels: list[str]) -> str:
    return ", ".join(labels if len(labels) <= 12 else [*labels[:10], "...", labels[-1]])

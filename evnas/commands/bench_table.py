"""What `evnas bench` found, as text: a table for each target, batch and resolution."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from evnas.commands.output import columns
from evnas.commands.results import missing_text
from evnas.report.table.cautions import spoilers
from evnas.stats.interval import Interval

Data = Mapping[str, Any]
"""`BenchGrid.to_dict()`."""


def text_of(data: Data) -> str:
    """Tables, each under its target and what spoiled its rounds, then what they say."""
    if data["batches_ended"]:
        blocks = [_of_batches(data, place) for place in data["batches_ended"]]
    else:
        rows = groupby(data["rows"], key=lambda row: row["target"])
        blocks = [_of_target(target, list(of), data) for target, of in rows]
    return "\n\n".join(block for block in [*blocks, missing_text(data["missing"])] if block)


def _of_target(target: str, rows: list[Data], data: Data) -> str:
    first = data["ratio_of_throughputs_to"]
    several = any(row["ratio_of_throughputs_to"] for row in rows)
    head = ["model", "latency (ms)", "images/s", "peak (MiB)", "ended"]
    if several:
        head.insert(3, f"images/s over {first}'s")
    cells = [_cells(row, several) for row in rows]
    head, cells = _with_energy(head, cells, rows)
    lines = [target, _spoiled(rows), columns(*_with_runtimes(head, cells, rows))]
    for row in rows:
        warned = _conditions(row).get("warnings", ())
        said = (*_halved(row), *warned, *row["named_protocols"])
        lines += [text if text.startswith(" ") else f"{row['name']}: {text}" for text in said]
    return "\n".join(line for line in lines if line)


def _with_energy(
    head: list[str], cells: list[list[str]], rows: Sequence[Data]
) -> tuple[list[str], list[list[str]]]:
    """A column more where the device counts its energy, before the last."""
    found = [row["values"].get("energy_mj_per_image") for row in rows]
    if not any(found):
        return head, cells
    texts = [f"{mj:.4g}" if mj else "" for mj in found]
    wider = [[*of[:-1], mj, of[-1]] for of, mj in zip(cells, texts, strict=True)]
    return [*head[:-1], "mJ/image", head[-1]], wider


def _halved(row: Data) -> tuple[str, ...]:
    """That the figures are of fewer images than the target asks for."""
    if row["batch_timed"] == row["batch_size"]:
        return ()
    return (f"timed at batch {row['batch_timed']}, since more did not fit into memory",)


def _with_runtimes(
    head: list[str], cells: list[list[str]], rows: Sequence[Data]
) -> tuple[list[str], list[list[str]]]:
    """A column more where `best` chose: which runtime each row ran in."""
    taken = [_taken(row) for row in rows]
    if not any(taken):
        return head, cells
    found = [[*of[:1], runtime, *of[1:]] for of, runtime in zip(cells, taken, strict=True)]
    return [*head[:1], "runtime", *head[1:]], found


def _taken(row: Data) -> str:
    ran = _conditions(row).get("runtime", {})
    return str(ran["name"]) if "best" in ran else ""


def _spoiled(rows: Sequence[Data]) -> str:
    conditions = [_conditions(row) for row in rows]
    said = dict.fromkeys(text for of in conditions for text in of.get("cpu", ()))
    return "\n".join(text for text in (spoilers(conditions), *said) if text)


def _conditions(row: Data) -> Data:
    found: Data = row["details"].get("conditions", {})
    return found


def _cells(row: Data, several: bool) -> list[str]:
    if row["status"] != "complete":
        reason = row["error"].strip().rpartition("\n")[2]
        return [row["name"], row["status"], "", *([""] * several), "", reason]
    conditions = row["details"]["conditions"]
    ratio = _span(row, "throughput_ratio") or "1"
    peak = row["values"].get("peak_mib")
    return [
        row["name"],
        _span(row, "latency_ms"),
        _span(row, "throughput_img_s"),
        *([ratio] if several else []),
        f"{peak:.1f}" if peak else "",
        conditions["ended"],
    ]


def _span(row: Data, quantity: str) -> str:
    i = row["intervals"].get(quantity)
    return Interval(i["low"], i["mid"], i["high"]).spelt() if i else ""


def _of_batches(data: Data, place: str) -> str:
    rows = [row for row in data["rows"] if place_of(row) == place]
    cells = [[str(row["batch_size"]), *_cells(row, False)[1:]] for row in rows]
    head = ["batch", "latency (ms)", "images/s", "peak (MiB)", "ended"]
    head, cells = _with_energy(head, cells, rows)
    table = columns(*_with_runtimes(head, cells, rows))
    done = [row for row in rows if row["status"] == "complete"]
    lines = [place, _spoiled(rows), table]
    if done:
        best = max(done, key=lambda row: row["intervals"]["throughput_img_s"]["mid"])
        rate = _span(best, "throughput_img_s")
        lines.append(f"most images a second at batch {best['batch_size']}: {rate}")
    return "\n".join(line for line in [*lines, data["batches_ended"][place]] if line)


def place_of(row: Data) -> str:
    """The key of `batches_ended` that a row belongs to."""
    parts = [part for part in row["target"].split("-") if part != f"b{row['batch_size']}"]
    return f"{row['name']} on {'-'.join(parts)}"

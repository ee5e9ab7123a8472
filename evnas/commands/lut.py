"""`evnas lut export`: the table of measured latencies as a file for other tools."""

import csv
import json as to_json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from evnas.commands.output import AsJson, emit
from evnas.errors import SpecError

HELP = "Tables of measured latencies."
SUFFIXES = (".csv", ".json")
COLUMNS = (
    *("kind", "group", "batch_size", "resolution", "latency_ms", "anchor_ms", "samples"),
    *("macs", "refused", "numbers", "arch"),
)
"""Of a CSV: `numbers` and `arch` are JSON, the latter the smallest architecture with the part."""


def export(
    out: Annotated[Path, typer.Argument(metavar="FILE", help="What is written: .csv or .json.")],
    target: Annotated[
        str,
        typer.Option(
            "--target", metavar="TARGET", help="A runtime, a device, KEY=VALUE,... or a YAML file."
        ),
    ] = "",
    json: AsJson = False,
) -> None:
    """Write the table of a target's parts and networks, in ms of a batch, as CSV or JSON.

    \b
    Examples:
      evnas lut export latencies.csv --target onnx
    """
    if out.suffix not in SUFFIXES:
        raise SpecError(f"{out}: must end in {' or '.join(SUFFIXES)}, got {out.suffix!r}")
    from evnas.commands.latency_targets import target_spec

    spec = target_spec(target)
    from evnas.latency.report import table_rows  # torch: what a mistake does not wait for

    found = table_rows(spec)
    rows: Sequence[Mapping[str, Any]] = found["entries"]
    try:
        _write(out, found, rows)
    except OSError as e:
        raise SpecError(f"{out}: must be a file that can be written, got: {e.strerror}") from None
    about = {"file": str(out), "of": found["of"], "entries": len(rows), "table": found["table"]}
    emit(about, f"{len(rows)} latencies of {found['table']} written to {out}", json)


def _write(out: Path, found: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> None:
    if out.suffix == ".json":
        out.write_text(to_json.dumps(found, indent=1) + "\n")
        return
    with out.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        for row in rows:
            spelt = {name: to_json.dumps(row[name]) for name in ("numbers", "arch")}
            writer.writerow({name: row[name] for name in COLUMNS} | spelt)

"""`evnas sweep`: run a sweep, or go on with it."""

import time
from pathlib import Path
from typing import Annotated

import typer

from evnas.commands.options import Name, Overrides, Quick, Results, Rows, SweepFile
from evnas.commands.output import AsJson, emit, terminal_width
from evnas.errors import SpecError


def sweep(
    file: SweepFile,
    overrides: Overrides = None,
    quick: Quick = False,
    name: Name = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Start over; the old study is kept aside.")
    ] = False,
    retry: Annotated[
        str | None,
        typer.Option(
            "--retry", metavar="ENDS", help="Do again what ended so: lost,timeout,oom,failed."
        ),
    ] = None,
    rows: Rows = None,
    results: Results = Path("results"),
    json: AsJson = False,
) -> None:
    """Run a sweep, or go on with it, and print its table beside the published one.

    \b
    Examples:
      evnas sweep table_c --quick
      evnas sweep mine.yaml --set proxy.epochs=4 --name longer
      evnas sweep table_c --row B --row D --set 'seeds=[0,1,2,3,4]'
    """
    began = time.monotonic()
    from evnas.record import RETRIED, ends_to_retry
    from evnas.sweep.sweep import load_sweep

    again = ends_to_retry((retry or "").split(","))
    if retry is not None and not again:
        raise SpecError(f"--retry must name ends, some of {', '.join(RETRIED)}, got {retry!r}")

    loaded = load_sweep(file, overrides=overrides or (), quick=quick, name=name)
    from evnas.running import run_and_write
    from evnas.search.stopping import stopped_by_signals

    try:
        with stopped_by_signals():
            ran = run_and_write(
                loaded, results=results, fresh=fresh, began=began, retry=again, rows=rows or ()
            )
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    from evnas.commands.fronts import cautions, front, front_text
    from evnas.report.table.formats import as_data, as_text

    folder, table = ran.folder, ran.table
    data = {
        "study": str(folder),
        "table": None if table is None else as_data(table),
        "front": front(folder),
        "warnings": cautions(folder),
        "time": ran.spent.to_dict(),
    }
    shown = (
        front_text(folder) if table is None else as_text(table, width=terminal_width())
    ) + "\n\n"
    emit(data, f"{shown}{ran.spent}\nreport: {folder / 'report.html'}", json)

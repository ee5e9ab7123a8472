"""A sweep from beginning to end: run, then written out, for the command and the Python API."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from evnas.errors import SpecError

if TYPE_CHECKING:
    from collections.abc import Collection

    from evnas.record import Status
    from evnas.report.table.ablation import AblationTable
    from evnas.search.state.study import Spent
    from evnas.sweep.sweep import Sweep


@dataclass(frozen=True, slots=True)
class Ran:
    """What a sweep left."""

    folder: Path
    table: "AblationTable | None"
    """Of an ablation; a search has none."""
    spent: "Spent"


def run_and_write(
    sweep: "Sweep",
    *,
    results: Path,
    fresh: bool,
    began: float,
    retry: "Collection[Status]" = (),
    rows: "Collection[str]" = (),
) -> Ran:
    """Run what is left of a sweep, then write its table and page.

    Args:
        results: studies' folder; the sweep's own is made inside.
        fresh: keep the old study aside and start over.
        began: `time.monotonic()` when the user asked for it.
        retry: work that ended so is done again; its records are set aside.
        rows: of a table these alone are worked on, and the reference; () is all.

    Raises:
        SpecError: with its place in the file, for what shows only on this machine.
        StoreError: the study cannot be written or continued.
        MeasurementError: a target asks for what is not here.
    """
    from evnas.search.installed import must_be_installed
    from evnas.sweep.sweep import must_have_rows

    must_have_rows(sweep, rows)  # a mistake on the command line, not in the file
    try:
        must_be_installed(sweep.spec.engine)
        from evnas.search.runner import run_sweep  # torch: seconds that a mistake does not wait

        folder = run_sweep(
            sweep, results=results, fresh=fresh, began=began, retry=retry, rows=rows
        )
    except SpecError as e:
        raise sweep.document.blame(e) from None
    from evnas.report.page.outputs import write_outputs
    from evnas.search.state.study import add_time
    from evnas.store import Store

    began = time.monotonic()
    table = write_outputs(folder).table
    with Store.append_to(folder / "study.db") as store:
        spent = add_time(store, wall_s=time.monotonic() - began)
    return Ran(folder, table, spent)

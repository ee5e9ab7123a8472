"""`evnas verify`: published figures, counted again."""

from pathlib import Path
from typing import Annotated

import typer

from evnas.commands.output import AsJson, columns, emit, talk
from evnas.errors import SpecError


def verify(
    sweeps: Annotated[
        Path | None, typer.Option("--sweeps", help="A folder of sweep files; sweeps/ where it is.")
    ] = None,
    peers: Annotated[bool, typer.Option("--peers/--no-peers", help="timm's models too.")] = True,
    json: AsJson = False,
) -> None:
    """Count every published figure we can express; exit 1 when a difference is unexplained."""
    from evnas.measure.counting.verify import verify as verified
    from evnas.sweep.sweep import load_sweep

    folder = sweeps or Path("sweeps")
    loaded = [load_sweep(path) for path in sorted(folder.glob("*.yaml"))]
    printed = [sweep for sweep in loaded if sweep.spec.published]
    if not printed:
        lacks = f"{folder} holds no sweep file that is compared with a published table"
        if sweeps is not None:
            raise SpecError(f"--sweeps must name a folder of such files, {lacks}")
        talk(f"{lacks}: rows of tables are left out, what is named in evnas itself is counted")
    checks = verified(printed, peers=peers)
    keys = ("paper", "table", "row", "model", "quantity", "printed")
    rows = [(*(getattr(c, key) for key in keys), f"{c.counted:.4g}", c.verdict) for c in checks]
    data = [
        {**{key: getattr(c, key) for key in keys}, "counted": c.counted, "verdict": c.verdict}
        for c in checks
    ]
    matching = sum(c.matches for c in checks)
    open_ones = sum(c.unexplained for c in checks)
    last = f"{matching} of {len(checks)} match, {open_ones} differ unexplained"
    emit(data, f"{columns((*keys, 'counted', 'verdict'), rows)}\n{last}", json)
    if open_ones:
        raise typer.Exit(1)

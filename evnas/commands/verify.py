"""`evnas verify`: published figures, counted again."""

from pathlib import Path
from typing import Annotated

import typer

from evnas.commands.output import AsJson, columns, emit
from evnas.errors import SpecError


def verify(
    sweeps: Annotated[
        Path | None, typer.Option("--sweeps", help="A folder of sweeps in place of evnas's own.")
    ] = None,
    peers: Annotated[bool, typer.Option("--peers/--no-peers", help="timm's models too.")] = True,
    json: AsJson = False,
) -> None:
    """Count every published figure we can express; exit 1 when a difference is unexplained.

    \b
    Examples:
      evnas verify
      evnas verify --no-peers --json
    """
    from evnas.measure.counting.verify import verify as verified
    from evnas.sweep.sweep import load_sweep

    printed = [sweep for sweep in map(load_sweep, _files(sweeps)) if sweep.spec.published]
    if not printed:
        raise SpecError(
            "--sweeps must name a folder of sweep files that are compared with a published table, "
            f"{sweeps} holds none"
        )
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


def _files(folder: Path | None) -> list[Path]:
    from evnas.sweep.shipped import shipped_sweeps

    return list(shipped_sweeps().values()) if folder is None else sorted(folder.glob("*.yaml"))

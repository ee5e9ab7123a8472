"""`evnas calibrate`: measure what predicts the latency of a search's candidates on a target."""

from pathlib import Path
from typing import Annotated, Any

import typer

from evnas.commands.output import AsJson, columns, emit, talk
from evnas.words import counted

TargetOption = Annotated[
    str,
    typer.Option(
        "--target",
        metavar="TARGET",
        help="A runtime, a device, KEY=VALUE,... or a YAML file; else the search's own first.",
    ),
]


def calibrate(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A search's YAML: its space.")],
    target: TargetOption = "",
    batch_size: Annotated[
        int | None, typer.Option("--batch-size", min=1, help="In place of the target's.")
    ] = None,
    resolution: Annotated[
        int | None, typer.Option("--resolution", min=8, help="In place of the target's, pixels.")
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(
            "--minutes", min=0, help="Begin nothing more after so long; it goes on later."
        ),
    ] = None,
    json: AsJson = False,
) -> None:
    """Measure parts and whole networks of a space, and fit a predictor of latency to them.

    \b
    Examples:
      evnas calibrate search_cpu --minutes 20
      evnas calibrate mine.yaml --target runtime=onnx,batch_size=1
    """
    from evnas.commands.latency_targets import asked_target, space_of

    sweep, space = space_of(file)
    spec = asked_target(sweep, target, batch_size=batch_size, resolution=resolution)
    from evnas.latency.report import calibrated  # torch: seconds that a mistake does not wait

    found = calibrated(sweep, space, spec, minutes=minutes, say=talk)
    emit(found, calibration_text(found), json)


def calibration_text(found: dict[str, Any]) -> str:
    """Lines for a person."""
    head = (
        f"calibration {found['id']} of {found['target']}: {counted(found['parts'], 'part')} and "
        f"{found['networks']} networks ({found['measured']} measured now in "
        f"{found['seconds'] / 60:.1f} min, {found['known']} known)"
    )
    names = {"flops": "FLOPs alone", "sum": "parts' sum alone", "both": "both: the predictor"}
    rows = [
        (
            names[name],
            f"{way['mean_error_percent']:.1f}",
            f"{way['within_10_percent']:.0f}",
            f"{way['tau']:.3f}",
            "" if way["covered_percent"] is None else f"{way['covered_percent']:.0f}",
        )
        for name, way in found["cross_validated"].items()
    ]
    table = columns(["each network left out", "error %", "within 10 %", "tau", "in 90 %"], rows)
    lines = [head, table, f"kept in {found['table']}"]
    if found["left"]:
        lines.append(f"{found['left']} were left for want of time; the same command goes on")
    lines += [f"refused: {reason}" for reason in found["refused"]]
    return "\n".join(lines)

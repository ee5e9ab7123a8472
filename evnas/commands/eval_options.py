"""Options of `evnas eval`."""

from pathlib import Path
from typing import Annotated

import typer

from evnas.tables import RUNTIMES

Images = Annotated[
    str,
    typer.Option("--data", help="A folder with val/, a folder of classes, or a named set."),
]
Checkpoints = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[CHECKPOINT...]",
        help="Trainings' folders, weights, ARCH=WEIGHTS, or .onnx files.",
    ),
]
ArchOption = Annotated[
    str | None,
    typer.Option("--arch", help="Of checkpoints that do not say it: a name or a YAML file."),
]
Official = Annotated[
    tuple[str, Path] | None,
    typer.Option("--official", metavar="NAME FILE", help="A release's weights."),
]
Sides = Annotated[
    str | None,
    typer.Option(
        "--resolution", metavar="N,N,...", help="Sides in pixels; each model's own otherwise."
    ),
]
RuntimeName = Annotated[str, typer.Option("--runtime", help=f"One of {', '.join(RUNTIMES)}.")]
BatchSize = Annotated[int, typer.Option("--batch-size", min=1)]
MostImages = Annotated[
    int | None, typer.Option("--images", min=1, help="About so many, evenly; else all.")
]
PerClass = Annotated[bool, typer.Option("--per-class", help="Top-1 of each class.")]

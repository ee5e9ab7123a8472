"""Options of `evnas bench`."""

from pathlib import Path
from typing import Annotated

import typer

from evnas import runtime
from evnas.tables import RUNTIMES

Archs = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[ARCH...]",
        help="Names of `evnas models`, arch files, timm:NAME, STUDY:TRIAL or STUDY:front.",
    ),
]
Base = Annotated[
    str | None,
    typer.Option("--base", help="What the others are timed in alternation with: goes first."),
]
Targets = Annotated[
    list[str] | None,
    typer.Option(
        "--target",
        metavar="TARGET",
        help="A runtime, a device, KEY=VALUE,... or a YAML file; may come several times.",
    ),
]
RuntimeName = Annotated[
    str | None,
    typer.Option(
        "--runtime",
        help=f"One of {', '.join(RUNTIMES)}; unless given torch, and cuda_graph of a "
        "deployed form on a GPU.",
    ),
]
Resolutions = Annotated[
    list[int] | None,
    typer.Option("--resolution", min=8, help="In pixels; may come several times."),
]
BatchSizes = Annotated[
    list[int] | None, typer.Option("--batch-size", min=1, help="May come several times.")
]
SweepBatch = Annotated[
    bool, typer.Option("--sweep-batch", help="Double the batch until throughput falls.")
]
Mode = Annotated[
    runtime.Mode,
    typer.Option("--mode", help="A call is a forward; or forward, loss and backward."),
]
Uncertainty = Annotated[
    float,
    typer.Option(
        "--uncertainty-percent", min=0.01, help="Ends when the interval reaches no further."
    ),
]
BudgetS = Annotated[float, typer.Option("--budget-s", min=0.1, help="Seconds for each, at most.")]
Protocols = Annotated[
    list[str] | None,
    typer.Option(
        "--protocol",
        metavar="NAME",
        help="Set beside ours: paper/efficientvim, paper/vmamba or timm.",
    ),
]
Figure = Annotated[Path | None, typer.Option("--figure", metavar="FILE.svg", help="Draw it.")]
Breakdown = Annotated[
    bool, typer.Option("--breakdown", help="Time by stage and kind, and what bounds it.")
]
Keep = Annotated[
    bool,
    typer.Option("--keep", help="Keep breakdowns in the studies of models STUDY:TRIAL."),
]

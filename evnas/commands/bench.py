"""`evnas bench`: how fast a model is here."""

from typing import Annotated, Literal

import typer

from evnas.commands.options import Device
from evnas.commands.output import AsJson, emit
from evnas.tables import RUNTIMES


def bench(
    arch: Annotated[str, typer.Argument(metavar="ARCH", help="An architecture, or timm:NAME.")],
    base: Annotated[
        str | None, typer.Option("--base", help="Another, timed in alternation with it.")
    ] = None,
    device: Device = "auto",
    runtime: Annotated[
        str, typer.Option("--runtime", help=f"One of {', '.join(RUNTIMES)}.")
    ] = "torch",
    resolution: Annotated[int, typer.Option("--resolution", min=8)] = 224,
    batch_size: Annotated[int | None, typer.Option("--batch-size", min=1)] = None,
    precision: Annotated[
        Literal["float32", "bfloat16", "float16"], typer.Option("--precision")
    ] = "float32",
    form: Annotated[Literal["plain", "deployed"] | None, typer.Option("--form")] = None,
    mode: Annotated[
        Literal["inference", "training"],
        typer.Option("--mode", help="A call is a forward; or forward, loss and backward."),
    ] = "inference",
    budget_s: Annotated[float, typer.Option("--budget-s", min=0.1, help="Seconds.")] = 8.0,
    json: AsJson = False,
) -> None:
    """Measure a model's throughput under the protocol of sweeps."""
    from evnas.api import bench as measured

    found = measured(
        arch,
        base=base,
        device=device,
        runtime=runtime,
        resolution=resolution,
        batch_size=batch_size or "auto",
        precision=precision,
        form=form,
        mode=mode,
        budget_s=budget_s,
    )
    emit(found.to_dict(), found.text(), json)

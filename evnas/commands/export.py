"""`evnas export`: a model as a file for other programs."""

import time
from pathlib import Path
from typing import Annotated

import typer

from evnas.commands.named import ArchNameOrFrom, From, Pick, chosen
from evnas.commands.options import Resolution
from evnas.commands.output import AsJson, emit, talk, warn_of_random_weights
from evnas.runtime import Form


def export(
    output: Annotated[Path, typer.Option("--output", "-o", help="FILE.pt2 or FILE.onnx.")],
    arch: ArchNameOrFrom = None,
    study: From = None,
    pick: Pick = None,
    weights: Annotated[
        Path | None,
        typer.Option("--weights", help="A training's, or a state dict of ours or a release."),
    ] = None,
    resolution: Resolution = None,
    batch_size: Annotated[int, typer.Option("--batch-size", min=1)] = 1,
    form: Annotated[Form, typer.Option("--form", help="deployed folds batch norms.")] = "deployed",
    dynamic_batch: Annotated[
        bool, typer.Option("--dynamic-batch", help="Take batches of any size; checked at others.")
    ] = False,
    dynamic_sides: Annotated[
        bool, typer.Option("--dynamic-sides", help="ONNX: take images of any size.")
    ] = False,
    json: AsJson = False,
) -> None:
    """Write a model as torch.export's .pt2 or as ONNX.

    \b
    Examples:
      evnas export efficientvim_m1 --output m1.onnx --weights m1.pt
    """
    found = chosen(arch, resolution, study=study, pick=pick)
    start = time.monotonic()
    from evnas.commands.exporting import as_trained, write_export

    def tell(stage: str) -> None:
        talk(f"{time.monotonic() - start:5.1f} s  {stage}")

    spec, weights, side = as_trained(found.arch, weights)
    written = write_export(
        spec,
        output,
        weights=weights,
        resolution=resolution or side or found.resolution,
        batch_size=batch_size,
        form=form,
        dynamic_batch=dynamic_batch,
        dynamic_sides=dynamic_sides,
        origin=found.picked.to_dict() if found.picked else None,
        tell=tell,
    )
    warn_of_random_weights([] if weights else [found.name])
    known = f"weights {written['weights']}"
    emit(written | found.origin, f"{output}: {written['bytes']:,} bytes, {form}, {known}", json)

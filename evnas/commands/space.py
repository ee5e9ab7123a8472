"""`evnas space`: what a search space holds."""

from typing import Annotated

import typer

from evnas.commands.options import SweepFile
from evnas.commands.output import AsJson, emit


def space(
    file: SweepFile,
    samples: Annotated[int, typer.Option("--samples", min=0)] = 10,
    seed: Annotated[int, typer.Option("--seed")] = 0,
    json: AsJson = False,
) -> None:
    """Print a search space: axes, size, valid share, samples, where the catalogue lies.

    \b
    Examples:
      evnas space search_cpu --samples 3
    """
    from evnas.errors import SpecError
    from evnas.space.space import SearchSpace
    from evnas.space.summary import report_lines, space_report
    from evnas.sweep.search_spec import SearchSpec
    from evnas.sweep.sweep import load_sweep

    sweep = load_sweep(file)
    if not isinstance(sweep.spec, SearchSpec):
        raise SpecError(f"{file}: must have a space; this is an ablation with rows")
    from evnas.search.preflight import checked

    checked(sweep)
    found = space_report(
        SearchSpace.from_spec(sweep.spec.space, sweep.base), samples=samples, seed=seed
    )
    emit(found, "\n".join(report_lines(found)), json)

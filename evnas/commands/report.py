"""`evnas report`: a study's page, written again."""

from pathlib import Path
from typing import Annotated

import typer

from evnas.commands.options import Study
from evnas.commands.output import AsJson, emit


def report(
    study: Study,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Where to write; the study's folder.")
    ] = None,
    json: AsJson = False,
) -> None:
    """Write a study's page, tables and figures again, from its store alone.

    \b
    Examples:
      evnas report results/table_c
    """
    from evnas.report.page.outputs import write_outputs

    written = write_outputs(study, output).files
    emit([str(path) for path in written], "\n".join(str(path) for path in written), json)

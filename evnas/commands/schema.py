"""`evnas schema`: the JSON schema of sweep files."""

import typer

from evnas.commands.output import as_json


def schema() -> None:
    """Print the JSON schema of sweep files, for editors' completion.

    \b
    Examples:
      evnas schema > space.schema.json
    """
    from evnas.sweep.sweep import sweep_schema

    typer.echo(as_json(sweep_schema()))

"""`evnas dashboard`: studies as live pages."""

from pathlib import Path
from typing import Annotated

import typer

from evnas.commands.output import talk


def dashboard(
    results: Annotated[Path, typer.Argument(help="A folder of studies, or one study.")] = Path(
        "results"
    ),
    host: Annotated[str, typer.Option("--host", help="Another than loopback wants a token.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option("--port", min=1, max=65535)] = 8765,
    token: Annotated[str | None, typer.Option("--token", envvar="EVNAS_TOKEN")] = None,
) -> None:
    """Serve the studies as live pages until interrupted."""
    from evnas.report.server.app import serve

    talk(f"http://{host}:{port}")
    serve(results, host=host, port=port, token=token)

"""`evnas dashboard`: studies as live pages."""

import errno
import socket
from pathlib import Path
from typing import Annotated

import typer

from evnas.commands.output import talk
from evnas.errors import SpecError


def dashboard(
    results: Annotated[Path, typer.Argument(help="A folder of studies, or one study.")] = Path(
        "results"
    ),
    host: Annotated[str, typer.Option("--host", help="Another than loopback wants a token.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option("--port", min=1, max=65535)] = 8765,
    token: Annotated[str | None, typer.Option("--token", envvar="EVNAS_TOKEN")] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option("--allow-host", help="A proxy's name, under which it answers too."),
    ] = None,
    control: Annotated[
        bool,
        typer.Option("--control", help="Let the page pause, stop, extend and annotate studies."),
    ] = False,
) -> None:
    """Serve the studies as live pages until interrupted.

    \b
    Examples:
      evnas dashboard
      evnas dashboard results/table_c --port 9000
      EVNAS_TOKEN=$(openssl rand -hex 16) evnas dashboard --allow-host lab.example.org
      evnas dashboard --control
    """
    import secrets

    from evnas.report.server.app import make_app, server_of
    from evnas.report.server.security import address_of

    made = control and token is None
    token = secrets.token_hex(16) if made else token
    app = make_app(results, host=host, token=token, allowed=allow_host or (), control=control)
    _must_be_free(host, port)
    talk(address_of(host, port, token))
    server_of(app, host=host, port=port).run()


def _must_be_free(host: str, port: int) -> None:
    """Try the port, since the server would end with a line of its own, below the address.

    Raises:
        SpecError: there is no such host, or its port is another's.
    """
    try:
        for family, kind, protocol, _, address in socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM
        ):
            with socket.socket(family, kind, protocol) as tried:
                tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                tried.bind(address)
    except socket.gaierror as e:
        raise SpecError(
            f"--host must be a name or address of this machine, got {host!r}: {e}"
        ) from e
    except OSError as e:
        if e.errno in (errno.EADDRINUSE, errno.EACCES):
            raise SpecError(
                f"--port must be free, {port} is not: {e.strerror}; name another"
            ) from e

"""The live dashboard: a page and a small JSON interface over a results folder.

It only reads, unless it was started so that studies may be controlled.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Collection
from pathlib import Path
from typing import Any

import numpy as np
import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from evnas.errors import EvnasError, SpecError, StoreError
from evnas.report.page import assets
from evnas.report.page.about import describe_study
from evnas.report.page.comparison import comparison_page
from evnas.report.page.html import live_page
from evnas.report.page.pack import pack, touched_after
from evnas.report.page.strict_json import dumps
from evnas.report.page.trial_card import describe_trial
from evnas.report.panels.table import added_scripts, compute_panel
from evnas.report.query.compare import compare
from evnas.report.query.dominance import find_dominators
from evnas.report.query.filters import apply_filter
from evnas.report.query.sorting import sort_rows
from evnas.report.query.view import GroupCache, build_view
from evnas.report.server.control import ask
from evnas.report.server.parameters import (
    parse_axes,
    parse_filter,
    parse_integer,
    parse_view_request,
)
from evnas.report.server.patience import PatientProtocol
from evnas.report.server.security import Guard, check_binding, is_loopback
from evnas.report.server.studies import Studies
from evnas.store.asked import CONTROL
from evnas.store.trainings import trainings_changed

POLL_S = 0.5
LARGEST_PAGE = 1000
LARGEST_REQUEST = 16_000
"""Bytes."""
MOST_CONNECTIONS = 200
"""At once; each open page holds one or two. The next one is told 503."""


def server_of(
    app: Starlette, *, host: str = "127.0.0.1", port: int = 0, log_level: str = "warning"
) -> uvicorn.Server:
    """A server of `app` that ends when its `should_exit` is set: open streams end with it."""
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        log_level=log_level,
        http=PatientProtocol,
        ws="none",
        limit_concurrency=MOST_CONNECTIONS,
        timeout_graceful_shutdown=5,
    )
    server = uvicorn.Server(config)
    app.state.stopping = lambda: server.should_exit
    return server


def make_app(
    results_dir: Path,
    *,
    host: str = "127.0.0.1",
    token: str | None = None,
    allowed: Collection[str] = (),
    control: bool = False,
) -> Starlette:
    """The application of a dashboard.

    Args:
        results_dir: a folder of studies, or one study's folder.
        host: another than loopback lets other machines in, and needs a token.
        token: at least 16 characters; whoever opens the page must show it.
        allowed: further names of hosts that it answers under, those of a proxy; they need a token.
        control: let the page pause, resume, stop, extend and annotate studies; on loopback, with
            a token.

    Raises:
        EvnasError: no folder there, or no token where one is needed.
    """
    check_binding(host, token, allowed, control=control)
    studies = Studies(results_dir)
    pages = _Pages(studies, control=control)

    of_a_study = {
        **{"": pages.about, "/pack": pages.pack, "/trials": pages.trials, "/view": pages.view},
        **{"/why": pages.why, "/card": pages.card, "/panels/{panel}": pages.panel},
        "/events": pages.events,
    }

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        await run_in_threadpool(studies.follow)
        yield
        await run_in_threadpool(studies.close)

    return Starlette(
        routes=[
            Route("/", pages.index),
            Route("/static/{name}", pages.static),
            Route("/static/panels/{name}.js", pages.panel_script),
            Route("/compare", pages.comparison),
            Route("/plan", pages.plan),
            Route("/api/studies", pages.studies),
            *(Route(f"/api/studies/{{study}}{path}", page) for path, page in of_a_study.items()),
            *([Route("/api/studies/{study}/control", pages.control, methods=["POST"])] * control),
        ],
        middleware=[
            Middleware(Guard, host=host, token=token, allowed=allowed, control=control),
            Middleware(GZipMiddleware, minimum_size=2000, compresslevel=1),
        ],
        exception_handlers={EvnasError: _sentence},
        lifespan=lifespan,
    )


def _sentence(request: Request, error: Exception) -> Response:
    """A user's mistake as data: 404 for what is not there, 400 for what was asked wrongly."""
    status = 400 if isinstance(error, SpecError) else 404
    return _json({"error": str(error)}, status=status)


def _json(data: object, *, status: int = 200) -> Response:
    headers = {"cache-control": "no-store"}
    return Response(dumps(data), status, headers=headers, media_type="application/json")


class _Pages:
    """The routes. Each is plain and blocking, so Starlette runs it in a thread."""

    def __init__(self, studies: Studies, *, control: bool) -> None:
        self._studies = studies
        self._control = control
        self._panel_data: dict[tuple[str, str], tuple[object, Any]] = {}
        self._standings = GroupCache()

    def index(self, request: Request) -> Response:
        return HTMLResponse(live_page(added_scripts()), headers={"cache-control": "no-cache"})

    def static(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name == "plotly.js":
            answer = _asset(
                assets.plotly_js(), "text/javascript", kept="max-age=31536000, immutable"
            )
            answer.headers.update(_encoding(request))
            return answer
        if name == "page.js":
            return _asset(assets.page_js(), "text/javascript")
        if name == "style.css":
            return _asset(assets.text(name), "text/css")
        return PlainTextResponse("not found\n", 404)

    def panel_script(self, request: Request) -> Response:
        """The JavaScript of a panel from outside."""
        script = added_scripts().get(request.path_params["name"])
        if script is None:
            return PlainTextResponse("not found\n", 404)
        return _asset(script, "text/javascript")

    def studies(self, request: Request) -> Response:
        return _json({"studies": self._studies.overview()})

    def comparison(self, request: Request) -> Response:
        """Several studies side by side, each named by `study`."""
        folders = self._studies.folders()
        asked = request.query_params.getlist("study")
        for name in asked:
            if name not in folders:
                raise StoreError(f"there is no study {name!r} here")
        page = comparison_page(compare([folders[name] for name in asked]))
        return HTMLResponse(page, headers={"cache-control": "no-store"})

    def plan(self, request: Request) -> Response:
        """What the sweep of a `study` would run, or runs."""
        page = self._studies.plan(request.query_params.get("study", ""))
        return HTMLResponse(page, headers={"cache-control": "no-store"})

    def about(self, request: Request) -> Response:
        reader = self._studies.reader(request.path_params["study"])
        reader.follow()
        return _json(describe_study(reader) | {"may_control": self._control})

    def pack(self, request: Request) -> Response:
        reader = self._studies.reader(request.path_params["study"])
        reader.follow()
        after = parse_integer(request.query_params, "after", default=0, least=0, most=2**62)
        if request.query_params.get("small") == "1" and reader.is_large():
            return Response(status_code=204)  # the page asks for views instead
        columns = reader.columns()
        return _bytes(request, pack(columns, touched_after(columns, after)))

    def view(self, request: Request) -> Response:
        """Of a large study what one view of it shows; see `parse_view_request` for the query."""
        reader = self._studies.reader(request.path_params["study"])
        reader.follow()
        columns = reader.columns()
        asked = parse_view_request(request.query_params, columns)
        stood = self._standings.of(reader, columns, asked)
        rows, view = build_view(columns, asked, stood=stood)
        return _bytes(request, pack(columns, rows, view=view))

    def why(self, request: Request) -> Response:
        """Who dominates trial `row` on the axes `x`, `y` and `z`."""
        reader = self._studies.reader(request.path_params["study"])
        columns = reader.columns()
        row = _row(request, len(columns))
        keys = parse_axes(request.query_params, columns)
        return _json(find_dominators(columns, row, keys, reader.objectives()))

    def trials(self, request: Request) -> Response:
        """A page of the table as JSON, for scripts: `offset`, `limit`, `sort` (`-KEY` falls) and
        `filter`."""
        reader = self._studies.reader(request.path_params["study"])
        reader.follow()
        query, columns = request.query_params, reader.columns()
        offset = parse_integer(query, "offset", default=0, least=0, most=2**31)
        limit = parse_integer(query, "limit", default=100, least=1, most=LARGEST_PAGE)
        kept = np.flatnonzero(apply_filter(parse_filter(query), columns))
        rows = sort_rows(columns, kept, sort=query.get("sort", "number"))
        found = columns.as_rows(rows[offset : offset + limit])
        return _json({"total": len(rows), "offset": offset, "trials": found})

    def card(self, request: Request) -> Response:
        reader = self._studies.reader(request.path_params["study"])
        row = _row(request, len(reader.frame))
        records = reader.records_of(row)
        return _json(describe_trial(records, reader.fields_of(records)))

    def panel(self, request: Request) -> Response:
        """A panel's own data: computed again when records or points of trainings are new."""
        study, name = request.path_params["study"], request.path_params["panel"]
        reader = self._studies.reader(study)
        state = (id(reader), reader.frame.last_id, trainings_changed(reader.folder))
        kept = self._panel_data.get((study, name))
        if kept is None or kept[0] != state:
            kept = self._panel_data[study, name] = (state, compute_panel(name, reader))
        return _json(kept[1])

    async def control(self, request: Request) -> Response:
        """Ask something of a study, a `Request` of `evnas.store.asked`; `said` is for people."""
        given = b""
        async for part in request.stream():
            given += part
            if len(given) > LARGEST_REQUEST:
                return _json(
                    {"error": f"a request has at most {LARGEST_REQUEST} bytes"}, status=413
                )
        name = request.path_params["study"]
        return _json({"said": await run_in_threadpool(self._ask, name, given)})

    def _ask(self, name: str, given: bytes) -> str:
        reader = self._studies.reader(name)
        try:
            raw = json.loads(given)
        except ValueError as e:  # half a text, no UTF-8, or a number of thousands of digits
            raise SpecError(f"a request must be JSON ({e})") from None
        except RecursionError:
            raise SpecError("a request must be one mapping, got lists within lists") from None
        return ask(reader, raw)

    async def events(self, request: Request) -> Response:
        """Server-sent events: how far the study is read, whenever that changes."""
        name = request.path_params["study"]
        await run_in_threadpool(self._studies.reader, name)  # a study that is not there: 404 now
        stopping = getattr(request.app.state, "stopping", lambda: False)
        stream = _changes(lambda: self._state(name), request, stopping)
        return StreamingResponse(stream, media_type="text/event-stream")

    def _state(self, name: str) -> str:
        try:
            reader = self._studies.reader(name)
            reader.follow()
            done, of = reader.progress()
        except (StoreError, OSError) as e:
            return dumps({"error": str(e)})
        beat = [reader.meta("progress"), reader.meta(CONTROL)]
        at = [None if note is None else note["at"] for note in beat]
        return dumps({"study": id(reader), "last_id": done, "of": of, "beat": str(at)})


async def _changes(
    state: Callable[[], str], request: Request, stopping: Callable[[], bool]
) -> AsyncIterator[str]:
    sent = ""
    while not (stopping() or await request.is_disconnected()):
        now = await run_in_threadpool(state)
        # a comment keeps the connection open and lets a closed one be noticed
        yield f"data: {now}\n\n" if now != sent else ": quiet\n\n"
        sent = now
        await asyncio.sleep(POLL_S)


def _asset(text: str, kind: str, *, kept: str = "no-cache") -> Response:
    return Response(text, media_type=kind, headers={"cache-control": kept})


def _bytes(request: Request, body: bytes) -> Response:
    headers = {"cache-control": "no-store"} | _encoding(request)
    return Response(body, headers=headers, media_type="application/octet-stream")


def _encoding(request: Request) -> dict[str, str]:
    """Nothing large is compressed for this machine: that takes longer than loopback does."""
    near = request.client is not None and is_loopback(request.client.host)
    return {"content-encoding": "identity"} if near else {}


def _row(request: Request, rows: int) -> int:
    row = parse_integer(request.query_params, "row", default=-1, least=0, most=2**31)
    if row >= rows:
        raise SpecError(f"row must be below {rows}, got {row}")
    return row

"""The server between a proxy, somebody who guesses, and clients that never finish."""

import asyncio
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Mount, Route
from starlette.testclient import TestClient
from starlette.types import Receive, Scope, Send

from evnas.errors import EvnasError
from evnas.report.server import patience
from evnas.report.server.app import make_app, server_of
from evnas.report.server.security import Guard, address_of, cookie_of
from evnas.report.server.wrong_tokens import MOST, MOST_ADDRESSES, WITHIN_S, WrongTokens

TOKEN = "0123456789abcdef0123456789abcdef"
NAME = "lab.example.org"


async def page(scope: Scope, receive: Receive, send: Send) -> None:
    await PlainTextResponse("shown")(scope, receive, send)


def test_a_name_that_is_allowed_is_answered_and_no_other(results: Path) -> None:
    app = make_app(results, token=TOKEN, allowed=[NAME])
    with TestClient(app, base_url=f"https://{NAME}") as client:
        assert client.get("/").status_code == 401
        welcome = client.get(f"/?token={TOKEN}", follow_redirects=False)
        assert welcome.status_code == 303 and "Secure" in welcome.headers["set-cookie"]
        assert client.get("/api/studies").status_code == 200
        for other in ("example.org", f"x{NAME}", f"{NAME}.evil.example"):
            assert client.get("/", headers={"host": other}).status_code == 400


@pytest.mark.parametrize(
    ("name", "token", "said"),
    [
        (NAME, None, "lets others in and needs --token"),
        (f"https://{NAME}", TOKEN, "without scheme and port"),
        (f"{NAME}:80", TOKEN, "without scheme and port"),
        ("*", TOKEN, "must be a host's name"),
    ],
)
def test_a_name_that_cannot_be_allowed_is_a_sentence(
    results: Path, name: str, token: str | None, said: str
) -> None:
    with pytest.raises(EvnasError, match=said):
        make_app(results, token=token, allowed=[name])


def test_below_a_path_of_a_proxy_it_is_whole(results: Path) -> None:
    """A proxy that keeps the path to itself; all addresses of the page are relative to it."""
    inner = make_app(results, token=TOKEN)

    async def kept(scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"].removeprefix("/evnas")
        await inner({**scope, "path": path, "root_path": ""}, receive, send)

    proxy = Starlette(routes=[Mount("/evnas", kept)])
    with TestClient(inner), TestClient(proxy, base_url="http://127.0.0.1") as client:
        shown = client.get(f"/evnas/?token={TOKEN}")
        assert shown.status_code == 200 and shown.url.path == "/evnas/"
        (cookie,) = client.cookies.jar
        assert cookie.path == "/evnas"  # what else the host serves does not get it
        assert shown.text.count('src="static/') and 'href="static/' in shown.text
        assert '"/static' not in shown.text and '"/api' not in shown.text
        assert client.get("/evnas/static/style.css").status_code == 200
        assert client.get("/evnas/api/studies").status_code == 200


def test_two_dashboards_of_one_host_keep_their_tokens_apart(results: Path) -> None:
    """A browser hands a host's cookies to all its ports."""
    tokens = {"http://127.0.0.1:8765": TOKEN, "http://127.0.0.1:8766": TOKEN[::-1]}
    clients = [
        TestClient(make_app(results, token=token), base_url=place)
        for place, token in tokens.items()
    ]
    with clients[0], clients[1]:
        welcomes = [
            client.get(f"/?token={token}", follow_redirects=False)
            for client, token in zip(clients, tokens.values(), strict=True)
        ]
        both = "; ".join(w.headers["set-cookie"].partition(";")[0] for w in welcomes)
        for client in clients:
            client.cookies.clear()
            assert client.get("/api/studies", headers={"cookie": both}).status_code == 200


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("127.0.0.1:8765", "evnas_token_8765"),
        ("[::1]:9000", "evnas_token_9000"),
        ("[::1]", "evnas_token"),
        ("lab.example.org", "evnas_token"),
        ("lab.example.org:x=1", "evnas_token"),
    ],
)
def test_the_cookie_is_named_after_the_port(header: str, name: str) -> None:
    assert cookie_of(header) == name


@pytest.mark.parametrize(
    ("host", "token", "address"),
    [
        ("127.0.0.1", None, "http://127.0.0.1:8765/"),
        ("10.0.0.7", "a+b/c", "http://10.0.0.7:8765/?token=a%2Bb%2Fc"),
        ("::1", None, "http://[::1]:8765/"),
    ],
)
def test_the_address_that_is_printed_opens(host: str, token: str | None, address: str) -> None:
    assert address_of(host, 8765, token) == address


def guarded(wrong: WrongTokens) -> TestClient:
    return TestClient(Guard(page, "127.0.0.1", TOKEN, wrong=wrong), base_url="http://127.0.0.1")


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def test_who_guesses_has_to_wait() -> None:
    now_s = [0.0]
    client = guarded(WrongTokens(lambda: now_s[0]))
    for guess in range(MOST):
        assert client.get("/", headers=bearer(f"guess {guess}")).status_code == 401
    for token in ("another", TOKEN):  # the answer to the right one would tell
        answer = client.get("/", headers=bearer(token))
        assert answer.status_code == 429 and answer.headers["retry-after"] == "60"
    assert client.get("/").status_code == 401  # nothing was shown
    now_s[0] += WITHIN_S + 1
    assert client.get("/", headers=bearer(TOKEN)).status_code == 200


def test_a_page_with_the_token_of_yesterday_bars_nobody() -> None:
    client = guarded(WrongTokens())
    for _ in range(5 * MOST):
        assert client.get("/", headers=bearer("of yesterday")).status_code == 401
    assert client.get("/", headers=bearer(TOKEN)).status_code == 200


def test_guesses_from_everywhere_take_no_memory() -> None:
    wrong = WrongTokens()
    for number in range(2 * MOST_ADDRESSES):
        wrong.add(f"2001:db8::{number:x}", "a guess")
    assert len(wrong._seen) == MOST_ADDRESSES


class Endless:
    """An application that streams for ever, and knows how much was taken from it."""

    def __init__(self) -> None:
        self.sent, self.ended = 0, threading.Event()
        self.app = Starlette(
            routes=[Route("/", lambda request: StreamingResponse(self._stream()))]
        )

    async def _stream(self) -> AsyncIterator[bytes]:
        try:
            while True:
                yield bytes(100_000)
                self.sent += 100_000
                await asyncio.sleep(0)  # what is sent to who has gone waits for nothing
        finally:
            self.ended.set()


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Starlette], tuple[str, int]]]:
    """Serves an application; returns where."""
    monkeypatch.setattr(patience, "LOOK_EVERY_S", 0.05)
    running: list[tuple[uvicorn.Server, threading.Thread]] = []

    def serve(app: Starlette) -> tuple[str, int]:
        server = server_of(app, log_level="critical")
        thread = threading.Thread(target=server.run)
        running.append((server, thread))
        thread.start()
        while not server.started:
            time.sleep(0.01)
        place: tuple[str, int] = server.servers[0].sockets[0].getsockname()
        return place

    yield serve
    for server, thread in running:
        server.should_exit = True
        thread.join()


@pytest.mark.parametrize("said", [b"", b"GET / HTTP/1.1\r\nhost: 127.0"], ids=["silent", "half"])
def test_a_request_that_never_comes_is_not_waited_for(
    served: Callable[[Starlette], tuple[str, int]], monkeypatch: pytest.MonkeyPatch, said: bytes
) -> None:
    monkeypatch.setattr(patience, "REQUEST_S", 0.2)
    place = served(Starlette(routes=[Mount("/", page)]))
    with socket.create_connection(place, timeout=60) as late:
        late.sendall(said)
        try:
            answer = late.recv(1)
        except ConnectionResetError:
            answer = b""
    assert answer == b""  # ended, without one


def test_a_stream_that_nobody_reads_waits_and_is_ended(
    served: Callable[[Starlette], tuple[str, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "READER_S", 0.5)
    endless = Endless()
    with socket.create_connection(served(endless.app), timeout=60) as deaf:
        deaf.sendall(b"GET / HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n")
        assert endless.ended.wait(60)
    assert 0 < endless.sent < 50e6  # what the system's own buffers hold, and not all there is


def test_a_stream_that_is_read_goes_on(
    served: Callable[[Starlette], tuple[str, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "REQUEST_S", 0.1)
    endless = Endless()
    with socket.create_connection(served(endless.app), timeout=60) as reader:
        reader.sendall(b"GET / HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n")
        until = time.monotonic() + 0.5  # longer than a request may take to come
        while time.monotonic() < until:
            assert reader.recv(1_000_000)

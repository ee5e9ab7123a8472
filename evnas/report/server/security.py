"""What stands between the dashboard and the network: host, token and headers."""

import hmac
import ipaddress
import re
from collections.abc import Collection
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs, quote, urlencode

from starlette.datastructures import MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from evnas.errors import EvnasError
from evnas.report.server.wrong_tokens import WITHIN_S, WrongTokens

COOKIE = "evnas_token"
"""Begins the cookie's name; see `cookie_of`."""
LEAST_TOKEN = 16
_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?")
POLICY = (
    "default-src 'none'; script-src 'self'; connect-src 'self'; img-src 'self' data: blob:; "
    # plotly sets styles on its elements as it draws
    "style-src 'self' 'unsafe-inline'; font-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}


def is_loopback(host: str) -> bool:
    """Whether a host names this machine alone."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def address_of(host: str, port: int, token: str | None) -> str:
    """What to open in a browser; the page keeps the token out of sight from then on."""
    place = f"[{host}]" if ":" in host else host
    return f"http://{place}:{port}/" + (f"?token={quote(token, safe='')}" if token else "")


def check_binding(
    host: str, token: str | None, allowed: Collection[str] = (), *, control: bool = False
) -> None:
    """Refuse to serve others without a token that is long enough, or to let them change any.

    Args:
        allowed: names under which a proxy serves it.
    """
    for name in allowed:
        if not _NAME.fullmatch(name):
            raise EvnasError(
                f"--allow-host must be a host's name in small letters, without scheme and port, "
                f"such as lab.example.org; got {name!r}"
            )
    if token is None and allowed:
        raise EvnasError(
            f"--allow-host {next(iter(allowed))} lets others in and needs --token; "
            "`openssl rand -hex 16` makes one"
        )
    if control and not is_loopback(host):
        raise EvnasError(
            f"--control is for this machine alone and does not go with --host {host}; an SSH "
            "tunnel to 127.0.0.1 brings the page to another"
        )
    if control and token is None:
        raise EvnasError("--control needs a token; `openssl rand -hex 16` makes one")
    if token is not None and len(token) < LEAST_TOKEN:
        raise EvnasError(
            f"the token must have at least {LEAST_TOKEN} characters, got {len(token)}; "
            "`openssl rand -hex 16` makes one"
        )
    if token is None and not is_loopback(host):
        raise EvnasError(
            f"--host {host} lets other machines in and needs --token; "
            "`openssl rand -hex 16` makes one"
        )


class Guard:
    """ASGI middleware: refuses foreign hosts, asks for the token, adds the headers."""

    def __init__(
        self,
        app: ASGIApp,
        host: str,
        token: str | None,
        allowed: Collection[str] = (),
        *,
        control: bool = False,
        wrong: WrongTokens | None = None,
    ) -> None:
        self.app = app
        self.host = host
        self.token = token
        self.allowed = frozenset(allowed)
        self.wrong = WrongTokens() if wrong is None else wrong
        self.control = control
        """Whether a study may be changed, by POST."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        refusal = self._refusal(scope)
        await (refusal or self.app)(scope, receive, _with_headers(send))

    def _refusal(self, scope: Scope) -> Response | None:
        headers = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]
        }
        if not self._knows(headers.get("host", "")):
            return PlainTextResponse("evnas answers only under its own address\n", 400)
        query = parse_qs(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        in_address = query.pop("token", [""])[0] if scope["path"] == "/" else ""
        if self._guesses(scope, [*_tokens_in(headers), in_address]):
            after = {"retry-after": f"{WITHIN_S:.0f}"}
            return PlainTextResponse("too many wrong tokens: wait a minute\n", 429, after)
        if scope["method"] not in ("GET", "HEAD"):
            return self._refusal_of_change(scope["method"], headers)
        if self.token is None:
            return None
        if self._is_token(in_address):
            return self._welcome(query, scope, headers["host"])
        if self._shows_token(headers):
            return None
        return PlainTextResponse(
            "a token is needed: open the address that `evnas dashboard` printed\n", 401
        )

    def _guesses(self, scope: Scope, shown: Collection[str]) -> bool:
        """Whether who shows these tokens has shown too many wrong ones: then the right one too
        stays without an answer, which would tell it."""
        if self.token is None or not any(shown):
            return False
        address = (scope.get("client") or ("",))[0]
        if self.wrong.is_barred(address):
            return True
        for token in filter(None, shown):
            if not self._is_token(token):
                self.wrong.add(address, token)
        return False

    def _refusal_of_change(self, method: str, headers: dict[str, str]) -> Response | None:
        """Only from a page of this very address, or by a script that shows the token itself: a
        cookie alone goes with requests that another site makes."""
        if not self.control or method != "POST":
            return PlainTextResponse("evnas only shows: GET and HEAD\n", 405)
        if not is_loopback(_host_of(headers["host"])):
            return PlainTextResponse("evnas is controlled from this machine alone\n", 403)
        if self.token is None or not self._shows_token(headers):
            return PlainTextResponse("a token is needed to change a study\n", 401)
        origin = headers.get("origin")
        own = origin in (f"http://{headers['host']}", f"https://{headers['host']}")
        by_cookie = not self._shows_token(headers | {"cookie": ""})
        if not own and (origin is not None or by_cookie):
            return PlainTextResponse("evnas is controlled from its own page\n", 403)
        kind = headers.get("content-type", "").partition(";")[0].strip()
        if kind != "application/json":
            said = f"Content-Type must be application/json, got {kind!r}\n"
            return PlainTextResponse(said, 415)
        return None

    def _welcome(self, query: dict[str, list[str]], scope: Scope, host: str) -> Response:
        """Keep the token in a cookie, and out of the address from here on.

        Both are relative, for a proxy may serve the page below a path that it keeps to itself: a
        cookie without one goes to where the page lies, and not to what else that host serves.
        """
        assert self.token is not None
        rest = urlencode(query, doseq=True)
        response = RedirectResponse(f"./?{rest}" if rest else "./", 303)
        response.set_cookie(
            cookie_of(host),
            self.token,
            path=None,
            httponly=True,
            samesite="strict",
            secure=scope.get("scheme") == "https",
        )
        return response

    def _knows(self, header: str) -> bool:
        host = _host_of(header)
        if is_loopback(host) or host == self.host or host in self.allowed:
            return True
        try:
            literal = ipaddress.ip_address(host)
        except ValueError:
            return False
        # bound to every address: its numbers are fine, names could be anyone's (DNS rebinding)
        return self.host in ("0.0.0.0", "::") and not literal.is_unspecified

    def _shows_token(self, headers: dict[str, str]) -> bool:
        return any(self._is_token(token) for token in _tokens_in(headers))

    def _is_token(self, given: str) -> bool:
        assert self.token is not None
        return hmac.compare_digest(given.encode(), self.token.encode())


def _tokens_in(headers: dict[str, str]) -> list[str]:
    """Tokens that a request's headers show: as a bearer, or in the cookie."""
    scheme, _, given = headers.get("authorization", "").partition(" ")
    found = [given.strip()] if scheme.lower() == "bearer" else []
    try:
        cookie = SimpleCookie(headers.get("cookie", ""))
    except CookieError:
        return found
    name = cookie_of(headers.get("host", ""))
    return [*found, cookie[name].value] if name in cookie else found


def cookie_of(header: str) -> str:
    """The name of the token's cookie under a Host header: browsers hand the cookies of a host to
    all its ports, and two dashboards there have a token each."""
    port = header.rpartition("]")[2].rpartition(":")[2] if ":" in header else ""
    return f"{COOKIE}_{port}" if port.isdecimal() else COOKIE


def _host_of(header: str) -> str:
    """The host of a Host header, without port and brackets."""
    if header.startswith("["):
        return header[1:].partition("]")[0]
    return header.partition(":")[0].lower()


def _with_headers(send: Send) -> Send:
    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers[name] = value
        await send(message)

    return send_with_headers

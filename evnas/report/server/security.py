"""What stands between the dashboard and the network: host, token and headers."""

import hmac
import ipaddress
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs, urlencode

from starlette.datastructures import MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from evnas.errors import EvnasError

COOKIE = "evnas_token"
LEAST_TOKEN = 16
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


def check_binding(host: str, token: str | None, *, control: bool = False) -> None:
    """Refuse to serve others without a token that is long enough, or to let them change any."""
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
        self, app: ASGIApp, host: str, token: str | None, *, control: bool = False
    ) -> None:
        self.app = app
        self.host = host
        self.token = token
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
        if scope["method"] not in ("GET", "HEAD"):
            return self._refusal_of_change(scope["method"], headers)
        if self.token is None or self._shows_token(headers):
            return None
        query = parse_qs(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        if scope["path"] == "/" and self._is_token(query.pop("token", [""])[0]):
            return self._welcome(query)
        return PlainTextResponse(
            "a token is needed: open the address that `evnas dashboard` printed\n", 401
        )

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
        if headers.get("content-type", "").partition(";")[0].strip() != "application/json":
            return PlainTextResponse("a request is JSON\n", 415)
        return None

    def _welcome(self, query: dict[str, list[str]]) -> Response:
        """Keep the token in a cookie, and out of the address from here on."""
        assert self.token is not None
        rest = urlencode(query, doseq=True)
        response = RedirectResponse(f"/?{rest}" if rest else "/", 303)
        response.set_cookie(COOKIE, self.token, httponly=True, samesite="strict")
        return response

    def _knows(self, header: str) -> bool:
        host = _host_of(header)
        if is_loopback(host) or host == self.host:
            return True
        try:
            literal = ipaddress.ip_address(host)
        except ValueError:
            return False
        # bound to every address: its numbers are fine, names could be anyone's (DNS rebinding)
        return self.host in ("0.0.0.0", "::") and not literal.is_unspecified

    def _shows_token(self, headers: dict[str, str]) -> bool:
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and self._is_token(given.strip()):
            return True
        try:
            cookie = SimpleCookie(headers.get("cookie", ""))
        except CookieError:
            return False
        return COOKIE in cookie and self._is_token(cookie[COOKIE].value)

    def _is_token(self, given: str) -> bool:
        assert self.token is not None
        return hmac.compare_digest(given.encode(), self.token.encode())


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

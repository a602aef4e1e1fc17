"""The gate in front of everything: hosts, token and cookie, origins, bodies.

References
----------
RFC 9110 7.2 (Host), RFC 6454 7 (Origin), RFC 6265bis 5.4 (SameSite).
"""

from __future__ import annotations

import asyncio
import hmac
import re
from collections.abc import Collection
from dataclasses import dataclass
from urllib.parse import parse_qs

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dfl_tf.web.answers import BODY, json_answer
from dfl_tf.web.instance import Instance

LOCAL = ("localhost", "127.0.0.1", "[::1]")
LARGEST_BODY = 1 << 20
LARGEST_HEAD = 32 << 10
BODY_SECONDS = 10.0
COOKIE_SECONDS = 90 * 86400

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' blob:; connect-src 'self'; manifest-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
"""Of every answer."""

_AUTHORITY = re.compile(r"(?P<host>\[[0-9a-f:.]+\]|[a-z0-9_.-]+)(?::(?P<port>[0-9]{1,5}))?")
_CLOSED = """<!doctype html><html lang="en"><meta charset="utf-8"><title>dfl-tf web</title>
<h1>This page needs its token</h1>
<p>Open the address that <code>dfl-tf web</code> has printed.
<code>dfl-tf web WORKSPACE --show</code> prints it again.</p></html>"""


def host_of(authority: str) -> str | None:
    """The host of ``host:port`` in lower case, without its port; None if it is no authority."""
    match = _AUTHORITY.fullmatch(authority.lower())
    return None if match is None else match["host"]


@dataclass(frozen=True)
class Access:
    """Who may do what.

    Attributes
    ----------
    instance : Instance
    hosts : collection of str
        Names under which the server may be addressed, as in URLs, in lower case; any port.
    read_only : bool
    """

    instance: Instance
    hosts: Collection[str] = LOCAL
    read_only: bool = False

    def knows_host(self, values: list[str]) -> bool:
        """Whether a request has one Host, and it is on the list."""
        return len(values) == 1 and host_of(values[0]) in self.hosts

    def knows_origin(self, values: list[str]) -> bool:
        """Whether a request has one Origin, and its host is on the list."""
        if len(values) != 1:
            return False
        scheme, separator, authority = values[0].partition("://")
        known = scheme.lower() in ("http", "https") and bool(separator)
        return known and host_of(authority) in self.hosts

    def has_cookie(self, values: list[str]) -> bool:
        """Whether one of the cookies is ours and right."""
        pairs = (pair.strip().partition("=") for value in values for pair in value.split(";"))
        right = self.instance.pass_.encode()
        given = [
            value.encode("utf-8", "replace")
            for name, _, value in pairs
            if name == self.instance.cookie
        ]
        return any([hmac.compare_digest(value, right) for value in given])

    def has_token(self, query: bytes) -> bool:
        """Whether the query of an address holds the token."""
        given = parse_qs(query.decode("latin-1"), max_num_fields=8).get("token", [])
        right = self.instance.token.encode()
        return len(given) == 1 and hmac.compare_digest(given[0].encode("utf-8", "replace"), right)


class Gate:
    """Lets requests through to the application that may pass.

    Parameters
    ----------
    app : ASGIApp
    access : Access
    largest_body : int
        Bytes.
    body_seconds : float
        Within which a body has to be there.
    """

    def __init__(
        self,
        app: ASGIApp,
        access: Access,
        *,
        largest_body: int = LARGEST_BODY,
        body_seconds: float = BODY_SECONDS,
    ) -> None:
        self._app, self._access = app, access
        self._largest, self._seconds = largest_body, body_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or hand it on."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":  # no websockets here
            return

        async def secured(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = [(k.lower().encode(), v.encode()) for k, v in HEADERS.items()]
                there = {name for name, _ in message.get("headers", ())}
                more = [(name, value) for name, value in own if name not in there]
                message = {**message, "headers": [*message.get("headers", ()), *more]}
            await send(message)

        refused = self._refused(scope)
        if refused is None and scope["method"] not in ("GET", "HEAD"):
            refused = await self._read_body(scope, receive)
        if refused is not None:
            await refused(scope, receive, secured)
            return
        await self._app(scope, self._again(scope, receive), secured)

    def _refused(self, scope: Scope) -> ASGIApp | None:
        """What is answered to a request that may not pass; None if it may."""
        access = self._access
        lines = [*scope["headers"], (scope["raw_path"], scope["query_string"])]
        if sum(len(name) + len(value) for name, value in lines) > LARGEST_HEAD:
            return _no(431, f"address and headers may have {LARGEST_HEAD} bytes together")
        if not access.knows_host(_values(scope, b"host")):
            return _no(400, "this server is not known under that host name; see --allow-host")
        root = scope["path"] in (f"{access.instance.base_url}/", access.instance.base_url or "/")
        if scope["method"] == "GET" and root and access.has_token(scope["query_string"]):
            return self._welcome
        if not access.has_cookie(_values(scope, b"cookie")):
            return _closed
        if scope["method"] in ("GET", "HEAD"):
            sizes = [*_values(scope, b"content-length"), *_values(scope, b"transfer-encoding")]
            return None if not sizes or sizes == ["0"] else _no(400, "a question has no body")
        if scope["method"] != "POST":
            return _no(405, "only GET, HEAD and POST are understood")
        if not access.knows_origin(_values(scope, b"origin")):
            return _no(403, "writes are taken from pages of this server only (Origin)")
        if _values(scope, b"sec-fetch-site") not in ([], ["same-origin"]):
            return _no(403, "writes are taken from pages of this server only (Sec-Fetch-Site)")
        if _values(scope, b"content-type") != ["application/json"]:
            return _no(415, "JSON is expected (Content-Type: application/json)")
        if access.read_only:
            return _no(403, "this server was started with --read-only")
        return None

    async def _welcome(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Set the cookie, and lead to the address without the token."""
        instance = self._access.instance
        cookie = (
            f"{instance.cookie}={instance.pass_}; Path={instance.base_url}/; "
            f"Max-Age={COOKIE_SECONDS}; HttpOnly; SameSite=Lax"
        )
        headers = {
            "Location": f"{instance.base_url}/",
            "Set-Cookie": cookie,
            "Referrer-Policy": "no-referrer",
            "Cache-Control": "no-store",
        }
        coded = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        await send(
            {
                "type": "http.response.start",
                "status": 303,
                "headers": [*coded, (b"content-length", b"0")],
            }
        )
        await send({"type": "http.response.body", "body": b""})

    async def _read_body(self, scope: Scope, receive: Receive) -> ASGIApp | None:
        """Read the body within its bounds, and keep it in the scope."""
        too_large = _no(413, f"at most {self._largest} bytes are taken")
        declared = _values(scope, b"content-length")
        if declared and (not declared[0].isdigit() or int(declared[0][:20]) > self._largest):
            return too_large
        body = bytearray()
        try:
            async with asyncio.timeout(self._seconds):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        return _nothing
                    body += message.get("body", b"")
                    if len(body) > self._largest:
                        return too_large
                    if not message.get("more_body", False):
                        break
        except TimeoutError:
            return _no(408, "the request did not arrive in time")
        scope[BODY] = bytes(body)
        return None

    @staticmethod
    def _again(scope: Scope, receive: Receive) -> Receive:
        """`receive`, beginning with the body that was read already."""
        waiting = [scope[BODY]] if BODY in scope else []

        async def again() -> Message:
            if waiting:
                return {"type": "http.request", "body": waiting.pop(), "more_body": False}
            return await receive()

        return again


def _values(scope: Scope, name: bytes) -> list[str]:
    """All values of a header."""
    return [value.decode("latin-1") for key, value in scope["headers"] if key == name]


def _no(status: int, why: str) -> ASGIApp:
    answer = json_answer({"error": why}, status)
    answer.headers["Connection"] = "close"  # what is left of a body is not waited for
    return answer


async def _closed(scope: Scope, receive: Receive, send: Send) -> None:
    body = _CLOSED.encode()
    headers = [(b"content-type", b"text/html; charset=utf-8"), (b"cache-control", b"no-store")]
    headers += [(b"content-length", str(len(body)).encode()), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": 403, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _nothing(scope: Scope, receive: Receive, send: Send) -> None:
    """Nobody is there any more."""

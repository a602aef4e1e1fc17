"""The application, and the process that serves it."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gzip
import hashlib
import logging
import mimetypes
import socket
import sys
import threading
import time
from collections.abc import AsyncIterator, Collection
from pathlib import Path

import anyio
import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route

from dfl_tf import __version__
from dfl_tf.disk.plain_file import read_plain
from dfl_tf.disk.text import printable
from dfl_tf.errors import DflTfError, UsageError
from dfl_tf.web.access import BODY_SECONDS, LOCAL, Access, Gate
from dfl_tf.web.answers import NotListed, WebError, json_answer
from dfl_tf.web.connections import BoundedProtocol
from dfl_tf.web.context import SiteContext
from dfl_tf.web.events import EventStreams
from dfl_tf.web.views import VIEWS

FIRST_PORT, PORTS = 8765, 20
"""Where a free port is looked for."""
_STATIC = Path(__file__).parent / "static"
_LOOKING_SECONDS = 1.0
_SHARE = 20
"""Of its time, looking for changes takes at most one in so many parts."""

_log = logging.getLogger(__name__)


def make_app(
    context: SiteContext, *, hosts: Collection[str] = (), body_seconds: float = BODY_SECONDS
) -> Gate:
    """The application behind its gate.

    Parameters
    ----------
    context : SiteContext
    hosts : collection of str
        Names of the server beside the local ones.
    body_seconds : float
        Within which the body of a request has to be there.
    """
    static = Static(_STATIC)

    async def events(request: Request) -> Response:
        return context.events.answer(request, lambda: {"version": __version__})

    def about(request: Request) -> Response:
        return json_answer(
            {
                "workspace": printable(context.workspace.root.resolve()),
                "version": __version__,
                "read_only": context.read_only,
                "views": [{"name": view.name, "title": view.title} for view in VIEWS],
            }
        )

    routes: list[BaseRoute] = [
        Route("/", static.page),
        Route("/static/{name:path}", static.file),
        Route("/api/about", about),
        Route("/api/events", events),
        *(Mount(f"/api/{view.name}", routes=view.routes(context)) for view in VIEWS),
    ]
    base = context.instance.base_url
    app = Starlette(
        routes=[Mount(base, routes=routes)] if base else routes,
        exception_handlers={
            DflTfError: _refused,
            HTTPException: _not_there,
            Exception: _failed,
        },
        lifespan=lambda _: _looking(context),
    )
    allowed = {*LOCAL, *(host.lower() for host in hosts)}
    access = Access(context.instance, allowed, context.read_only)
    return Gate(app, access, body_seconds=body_seconds)


def _refused(request: Request, error: Exception) -> Response:
    status = error.status if isinstance(error, WebError) else 409
    return json_answer({"error": printable(error, lines=True)}, status)


def _not_there(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 404
    return json_answer({"error": "there is no such address."}, status)


def _failed(request: Request, error: Exception) -> Response:
    return json_answer({"error": f"the server failed ({type(error).__name__})."}, 500)


@contextlib.asynccontextmanager
async def _looking(context: SiteContext) -> AsyncIterator[None]:
    """While the server runs, look for changes as long as a browser listens."""
    task = asyncio.create_task(_look(context))
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def _look(context: SiteContext) -> None:
    while True:
        started = time.monotonic()
        if context.events.listened_to:
            for look in context.looks:
                try:
                    await anyio.to_thread.run_sync(look)
                except Exception as error:  # the next look may be luckier
                    _log.warning("looking for changes failed: %s", error)
        await asyncio.sleep(max(_LOOKING_SECONDS, _SHARE * (time.monotonic() - started)))


class Static:
    """The files of the package that make the page, by their names.

    Parameters
    ----------
    folder : Path
    """

    def __init__(self, folder: Path) -> None:
        known = [*folder.iterdir(), *(folder / "views").iterdir(), *(folder / "vendor").iterdir()]
        self._files = {p.relative_to(folder).as_posix(): p for p in known if p.is_file()}
        self._packed: dict[str, bytes] = {}

    def page(self, request: Request) -> Response:
        """The page itself."""
        return self._answer(request, "index.html")

    def file(self, request: Request) -> Response:
        """One of the other files."""
        return self._answer(request, request.path_params["name"])

    def _answer(self, request: Request, name: str) -> Response:
        path = self._files.get(name)
        if path is None:
            raise NotListed("file")
        content = read_plain(path)
        key = hashlib.sha256(content).hexdigest()[:20]
        packed = "gzip" in request.headers.get("accept-encoding", "")
        tag = f'"{key}-gzip"' if packed else f'"{key}"'
        headers = {"ETag": tag, "Cache-Control": "no-cache", "Vary": "Accept-Encoding"}
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        if packed:  # through a tunnel, the page is there sooner
            if key not in self._packed:
                self._packed[key] = gzip.compress(content, 9, mtime=0)
            content = self._packed[key]
            headers["Content-Encoding"] = "gzip"
        kind = "text/javascript" if name.endswith(".js") else mimetypes.guess_type(name)[0]
        return Response(content, media_type=kind, headers=headers)


def bind(host: str, port: int | None) -> socket.socket:
    """A socket to serve on.

    Parameters
    ----------
    host : str
    port : int or None
        None looks for a free one.

    Raises
    ------
    UsageError
        It is in use, or there is no such address on this machine.
    """
    wanted = range(FIRST_PORT, FIRST_PORT + PORTS) if port is None else (port,)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for each in wanted:
        bound = socket.socket(family, socket.SOCK_STREAM)
        # Connections inherit it (asyncio sets it only where the socket was made for IPPROTO_TCP):
        # else the body of an answer waits 40 ms for the browser to acknowledge its headers.
        bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            bound.bind((host, each))
            bound.listen(128)
            return bound
        except OSError as error:
            bound.close()
            if error.errno != errno.EADDRINUSE or each == wanted[-1]:
                raise UsageError(
                    f"--host {host} --port {each}: cannot be served on ({error.strerror}). "
                    "Take another --port."
                ) from None
    raise AssertionError


class Server(uvicorn.Server):
    """Serves an application; `run(sockets=[…])` starts it.

    Parameters
    ----------
    app : Gate
    events : EventStreams
        End when the server does.
    protocol : type
    """

    def __init__(
        self,
        app: Gate,
        events: EventStreams,
        protocol: type[BoundedProtocol] = BoundedProtocol,
    ) -> None:
        self._events = events
        super().__init__(_config(app, protocol))

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End the streams, for which it would wait otherwise, then all the rest."""
        self._events.close()
        await super().shutdown(sockets)


def _config(app: Gate, protocol: type[BoundedProtocol]) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=protocol,
        ws="none",
        loop="asyncio",
        lifespan="on",
        access_log=False,
        log_config=None,
        log_level="error",
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=10,
        timeout_graceful_shutdown=1,
        h11_max_incomplete_event_size=16 << 10,
    )


def end_with_stdin(server: uvicorn.Server, *, after: float) -> None:
    """Let a server end some seconds after whoever started it is gone, which closes its stdin."""

    def wait() -> None:
        with contextlib.suppress(OSError, ValueError):
            while sys.stdin.buffer.read(1 << 10):
                pass
        time.sleep(after)
        server.should_exit = True

    threading.Thread(target=wait, name="stdin", daemon=True).start()

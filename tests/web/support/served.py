"""A server in a thread, and questions to it without a browser."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from dfl_tf.formats.sessions.workspace import Workspace
from dfl_tf.web import connections, server
from dfl_tf.web.access import BODY_SECONDS
from dfl_tf.web.context import SiteContext
from dfl_tf.web.instance import Instance

JSON = {"Content-Type": "application/json"}


@dataclass
class Answer:
    """What came back."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> object:
        """The body as JSON."""
        return json.loads(self.body)


@dataclass
class Served:
    """A server that runs, and how to ask it.

    Attributes
    ----------
    context : SiteContext
    """

    context: SiteContext

    @property
    def port(self) -> int:
        """Where it listens."""
        return self.context.instance.port

    @property
    def own(self) -> dict[str, str]:
        """Headers of a page of this server in a browser that is logged in."""
        instance = self.context.instance
        return {
            "Host": f"127.0.0.1:{self.port}",
            "Origin": f"http://127.0.0.1:{self.port}",
            "Cookie": f"{instance.cookie}={instance.pass_}",
        }

    def ask(
        self,
        path: str,
        headers: Mapping[str, str | None] | None = None,
        *,
        method: str = "GET",
        body: bytes | None = None,
        logged_in: bool = True,
    ) -> Answer:
        """Send a request; a header that is None is left out."""
        given = {**(self.own if logged_in else {"Host": self.own["Host"]}), **(headers or {})}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=300)
        try:
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            for name, value in given.items():
                if value is not None:
                    connection.putheader(name, value)
            if body is not None and "Content-Length" not in given:
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
            answer = connection.getresponse()
            return Answer(answer.status, answer.headers, answer.read())
        finally:
            connection.close()

    def post(
        self, path: str, value: object, headers: Mapping[str, str | None] | None = None
    ) -> Answer:
        """Send JSON as a page of ours does."""
        body = json.dumps(value).encode()
        return self.ask(path, {**JSON, **(headers or {})}, method="POST", body=body)

    def raw(self, data: bytes, *, seconds: float = 30.0) -> bytes:
        """Send bytes, and read until the server closes."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=seconds) as connection:
            connection.sendall(data)
            found = b""
            while chunk := connection.recv(1 << 16):
                found += chunk
            return found


@contextmanager
def serving(
    root: Path,
    *,
    hosts: tuple[str, ...] = (),
    base_url: str = "",
    read_only: bool = False,
    asking_seconds: float = connections.ASKING_SECONDS,
    body_seconds: float = BODY_SECONDS,
    instance: Instance | None = None,
) -> Iterator[Served]:
    """Serve a workspace until the end of the block; `instance`: as a server did that has ended."""
    bound = server.bind("127.0.0.1", 0 if instance is None else instance.port)
    if instance is None:
        instance = replace(Instance.new(), port=bound.getsockname()[1], base_url=base_url)
    context = SiteContext(Workspace.open(root, need=()), instance, read_only)
    app = server.make_app(context, hosts=hosts, body_seconds=body_seconds)
    patience = {"seconds": asking_seconds}
    protocol = type("PatientProtocol", (connections.BoundedProtocol,), patience)
    running = server.Server(app, context.events, protocol)
    thread = threading.Thread(target=running.run, kwargs={"sockets": [bound]}, daemon=True)
    thread.start()
    while not running.started:
        assert thread.is_alive()
        time.sleep(0.01)
    try:
        yield Served(context)
    finally:
        running.should_exit = True
        thread.join()
        bound.close()

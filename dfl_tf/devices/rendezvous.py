"""The processes of a training meet before TensorFlow connects them: it would wait without a word.

The chief listens on its own address until every worker has said its number there, then sends all
of them on at the same moment. Until then each process knows who is missing, says so, and gives up
after a stated time. One line of text each way: ``dfl_tf 1 <index> <cluster>`` from a worker;
``wait <missing>``, ``go``, ``gone <missing>`` or ``no <reason>`` from the chief.

References
----------
docs/devices.md, section "Several hosts".
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import selectors
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from dfl_tf.devices.cluster import Cluster, WorkerLost
from dfl_tf.errors import UsageError

SAY_AFTER = 10.0
"""Seconds before a process says for whom it waits."""
_GRACE = 5.0
"""Seconds more for a worker that has reached the chief, which knows who is missing."""
_TICK = 0.5
_LINE = 4096
_HELLO = re.compile(r"dfl_tf 1 (\d{1,6}) ([0-9a-f]{16})")
_NUMBERS = re.compile(r"(wait|gone) (\d{1,6}(?:,\d{1,6})*)")


def meet(cluster: Cluster, *, timeout: float, say: Callable[[str], None]) -> None:
    """Return when all processes of a cluster are there.

    Parameters
    ----------
    cluster : Cluster
    timeout : float
        Seconds to wait at most.
    say : callable
        Gets one line for people after `SAY_AFTER` seconds, and whenever the missing ones change.

    Raises
    ------
    WorkerLost
        If some are missing after `timeout`, here or in the process of the chief.
    UsageError
        If another process or program has the port of this one, or the chief refuses this worker.
    """
    waiting = _Waiting(cluster, time.monotonic() + timeout, timeout, say)
    server = _listen(cluster)
    if cluster.chief:
        with server:
            _Chief(waiting, server).gather()
    else:
        server.close()  # only tried, so that a port in use is said now and here
        _join(waiting)


@dataclass
class _Waiting:
    """For whom a process waits, what it has said about it, and until when."""

    cluster: Cluster
    deadline: float
    timeout: float
    say: Callable[[str], None]
    started: float = field(default_factory=time.monotonic)
    said: frozenset[int] = frozenset()
    told: frozenset[int] = frozenset()
    """Who is missing, as the chief says; empty before it has said anything."""

    def check(self, missing: Iterable[int], hint: str = "", grace: float = 0.0) -> None:
        """Say who is missing, if it is time to; raises `WorkerLost` after deadline and grace."""
        missing, now = frozenset(missing), time.monotonic()
        if now >= self.deadline + grace:
            raise self.lost(missing, hint)
        if missing and missing != self.said and now - self.started >= SAY_AFTER:
            self.said = missing
            left = max(1, round(self.deadline - now))
            self.say(f"waiting for {_named(self.cluster, missing)}, at most {left} s more{hint}")

    def lost(self, missing: Iterable[int], hint: str = "") -> WorkerLost:
        return WorkerLost(
            f"{_named(self.cluster, missing)} did not arrive within {self.timeout:g} s "
            f"(--worker-timeout){hint}. Nothing was trained. Start the same command on every host, "
            "each with its own --worker-index, and check that the hosts reach each other at these "
            "addresses."
        )


def _named(cluster: Cluster, numbers: Iterable[int]) -> str:
    names = [
        f"{'the chief' if n == 0 else f'worker {n}'} ({cluster.addresses[n]})"
        for n in sorted(numbers)
    ]
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def _fingerprint(cluster: Cluster) -> str:
    return hashlib.sha256("\n".join(cluster.addresses).encode()).hexdigest()[:16]


def _split(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def _listen(cluster: Cluster) -> socket.socket:
    _, port = _split(cluster.addresses[cluster.index])
    both = socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if both else socket.AF_INET
    try:
        return socket.create_server(("", port), family=family, dualstack_ipv6=both, backlog=64)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UsageError(
            f"--cluster: cannot listen on port {port} for {cluster.addresses[cluster.index]}: "
            f"{reason}. Another program may have it; end that one or choose another port."
        ) from None


class _Chief:
    """Collects the workers: one connection each, kept open until all are there."""

    def __init__(self, waiting: _Waiting, server: socket.socket) -> None:
        self.waiting, self.server = waiting, server
        self.cluster = waiting.cluster
        self.there: dict[int, socket.socket] = {}
        self.unknown: dict[socket.socket, bytes] = {}
        self.selector = selectors.DefaultSelector()
        server.setblocking(False)
        self.selector.register(server, selectors.EVENT_READ)

    @property
    def missing(self) -> set[int]:
        return set(range(1, len(self.cluster.addresses))) - self.there.keys()

    def gather(self) -> None:
        try:
            while self.missing:
                for key, _ in self.selector.select(_TICK):
                    connection = key.data
                    if connection is None:
                        self._accept()
                    else:
                        self._read(connection)
                if self.missing:
                    self.waiting.check(self.missing)
                    self._tell(f"wait {_listed(self.missing)}")
            self._tell("go")
        except WorkerLost:
            self._tell(f"gone {_listed(self.missing)}")
            raise
        finally:
            for connection in [*self.there.values(), *self.unknown]:
                connection.close()
            self.selector.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            connection, _ = self.server.accept()
            connection.setblocking(False)
            self.unknown[connection] = b""
            self.selector.register(connection, selectors.EVENT_READ, connection)

    def _read(self, connection: socket.socket) -> None:
        try:
            data = connection.recv(_LINE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        numbers = [number for number, known in self.there.items() if known is connection]
        if not data:  # gone again
            for number in numbers:
                del self.there[number]
            self._drop(connection)
        elif not numbers:
            self.unknown[connection] += data
            line, end, _ = self.unknown[connection].partition(b"\n")
            if end:
                self._hello(connection, line.decode("ascii", "replace"))
            elif len(line) > _LINE:
                self._drop(connection)

    def _hello(self, connection: socket.socket, line: str) -> None:
        match = _HELLO.fullmatch(line)
        if match is None:  # another program
            self._drop(connection)
            return
        number = int(match[1])
        refused = ""
        if match[2] != _fingerprint(self.cluster):
            refused = f"its cluster is {','.join(self.cluster.addresses)}"
        elif number in self.there:
            refused = f"another process with --worker-index {number} is there"
        elif number not in self.missing:
            refused = f"it has no worker {number}"
        if refused:
            _send(connection, f"no {refused}")
            self._drop(connection)
        else:
            del self.unknown[connection]
            self.there[number] = connection

    def _drop(self, connection: socket.socket) -> None:
        self.unknown.pop(connection, None)
        self.selector.unregister(connection)
        connection.close()

    def _tell(self, line: str) -> None:
        for connection in self.there.values():
            _send(connection, line)


def _listed(numbers: Iterable[int]) -> str:
    return ",".join(map(str, sorted(numbers)))


def _send(connection: socket.socket, line: str) -> None:
    with contextlib.suppress(OSError):  # who is gone is seen at the next read
        connection.sendall(f"{line}\n".encode())


def _join(waiting: _Waiting) -> None:
    """Say to the chief that this worker is there, as often as it takes; return when it says go."""
    cluster, reason = waiting.cluster, ""
    while True:
        waiting.check([0], reason)
        try:
            with socket.create_connection(_split(cluster.addresses[0]), 2.0) as connection:
                _send(connection, f"dfl_tf 1 {cluster.index} {_fingerprint(cluster)}")
                for line in _lines(connection, waiting):
                    if line == "go":
                        return
                    _obey(line, waiting)
        except OSError as error:
            reason = f" ({error.strerror or error})"
        time.sleep(_TICK)


def _lines(connection: socket.socket, waiting: _Waiting) -> Iterator[str]:
    """Yield what the chief says, until it is gone; gives up after the deadline."""
    connection.settimeout(_TICK)
    buffer = b""
    while True:
        try:
            data = connection.recv(_LINE)
        except TimeoutError:
            hint = "" if waiting.told else " (it is there, but does not answer)"
            waiting.check(waiting.told or [0], hint, _GRACE)
            continue
        if not data or len(buffer) > _LINE:
            return
        *lines, buffer = (buffer + data).split(b"\n")
        yield from (line.decode("utf-8", "replace") for line in lines)


def _obey(line: str, waiting: _Waiting) -> None:
    if line.startswith("no "):
        raise UsageError(
            f"--cluster: the chief ({waiting.cluster.addresses[0]}) refuses worker "
            f"{waiting.cluster.index}: {line[3:]}. Start the same command on every host, each with "
            "its own --worker-index."
        )
    match = _NUMBERS.fullmatch(line)
    if match is None:
        return
    missing = [n for n in map(int, match[2].split(",")) if n < len(waiting.cluster.addresses)]
    if match[1] == "gone":
        raise waiting.lost(missing)
    waiting.told = frozenset(missing)
    waiting.check(missing, grace=_GRACE)

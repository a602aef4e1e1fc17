"""Connections in bounds: how many, and how long one may take to ask."""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.h11_impl import H11Protocol

CONNECTIONS = 200
"""Open at the same time; of more, the one that has been idle longest is closed."""
ASKING_SECONDS = 10.0
"""Within which a request has to be there, from the connection or its first byte on."""


class BoundedProtocol(H11Protocol):
    """HTTP/1.1 that closes connections on which nothing, or nothing whole, is asked."""

    limit = CONNECTIONS
    seconds = ASKING_SECONDS
    _deadline: asyncio.TimerHandle | None = None
    _idle_since = 0.0

    @property
    def asks(self) -> bool:
        """Whether a request is being answered."""
        return self.cycle is not None and not self.cycle.response_complete

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Make room if need be, and wait for a request."""
        super().connection_made(transport)
        self._idle_since = self.loop.time()
        if len(self.connections) > self.limit:
            others = (each for each in self.connections if each is not self)
            idle = [each for each in others if isinstance(each, BoundedProtocol) and not each.asks]
            oldest = min(idle, key=lambda each: each._idle_since, default=self)
            oldest.drop()
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Read, and stop waiting once a whole request is there."""
        super().data_received(data)
        self._idle_since = self.loop.time()
        if self.asks:
            self._stop_waiting()
        elif self._deadline is None:
            self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        self._stop_waiting()
        super().connection_lost(exc)

    def drop(self) -> None:
        """Close at once."""
        self.connections.discard(self)
        self.transport.abort()

    def _wait(self) -> None:
        self._stop_waiting()
        self._deadline = self.loop.call_later(self.seconds, self._give_up)

    def _give_up(self) -> None:
        self._deadline = None
        if not self.asks:
            self.drop()

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

"""The stream of events of a browser: what has changed, so that pages ask for it again.

Events say that something changed and are never the only place where it stands: who missed some
asks again, so a connection that broke loses nothing.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable, Mapping

from starlette.requests import Request
from starlette.responses import StreamingResponse

from dfl_tf.web.answers import WebError, plain_values

STREAMS = 32
"""Open at the same time: browsers, not tabs."""
_WAITING = 256
_HEARTBEAT = 15.0
RESYNC = "resync"
"""The topic that tells that events may have been missed."""


def _line(topic: str, values: Mapping[str, object]) -> bytes:
    """One event, as streams have them."""
    told = {"topic": topic, "values": plain_values(values)}
    return f"data: {json.dumps(told, allow_nan=False)}\n\n".encode("ascii")


class EventStreams:
    """Gives events to all browsers that listen.

    Parameters
    ----------
    limit : int
        Of streams.
    """

    def __init__(self, limit: int = STREAMS) -> None:
        self._limit = limit
        self._queues: set[asyncio.Queue[bytes | None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lock = threading.Lock()

    @property
    def listened_to(self) -> bool:
        """Whether any browser listens; without one nothing needs to be looked at."""
        return bool(self._queues)

    def publish(self, topic: str, values: Mapping[str, object]) -> None:
        """Tell all browsers, from any thread; dropped where nobody listens."""
        line = _line(topic, values)
        with self._lock:
            loop = self._loop
        if loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(self._give, line)

    def close(self) -> None:
        """End all streams; called in the thread of the server."""
        self._give(None)

    def _give(self, line: bytes | None) -> None:
        for queue in self._queues:
            if queue.full():  # a browser that does not read
                while not queue.empty():
                    queue.get_nowait()
                queue.put_nowait(_line(RESYNC, {}))
            queue.put_nowait(line)

    def answer(
        self, request: Request, hello: Callable[[], Mapping[str, object]]
    ) -> StreamingResponse:
        """Open a stream.

        Parameters
        ----------
        request : Request
        hello : callable
            Gives the values of the first event, ``hello``.

        Raises
        ------
        WebError
            Too many are open.
        """
        if len(self._queues) >= self._limit:
            raise WebError(f"{self._limit} browsers watch already; close one of them.", 503)
        with self._lock:
            self._loop = asyncio.get_running_loop()
        return StreamingResponse(
            self._lines(b"retry: 2000\n" + _line("hello", hello())),
            media_type="text/event-stream",
            headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
        )

    async def _lines(self, first: bytes) -> AsyncIterator[bytes]:
        queue: asyncio.Queue[bytes | None] = asyncio.Queue(_WAITING)
        self._queues.add(queue)
        try:
            yield first
            while True:
                try:
                    line = await asyncio.wait_for(queue.get(), _HEARTBEAT)
                except TimeoutError:
                    line = b": still here\n\n"
                if line is None:
                    return
                yield line
        finally:
            self._queues.discard(queue)

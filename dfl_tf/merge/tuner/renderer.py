"""The server's side of the rendering process: starts it when it is needed, and asks it."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import IO

from dfl_tf_ops.process import scratch_file

from dfl_tf.merge.tuner.messages import (
    Answer,
    Channel,
    Failed,
    Idle,
    Message,
    Open,
    Opened,
    Render,
)

_LAST_WORDS = 2000


@dataclass
class _Process:
    """One process, from its start to its end; `waiting` has what it has not answered, by number."""

    child: subprocess.Popen[bytes]
    channel: Channel
    errors: IO[bytes]
    opened: Future[Opened | Failed] = field(default_factory=Future)
    waiting: dict[int, tuple[Render, Future[Answer]]] = field(default_factory=dict)
    idle: bool = False

    def take(self, message: Message) -> None:
        """Take what it says."""
        if isinstance(message, Opened):
            self.opened.set_result(message)
        elif isinstance(message, Idle):
            self.idle = True
        elif isinstance(message, Failed) and message.number == 0:
            self.opened.set_result(message)
        elif isinstance(message, Answer) and message.number in self.waiting:
            _, future = self.waiting.pop(message.number)
            future.set_result(message)

    def last_words(self) -> str:
        """Why it ended, after it has."""
        code = self.child.wait()
        self.errors.seek(0)
        said = self.errors.read().decode(errors="replace").strip()[-_LAST_WORDS:]
        how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
        return f"The rendering process {how}.{f' It said: {said}' if said else ''}"


class Renderer:
    """A rendering process, started at the first request and again after it has ended.

    Parameters
    ----------
    command : sequence of str
        Starts the process; the number of its socket is appended.
    scene : Open
        The first message that it gets.
    """

    def __init__(self, command: Sequence[str], scene: Open):
        self._command, self._scene = list(command), scene
        self._lock = threading.RLock()
        self._process: _Process | None = None
        self._count = 0

    def open(self) -> Future[Opened | Failed]:
        """Return what there is to render, once the process has found it."""
        with self._lock:
            return self._running().opened

    def ask(self, request: Render) -> Future[Answer]:
        """Ask for an image; the number of the request is chosen here.

        The future gets `Dropped` if a newer request of its lane came before it was begun.
        """
        future: Future[Answer] = Future()
        future.set_running_or_notify_cancel()  # who does not want it any more leaves it
        with self._lock:
            self._count += 1
            self._put(replace(request, number=self._count), future)
        return future

    @property
    def process_id(self) -> int | None:
        """Of the process that runs, or None."""
        with self._lock:
            return None if self._process is None else self._process.child.pid

    def close(self) -> None:
        """End the process, in whatever it is doing."""
        with self._lock:
            process = self._process
        if process is not None:
            process.channel.close()
            process.child.kill()
            process.child.wait()

    def _put(self, request: Render, future: Future[Answer]) -> None:
        process = self._running()
        process.waiting[request.number] = request, future
        with contextlib.suppress(OSError):  # it has just ended; `_listen` sees that too
            process.channel.send(request)

    def _running(self) -> _Process:
        if self._process is None:
            self._process = self._start()
        return self._process

    def _start(self) -> _Process:
        ours, theirs = socket.socketpair()
        errors = scratch_file()
        with theirs:
            child = subprocess.Popen(
                [*self._command, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                start_new_session=True,  # Ctrl+C is for the server, which then closes the socket
            )
        process = _Process(child, Channel(ours), errors)
        with contextlib.suppress(OSError):  # it could not be started; `_listen` sees that too
            process.channel.send(self._scene)
        threading.Thread(target=self._listen, args=(process,), name="renderer", daemon=True).start()
        return process

    def _listen(self, process: _Process) -> None:
        """Take what a process says until it is gone, then answer or repeat what it left."""
        while (message := process.channel.receive()) is not None:
            with self._lock:
                process.take(message)
        process.channel.close()
        text = process.last_words()
        process.errors.close()
        with self._lock:
            if self._process is process:
                self._process = None
            left = list(process.waiting.values())
            if process.idle:
                for request, future in left:
                    self._put(request, future)
                return
        opening = process.opened.result() if process.opened.done() else None
        reason = opening.text if isinstance(opening, Failed) else text
        if opening is None:
            process.opened.set_result(Failed(0, text))
        for request, future in left:
            future.set_result(Failed(request.number, reason))

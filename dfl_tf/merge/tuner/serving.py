"""The process that renders: one thread listens, one works; only the newest request counts."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Protocol, TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from dfl_tf.errors import DflTfError
from dfl_tf.imaging import encode_image
from dfl_tf.merge.tuner.messages import (
    Channel,
    Dropped,
    Failed,
    Idle,
    Open,
    Opened,
    Render,
    Rendered,
    View,
)
from dfl_tf.options import Layer, MergeOptions, resolve

S = TypeVar("S")
log = logging.getLogger(__name__)

IDLE_SECONDS = 300.0
_QUALITY = 85


class Scene(Protocol):
    """What is rendered (`dfl_tf.merge.tuner.stage.Stage`)."""

    def view(
        self, index: int, settings: MergeOptions, view: View, asking: Callable[[], object]
    ) -> npt.NDArray[np.uint8]:
        """Draw a frame, shape (h, w, 3), uint8, BGR."""


OpenScene = Callable[[Mapping[str, object]], tuple[Scene, Opened]]
"""From what `Open` says to the scene, and the answer about it."""


class _Mailbox:
    """Requests that wait: one a lane, in the order in which they came."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[str, Render] = OrderedDict()
        self._changed = threading.Condition()

    def put(self, request: Render) -> Render | None:
        """Let a request wait; returns the older one of its lane, which waits no more."""
        with self._changed:
            older = self._waiting.pop(request.lane, None)
            self._waiting[request.lane] = request
            self._changed.notify()
        return older

    def take(self, timeout: float) -> Render | None:
        """Wait for a request; None if none came in time."""
        with self._changed:
            if not self._changed.wait_for(lambda: bool(self._waiting), timeout):
                return None
            return self._waiting.popitem(last=False)[1]


@dataclass(frozen=True)
class _Listener:
    """Reads requests, also while one is worked on."""

    channel: Channel
    mailbox: _Mailbox
    gone: Callable[[], object]

    def listen(self) -> None:
        while True:
            message = self.channel.receive()
            if message is None:
                self.gone()
                return
            if isinstance(message, Render):
                older = self.mailbox.put(message)
                if older is not None:
                    self.channel.send(Dropped(older.number))


def serve(connection: socket.socket, open_scene: OpenScene, *, idle: float = IDLE_SECONDS) -> None:
    """Render until nobody has asked for anything for a while; see `serve_answers`."""
    cv2.setNumThreads(1)  # as in a merge, of which the pixels are to be the same
    serve_answers(connection, open_scene, _answer, idle=idle)


def serve_answers(
    connection: socket.socket,
    open_scene: Callable[[Mapping[str, object]], tuple[S, Opened]],
    answer: Callable[[S, Render], Rendered | Failed],
    *,
    idle: float = IDLE_SECONDS,
) -> None:
    """Answer until nobody has asked for anything for a while.

    The process ends at once, in the middle of an answer too, when the other side is gone.

    Parameters
    ----------
    connection : socket
        To the server.
    open_scene : callable
        From what `Open` says to what is asked about, and the answer about it.
    answer : callable
        Raises nothing.
    idle : float
        Seconds without a request after which it returns.
    """
    channel = Channel(connection)
    first = channel.receive()
    if not isinstance(first, Open):
        return
    mailbox = _Mailbox()
    listener = _Listener(channel, mailbox, partial(os._exit, 0))
    threading.Thread(target=listener.listen, name="listen", daemon=True).start()
    try:
        scene, opened = open_scene(first.about)
    except Exception as error:  # whatever is wrong with a user's files
        channel.send(Failed(0, error_text(error)))
        return
    channel.send(opened)
    while (request := mailbox.take(idle)) is not None:
        channel.send(answer(scene, request))
    channel.send(Idle())


def _answer(scene: Scene, request: Render) -> Rendered | Failed:
    start = time.perf_counter()
    asked: list[bool] = []
    try:
        settings = resolve(MergeOptions, [Layer(request.values, "the page")]).options
        image = scene.view(request.frame, settings, request.view, lambda: asked.append(True))
        media_type, data = encoded(image, request.width)
    except Exception as error:  # one frame that cannot be shown ends nothing
        return Failed(request.number, error_text(error))
    milliseconds = 1000 * (time.perf_counter() - start)
    return Rendered(request.number, media_type, milliseconds, bool(asked), data)


def error_text(error: Exception) -> str:
    """What is said of an error; one of our own is logged with its place."""
    if isinstance(error, DflTfError):
        return str(error)
    log.exception("an answer failed")
    return f"{type(error).__name__}: {error}"


def encoded(image: npt.NDArray[np.uint8], width: int) -> tuple[str, bytes]:
    """Encode a view.

    Parameters
    ----------
    image : ndarray, shape (h, w, 3), uint8, BGR
    width : int
        0: as it is, without loss. Else a JPEG of at most this width.

    Returns
    -------
    str, bytes
        Media type and content.
    """
    if width == 0:
        return "image/png", encode_image(image, ".png")
    if image.shape[1] > width:
        size = (width, max(1, round(image.shape[0] * width / image.shape[1])))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return "image/jpeg", encode_image(image, ".jpg", quality=_QUALITY)

"""What a server and its rendering process say to each other, and how it goes over a socket."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import socket
import struct
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

View = Literal["before", "after", "mask", "triptych"]
VIEWS: tuple[View, ...] = get_args(View)

_HEAD = struct.Struct("!II")
_LONGEST = 1 << 28


@dataclass(frozen=True)
class Open:
    """The first message to the process: what is to be merged.

    Attributes
    ----------
    about : mapping
        Plain values; who starts the process and the process agree on them.
    """

    about: Mapping[str, object]


@dataclass(frozen=True)
class Render:
    """Ask for an image of a frame.

    Attributes
    ----------
    number : int
        Of the request; every answer names it.
    lane : str
        Of the requests of one lane that wait, only the newest is answered with an image.
    frame : int
        Counts from 0.
    values : mapping
        Options of merging; those that are missing have their defaults.
    view : {"before", "after", "mask", "triptych"}
    width : int
        0: the image as it is, as a PNG. Else a JPEG of at most this width.
    """

    number: int
    lane: str
    frame: int
    values: Mapping[str, object] = field(default_factory=dict)
    view: View = "after"
    width: int = 0


@dataclass(frozen=True)
class Opened:
    """The frames are known; models are loaded when they are first needed.

    Attributes
    ----------
    model, model_class : str
    frames : tuple of str
        Names of the files.
    faces : tuple of int
        How many are in each frame.
    lacks : mapping of str to str
        Why a network is missing, by its name: ``xseg``, ``enhancer``.
    notes : tuple of str
        What was left out.
    """

    model: str
    model_class: str
    frames: tuple[str, ...]
    faces: tuple[int, ...]
    lacks: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Rendered:
    """An image.

    Attributes
    ----------
    number : int
    media_type : str
    data : bytes
    milliseconds : float
        From when the process took up the request.
    asked : bool
        Whether a network computed something for it.
    """

    number: int
    media_type: str
    milliseconds: float
    asked: bool
    data: bytes = field(default=b"", repr=False)


@dataclass(frozen=True)
class Dropped:
    """A newer request came before this one was begun."""

    number: int


@dataclass(frozen=True)
class Failed:
    """A request (0: opening) could not be done; the text is for the user."""

    number: int
    text: str


@dataclass(frozen=True)
class Idle:
    """The last message of a process that was asked nothing for so long that it ends."""


Answer = Rendered | Dropped | Failed
Message = Open | Render | Opened | Answer | Idle
_KINDS: dict[str, type[Message]] = {
    kind.__name__: kind for kind in (Open, Render, Opened, Rendered, Dropped, Failed, Idle)
}


class Channel:
    """Messages over one end of a pair of sockets; any thread may send, one receives.

    Parameters
    ----------
    connection : socket
        Of a stream. The channel closes it.
    """

    def __init__(self, connection: socket.socket):
        self._socket = connection
        self._sending = threading.Lock()

    def send(self, message: Message) -> None:
        """Send a message whole.

        Raises
        ------
        OSError
            Nobody is there any more.
        """
        values = {f.name: getattr(message, f.name) for f in dataclasses.fields(message)}
        data = values.pop("data", b"")
        head = json.dumps([type(message).__name__, values]).encode()
        with self._sending:
            self._socket.sendall(_HEAD.pack(len(head), len(data)) + head + data)

    def receive(self) -> Message | None:
        """Wait for the next message; None when the other side is gone."""
        try:
            sizes = self._exactly(_HEAD.size)
            if sizes is None:
                return None
            head, data = (self._exactly(size) for size in _HEAD.unpack(sizes))
        except OSError:
            return None
        if head is None or data is None:
            return None
        name, values = json.loads(head)
        kind = _KINDS[name]
        for item in dataclasses.fields(kind):
            if isinstance(values.get(item.name), list):
                values[item.name] = tuple(values[item.name])
        if kind is Rendered:
            values["data"] = data
        make: Callable[..., Message] = kind
        return make(**values)

    def close(self) -> None:
        """Let the other side see that this one is gone."""
        with contextlib.suppress(OSError):  # it may be gone already
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _exactly(self, size: int) -> bytes | None:
        if size > _LONGEST:
            return None
        data = bytearray()
        while len(data) < size:
            piece = self._socket.recv(min(size - len(data), 1 << 20))
            if not piece:
                return None
            data += piece
        return bytes(data)

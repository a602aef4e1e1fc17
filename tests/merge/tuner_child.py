"""A rendering process without networks: what it draws tells what it was asked for.

    python tuner_child.py FOLDER IDLE [KIND] SOCKET

A frame whose number is the name of a file in FOLDER waits until that file is gone.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from pathlib import Path

import numpy as np

from dfl_tf.errors import WorkspaceError
from dfl_tf.merge.tuner.messages import Channel, Idle, Open, Opened
from dfl_tf.merge.tuner.serving import serve

ABOUT = Opened("new", "SAEHD", ("1.png", "2.png"), (1, 0), {"enhancer": "none given"}, ("a note",))


class Scene:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def view(self, index, settings, view, asking):
        (self.folder / f"began {index}").touch()
        while (self.folder / str(index)).exists():
            time.sleep(0.01)
        if index == 66:
            os.kill(os.getpid(), signal.SIGKILL)
        if index == 77:
            raise WorkspaceError("00077.png: cannot be read")
        if index == 88:
            raise ZeroDivisionError("what nobody expects")
        if view == "mask":
            asking()
        return np.full((2, 3, 3), settings.erode_mask_modifier, np.uint8)


def open_scene(about):
    if "refuse" in about:
        raise WorkspaceError(str(about["refuse"]))
    return Scene(Path(sys.argv[1])), ABOUT


def ends_too_early(connection: socket.socket) -> None:
    """At its first start it says that it has nothing to do, though it has."""
    channel = Channel(connection)
    assert isinstance(channel.receive(), Open)
    channel.send(ABOUT)
    channel.receive()
    channel.send(Idle())


if __name__ == "__main__":
    connection = socket.socket(fileno=int(sys.argv[-1]))
    first = Path(sys.argv[1]) / "started"
    if "early" in sys.argv and not first.exists():
        first.touch()
        ends_too_early(connection)
    elif "broken" in sys.argv:
        sys.exit("no such interpreter, or the like")
    else:
        serve(connection, open_scene, idle=float(sys.argv[2]))

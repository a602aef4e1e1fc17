"""How a running training is asked for something: by signals and by request files.

References
----------
workspace.md 5 and 9; design decisions 3 and 27.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

REQUESTS = ("save", "backup", "preview", "stop")
# SIGHUP: the terminal or the connection to it is gone. It is absent on Windows.
SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)


class StopSignals:
    """While entered, SIGINT, SIGTERM and SIGHUP ask for a stop after the running iteration.

    A second SIGINT ends the process at once, without saving, with exit code 130. A SIGHUP that is
    ignored (nohup) stays ignored. Outside the main thread (where Python allows no handlers) nothing
    is installed.

    Attributes
    ----------
    received : int or None
        The first signal that came.
    """

    def __init__(self, say: Callable[[str], None] = lambda text: None) -> None:
        self.received: int | None = None
        self._say = say
        self._old: dict[int, Any] = {}

    def __enter__(self) -> StopSignals:
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                if number in SIGNALS[:2] or signal.getsignal(number) != signal.SIG_IGN:
                    self._old[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._old.items():
            signal.signal(number, handler)
        self._old.clear()

    @property
    def exit_code(self) -> int:
        """128 + the signal number: 130 for SIGINT, 143 for SIGTERM, 129 for SIGHUP."""
        return 128 + (self.received or 0)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.received is not None and number == signal.SIGINT:
            # Not SystemExit: that would wait for threads and for the save that the user gave up on.
            with contextlib.suppress(OSError):
                sys.stderr.write("\nstopped at once, without saving\n")
                sys.stderr.flush()
            os._exit(130)
        if self.received is None:
            self.received = number
            name = signal.Signals(number).name
            # Whatever happens to the message, the iteration that was interrupted goes on.
            with contextlib.suppress(Exception):
                self._say(
                    f"{name}: finishing this iteration, then saving (Ctrl-C now: stop unsaved)"
                )


class RequestFiles:
    """The files ``<model>_save.request``, ``_backup…``, ``_preview…`` and ``_stop.request``.

    A script makes one (empty) in the model folder; the trainer acts after the running iteration
    and deletes the file when it is done, so the script can wait for that. A process that obeys no
    `kinds` leaves all of them alone.
    """

    def __init__(self, folder: Path, storage_name: str, kinds: tuple[str, ...] = REQUESTS) -> None:
        self._paths = {kind: folder / f"{storage_name}_{kind}.request" for kind in kinds}

    def clear(self) -> list[str]:
        """Delete files left over from before this run and return their names."""
        stale = [path for path in self._paths.values() if path.exists()]
        for path in stale:
            path.unlink(missing_ok=True)
        return [path.name for path in stale]

    def pending(self) -> frozenset[str]:
        """The kinds that are asked for now."""
        return frozenset(kind for kind, path in self._paths.items() if path.exists())

    def done(self, kinds: frozenset[str]) -> None:
        """Delete the files of these requests."""
        for kind in kinds & self._paths.keys():
            self._paths[kind].unlink(missing_ok=True)

"""How a running training is asked for something: by signals and by sources of requests.

References
----------
workspace.md 5 and 9; design decisions 3 and 27.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Literal, Protocol, get_args

from dfl_tf_ops.library_messages import stderr_fd

from dfl_tf.disk import durable
from dfl_tf.disk.plain_file import read_plain
from dfl_tf.errors import DflTfError
from dfl_tf.formats.models.snapshots import check_snapshot_name
from dfl_tf.options import Layer
from dfl_tf.options.yaml_file import read_layer
from dfl_tf.train.snapshots import Wanted

Kind = Literal["save", "backup", "snapshot", "preview", "stop", "options"]
UNCHANGED_SECONDS = 0.1
"""Seconds for which a file of options has to stay as it is before it is read."""
# SIGHUP: the terminal or the connection to it is gone. It is absent on Windows.
SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)


@dataclass(frozen=True)
class SaveDeadline:
    """How long a run may take to end after a signal.

    Attributes
    ----------
    seconds : callable
        Gives the limit as it is now; 0: none.
    saved : callable
        Gives the iteration that is whole on disk; None: this run has saved nothing.
    """

    seconds: Callable[[], float]
    saved: Callable[[], int | None]

    def begin(self, number: int) -> threading.Timer | None:
        """Leave with the code of a signal when the time is over; to be cancelled."""
        limit = self.seconds()
        if not limit:
            return None
        # A thread, since the main one may be in the middle of a long step that no handler enters.
        timer = threading.Timer(limit, self._leave, (number, limit))
        timer.daemon = True
        timer.start()
        return timer

    def _leave(self, number: int, limit: float) -> None:
        saved = self.saved()
        what = "as it was before this run" if saved is None else f"that of iteration {saved}"
        text = f"\n--save-deadline: {limit:g} s are over: left now; the model on disk is {what}\n"
        # Not SystemExit: nothing may wait. A save that was being written is dropped as a whole.
        with contextlib.suppress(OSError):
            os.write(stderr_fd(), text.encode())
        os._exit(128 + number)


class StopSignals:
    """While entered, SIGINT, SIGTERM and SIGHUP ask for a stop after the running iteration.

    A second SIGINT ends the process at once, without saving, with exit code 130. A SIGHUP that is
    ignored (nohup) stays ignored. Outside the main thread (where Python allows no handlers) nothing
    is installed.

    Parameters
    ----------
    say : callable
    deadline : SaveDeadline, optional
        Begins with the first signal.

    Attributes
    ----------
    received : int or None
        The first signal that came.
    """

    def __init__(
        self,
        say: Callable[[str], None] = lambda text: None,
        deadline: SaveDeadline | None = None,
    ) -> None:
        self.received: int | None = None
        self._say, self._deadline = say, deadline
        self._timer: threading.Timer | None = None
        self._old: dict[
            int, signal.Handlers | int | Callable[[int, FrameType | None], object] | None
        ] = {}

    def __enter__(self) -> StopSignals:
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                if number in SIGNALS[:2] or signal.getsignal(number) != signal.SIG_IGN:
                    self._old[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *error: object) -> None:
        if self._timer is not None:
            self._timer.cancel()
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
            # Past sys.stderr: the first answer may be in the middle of being written to it.
            with contextlib.suppress(OSError):
                os.write(stderr_fd(), b"\nstopped at once, without saving\n")
            os._exit(130)
        if self.received is None:
            self.received = number
            if self._deadline is not None:
                self._timer = self._deadline.begin(number)
            name = signal.Signals(number).name
            # Whatever happens to the message, the iteration that was interrupted goes on.
            with contextlib.suppress(Exception):
                self._say(
                    f"{name}: finishing this iteration, then saving (Ctrl-C now: stop unsaved)"
                )


@dataclass(frozen=True)
class Request:
    """Something that a running training is asked for.

    Attributes
    ----------
    kind : str
        ``save``, ``backup``, ``preview``, ``stop``, or ``options``: go on with other options.
    name : str
        For messages: the file, say.
    options : Layer or None
        What changes, of kind ``options``.
    error : str
        Why the request cannot be understood; empty if it can.
    stored : mapping
        JSON values that are stored with the model, by key, from when the options hold.
    reason : str
        Why to stop, of kind ``stop``.
    snapshot : Wanted or None
        A snapshot to make before other options hold, or before the end.
    """

    kind: Kind
    name: str
    options: Layer | None = None
    error: str = ""
    stored: Mapping[str, object] = field(default_factory=dict)
    reason: str = "stop requested"
    snapshot: Wanted | None = None


class RequestSource(Protocol):
    """Where requests come from: files today. It is asked between iterations."""

    def begin(self) -> list[str]:
        """Clear what is left over from before the run; returns notes for the user."""

    def pending(self) -> Sequence[Request]:
        """The requests that have not been answered."""

    def due(self, iteration: int) -> bool:
        """Whether it may ask for something once an iteration is finished; asked while it runs."""
        return bool(self.pending())

    def answer(self, request: Request, error: str = "") -> None:
        """Say that a request is done, or why it is refused."""

    def rewind(self, stored: Mapping[str, object], iteration: int) -> Layer | None:
        """Go back with a model that was rolled back; returns the options that held there.

        Parameters
        ----------
        stored : mapping
            `ModelState.run` of the state that the training goes on from.
        iteration : int
            Of that state.
        """


class RequestFiles:
    """The files ``<model>_save.request``, ``_backup…``, ``_snapshot…``, ``_preview…``, and so on.

    A script makes one in the model folder; the trainer acts after the running iteration and deletes
    the file when it is done, so the script can wait for that. Two have content: ``_options…`` is a
    YAML file of what changes, ``_snapshot…`` has the name of a snapshot and a note. One that is
    refused is renamed to ``….refused``. Others are ``_stop…`` and those of `Kind`.

    Parameters
    ----------
    folder : Path
    storage_name : str
        ``new_SAEHD``.
    """

    def __init__(self, folder: Path, storage_name: str) -> None:
        self._paths: dict[Kind, Path] = {
            kind: folder / f"{storage_name}_{kind}.request" for kind in get_args(Kind)
        }
        self._seen: dict[Kind, tuple[tuple[int, int], float]] = {}

    def begin(self) -> list[str]:
        """Delete files left over from before this run; options are renamed."""
        told = []
        for kind, path in self._paths.items():
            if not os.path.lexists(path):
                continue
            if kind == "options":
                told.append(f"{path.name} was left over from before this run: {self._aside(path)}")
            else:
                path.unlink(missing_ok=True)
                told.append(f"{path.name} was left over from before this run: deleted")
        return told

    def ask(self, kind: Kind, content: str = "") -> None:
        """Ask a training for something, as a script does by making the file.

        Raises
        ------
        WorkspaceError
            The file cannot be written.
        """
        durable.write_file(self._paths[kind], content.encode())

    def waiting(self) -> list[Kind]:
        """What is asked for and not answered yet; nothing is read."""
        return [kind for kind, path in self._paths.items() if os.path.lexists(path)]

    def pending(self) -> list[Request]:
        """What is asked for now."""
        found = []
        for kind, path in self._paths.items():
            if path.exists():
                if kind not in _WITH_CONTENT:
                    found.append(Request(kind, path.name))
                elif self._is_written(kind, path):
                    found.append(_WITH_CONTENT[kind](path))
        return found

    def due(self, iteration: int) -> bool:
        """Whether anything is asked for now."""
        return bool(self.pending())

    def _is_written(self, kind: Kind, path: Path) -> bool:
        """Whether a file has stayed as it is for a while; else it may still be being written."""
        try:
            status = path.stat()
        except OSError:
            return False
        now = (status.st_size, status.st_mtime_ns)
        if kind not in self._seen or self._seen[kind][0] != now:
            self._seen[kind] = (now, time.monotonic())
        return time.monotonic() - self._seen[kind][1] >= UNCHANGED_SECONDS

    @staticmethod
    def options(path: Path) -> Request:
        """Read the options of a request."""
        try:
            layer = read_layer(path)
        except (DflTfError, OSError) as error:
            return Request("options", path.name, error=str(error))
        if not layer.values:
            return Request("options", path.name, error="it contains no options")
        return Request("options", path.name, layer)

    @staticmethod
    def snapshot(path: Path) -> Request:
        """Read the name and the note of a snapshot; without a name the iteration gives one."""
        try:
            text = read_plain(path, limit=_LONGEST_NOTE).decode("utf-8", "replace")
            name, _, note = text.strip().partition("\n")
            if name:
                check_snapshot_name(name.strip())
        except (DflTfError, OSError) as error:
            return Request("snapshot", path.name, error=str(error))
        wanted = Wanted("manual", name.strip(), note.strip())
        return Request("snapshot", path.name, snapshot=wanted)

    def answer(self, request: Request, error: str = "") -> None:
        """Delete the file of a request; one that is refused is renamed."""
        path = self._paths[request.kind]
        self._seen.pop(request.kind, None)
        if error:
            self._aside(path)
            return
        path.unlink(missing_ok=True)

    def rewind(self, stored: Mapping[str, object], iteration: int) -> None:
        """Do nothing: what files ask for does not depend on the model."""

    @staticmethod
    def _aside(path: Path) -> str:
        refused = path.with_name(path.name + ".refused")
        try:
            os.replace(path, refused)
        except OSError:
            durable.remove_quietly(path)
            return "deleted"
        return f"not applied, renamed to {refused.name}"


_LONGEST_NOTE = 1 << 16
_WITH_CONTENT: dict[Kind, Callable[[Path], Request]] = {
    "options": RequestFiles.options,
    "snapshot": RequestFiles.snapshot,
}

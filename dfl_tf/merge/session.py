"""What of a merge is finished, kept on disk so that a run can go on where it stopped."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TypedDict, cast

from dfl_tf.disk.durable import sync_folder, write_file
from dfl_tf.disk.guarded import parse_json, read_json
from dfl_tf.disk.journal import Journal, read_lines
from dfl_tf.disk.tree_schema import ANYTHING, Integer, Record, Row, Table, Text
from dfl_tf.disk.write_errors import explain_write_errors
from dfl_tf.errors import WorkspaceError
from dfl_tf.merge.output import Output

log = logging.getLogger(__name__)

FORMAT, VERSION = "dfl_tf merge session", 1

_ADVICE = "--overwrite starts over."
_FRAME = Record({"key": Text(), "sizes": Row(Integer(0), Integer(0))}, others=ANYTHING)
_SESSION = Record(
    {"format": Text((FORMAT,)), "version": Integer(0), "frames": Table(_FRAME)}, others=ANYTHING
)
_LINE = Row(Text(), _FRAME)


class StoredSession(TypedDict):
    """What a session holds besides what its run was; `frames` by their names."""

    format: str
    version: int
    frames: dict[str, dict[str, object]]


class MergeJournal:
    """Finished frames with the checksum of what made them.

    `<model>_merge_session.json` holds the whole; while a run goes on, one line a finished frame is
    appended to the journal beside it. About once a second the frames are made durable and then the
    lines that count them, so a killed run repeats the frames of its last second at most.

    Parameters
    ----------
    path : Path
        The JSON file.
    about : dict
        What the run is: model, settings, folders. For people and for `resume`.
    output : Output
        Where the images go.

    References
    ----------
    merge.md 7 (its own format; the legacy pickle is only read).
    """

    def __init__(self, path: Path, about: dict[str, object], output: Output):
        self.path, self.about, self._output = path, about, output
        self._done: dict[str, dict[str, object]] = {}
        self._lock = threading.Lock()
        self._lines: Journal | None = None

    @property
    def journal(self) -> Path:
        """The file of finished frames since the session was last written whole."""
        return self.path.with_name(self.path.name + ".journal")

    @staticmethod
    def read(path: Path) -> StoredSession | None:
        """Read a session with its journal; None if there is none.

        Raises
        ------
        WorkspaceError
            If the file is not a session that this version reads.
        """
        content: StoredSession | None = read_json(
            path, kind="a merge session", schema=_SESSION, advice=_ADVICE, missing_ok=True
        )
        if content is None:
            return None
        if content["version"] != VERSION:
            raise WorkspaceError(
                f"{path}: version {content['version']} of the session is unknown "
                f"(this program reads {VERSION}). {_ADVICE}"
            )
        content["frames"].update(_read_journal(path.with_name(path.name + ".journal")))
        return content

    def start(
        self,
        *,
        resume: bool,
        redo: Iterable[Path] = (),
        joined: Mapping[str, dict[str, object]] = MappingProxyType({}),
    ) -> None:
        """Begin a run: take over what is finished (but for the frames to redo), or forget it.

        What shards have finished is `joined` to it.
        """
        self._done = {}
        if resume:
            earlier = self.read(self.path)
            self._done = {} if earlier is None else earlier["frames"]
        self._done.update(joined)
        for frame in redo:
            self._done.pop(frame.name, None)
        self.save()

    def finished(self, frame: Path, key: str) -> bool:
        """Tell whether the files of a frame are there, whole and made from the same things."""
        entry = self._done.get(frame.name)
        if entry is None or entry.get("key") != key:
            return False
        try:
            sizes = [path.stat().st_size for path in self._output.paths(frame)]
        except OSError:
            return False
        return sizes == entry.get("sizes")

    def note(self, frame: Path, key: str, made: object) -> None:
        """Remember a finished frame and the sizes of its files (`Output.make`)."""
        entry: dict[str, object] = {"key": key, "sizes": list(cast("tuple[int, int]", made))}
        line = json.dumps([frame.name, entry]) + "\n"
        with self._lock:
            self._done[frame.name] = entry
            if self._lines is None:
                self._lines = Journal(self.journal, before_sync=self._output.sync, hold=True)
            self._lines.append(line.encode())

    def save(self) -> None:
        """Write the whole session and drop the journal."""
        content = {"format": FORMAT, "version": VERSION, **self.about}
        content["frames"] = dict(sorted(self._done.items()))
        if self._lines is not None:
            self._lines.close()
            self._lines = None
        # As ASCII: a frame's name need not be UTF-8, and its escapes are read back to the byte.
        write_file(self.path, json.dumps(content, indent=1).encode())
        with explain_write_errors(self.journal):
            self.journal.unlink(missing_ok=True)
            sync_folder(self.journal.parent)


def _read_journal(path: Path) -> dict[str, dict[str, object]]:
    """Read the frames that were finished since the session was written whole."""
    kind = "the journal of a merge session"
    frames = {}
    for line in read_lines(path, kind=kind, advice=_ADVICE):
        if not line.whole:
            log.info("%s: line %d is unfinished; its frame is merged again", path, line.number)
        elif line.data:
            what = f"{path}, line {line.number}"
            name, entry = parse_json(line.data, what=what, kind=kind, schema=_LINE, advice=_ADVICE)
            frames[name] = entry
    return frames

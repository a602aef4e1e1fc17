"""Prepared arrays of faces on the disk, for facesets that the memory does not hold.

One SQLite file a faceset, in the user's cache: it can be removed at any time. Whatever happens to
it, arrays can be made again: errors are never errors.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import sqlite3
import threading
import zlib
from collections.abc import Hashable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt
from dfl_tf_ops.process import cpu_info, user_cache

from dfl_tf import __version__

if TYPE_CHECKING:
    from dfl_tf_ops.packed import Packed

    from dfl_tf.data.faceset import Faceset

Array = npt.NDArray[np.float32]

FOLDER = "faces"
"""Below the user's cache."""
_VERSION = 1
_TABLE = """
CREATE TABLE IF NOT EXISTS arrays (
    key TEXT PRIMARY KEY, face TEXT, packed INTEGER, shape TEXT, sum INTEGER, data BLOB
);
"""
_PAGE = 32768  # an array is some hundred kilobytes
_GROUP = 32  # arrays that are written as one transaction

_log = logging.getLogger(__name__)


class DiskCache:
    """Keep arrays by key in one file a faceset, up to a number of bytes in all; thread-safe.

    Parameters
    ----------
    facesets : iterable of Faceset
        Those whose faces are asked for: keys are tuples that begin with `FaceSample.key`. Arrays
        of a face whose file has another size or date than when they were made are not found.
    max_bytes : int
        Of all files in the folder. Files of facesets that are not used now give way, the one that
        was not used for longest first; where that is not enough, nothing more is kept.
    folder : Path, optional
        Default is `faces` in the user's cache.

    Attributes
    ----------
    read, written : int
        Arrays that were found here; that were put here by this process.
    """

    def __init__(
        self, facesets: Iterable[Faceset], max_bytes: int, folder: Path | None = None
    ) -> None:
        self.read = self.written = 0
        self._faces: dict[str, tuple[_File, str]] = {}
        self._files: list[_File] = []
        cache = user_cache()
        if folder is None and cache is not None:
            folder = cache / FOLDER
        if folder is None:
            _log.warning("there is no disk cache: this user has no cache folder")
            return
        sources = {folder / file_name(faceset.path): faceset for faceset in facesets}
        room = _Room(max_bytes - _make_room(folder, max_bytes, keep=set(sources)))
        for path, faceset in sources.items():
            faces = {key: repr((key, *stamp)) for key, stamp in faceset.stamps().items()}
            file = _File(path, room, set(faces.values()))
            room.left -= file.size
            self._faces |= {key: (file, face) for key, face in faces.items()}
            self._files.append(file)

    @property
    def size(self) -> int:
        """Bytes of the files of these facesets."""
        return sum(file.size for file in self._files)

    def __contains__(self, key: Hashable) -> bool:
        file, _ = self._of(key)
        return file is not None and repr(key) in file

    def get(self, key: Hashable) -> Array | Packed | None:
        """Return an array, any shape, float32, as it was put, or None."""
        file, _ = self._of(key)
        found = None if file is None else file.get(repr(key))
        self.read += found is not None
        return found

    def put(self, key: Hashable, kept: Array | Packed) -> None:
        """Keep an array, any shape, float32, if there is room."""
        file, face = self._of(key)
        if file is not None:
            self.written += file.put(repr(key), face, kept)

    def close(self) -> None:
        """Bring everything to the disk and close the files; nothing is found afterwards."""
        for file in self._files:
            file.close()

    def _of(self, key: Hashable) -> tuple[_File | None, str]:
        face = key[0] if isinstance(key, tuple) else None
        return self._faces.get(str(face), (None, ""))


class _Room:
    """Bytes that may still be written."""

    def __init__(self, left: int) -> None:
        self.left = left


class _File:
    """The arrays of one faceset."""

    def __init__(self, path: Path, room: _Room, faces: set[str]) -> None:
        self.path, self.room = path, room
        self._lock = threading.Lock()
        self._known: set[str] = set()
        self._waiting: dict[str, tuple[object, ...]] = {}
        self._base: sqlite3.Connection | None = None
        self._open(faces)

    @property
    def size(self) -> int:
        with contextlib.suppress(OSError):
            return self.path.stat().st_size
        return 0

    def __contains__(self, name: str) -> bool:
        return name in self._known

    def _open(self, faces: set[str]) -> None:
        for attempt in (1, 2):
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                base = sqlite3.connect(self.path, timeout=10, check_same_thread=False)
                base.execute(f"PRAGMA page_size = {_PAGE}")
                base.execute("PRAGMA synchronous = OFF")  # sums say what a power cut damaged
                base.executescript(_TABLE)
                kept = list(base.execute("SELECT key, face FROM arrays"))
                gone = {(face,) for _, face in kept if face not in faces}
                with base:
                    base.executemany("DELETE FROM arrays WHERE face = ?", gone)
                self._known = {key for key, face in kept if face in faces}
                self._base = base
            except (OSError, sqlite3.Error) as error:
                damaged = not isinstance(error, OSError | sqlite3.OperationalError)
                again = damaged and attempt == 1
                _log.warning(
                    "the disk cache %s cannot be used (%s)%s",
                    self.path, error, ": it is made again" if again else "",
                )  # fmt: skip
                if again:
                    with contextlib.suppress(OSError):
                        self.path.unlink()
                    continue
            return

    def get(self, name: str) -> Array | Packed | None:
        if name not in self._known:
            return None
        with self._lock:
            row = self._waiting.get(name)
            if row is None and self._base is not None:
                query = "SELECT key, face, packed, shape, sum, data FROM arrays WHERE key = ?"
                with contextlib.suppress(sqlite3.Error):
                    row = self._base.execute(query, (name,)).fetchone()
        found = None if row is None else _array(row)
        if found is None:
            self._known.discard(name)  # it is made again, and then kept again
        return found

    def put(self, name: str, face: str, kept: Array | Packed) -> bool:
        if self._base is None or name in self._known or kept.nbytes > self.room.left:
            return False
        row = _row(name, face, kept)
        with self._lock:
            self._waiting[name] = row
            self._known.add(name)
            self.room.left -= kept.nbytes
            if len(self._waiting) >= _GROUP:
                self._write()
        return True

    def _write(self) -> None:
        rows, self._waiting = list(self._waiting.values()), {}
        if self._base is None or not rows:
            return
        try:
            with self._base:
                self._base.executemany("INSERT OR REPLACE INTO arrays VALUES (?,?,?,?,?,?)", rows)
        except sqlite3.Error as error:
            _log.warning("the disk cache %s keeps nothing more (%s)", self.path, error)
            self._known -= {str(row[0]) for row in rows}
            self.room.left = 0

    def close(self) -> None:
        with self._lock:
            self._write()
            if self._base is not None:
                self._base.close()
            self._base, self._known = None, set()


def file_name(source: Path) -> str:
    """Name of the file of a faceset: its place, and all that decides on the bits of its arrays."""
    about = (_VERSION, __version__, cv2.__version__, np.__version__, cpu_info("model name"))
    text = json.dumps([*about, str(source.resolve())])
    return f"{hashlib.sha256(text.encode()).hexdigest()[:24]}.sqlite"


def _make_room(folder: Path, max_bytes: int, keep: set[Path]) -> int:
    """Remove files that are not used now until all fit; bytes of those that stay beside `keep`."""
    others = []
    with contextlib.suppress(OSError):
        for path in folder.iterdir():
            if path.suffix == ".sqlite" and path not in keep:
                with contextlib.suppress(OSError):
                    stat = path.stat()
                    others.append((stat.st_mtime_ns, stat.st_size, path))
    used = sum(path.stat().st_size for path in keep if path.exists())
    left = sum(size for _, size, _ in others)
    for _, size, path in sorted(others):
        if used + left <= max_bytes // 2:  # so that there is room for what comes
            break
        with contextlib.suppress(OSError):
            path.unlink()
            left -= size
            _log.info("removed %s (%d MiB) from the disk cache", path, size >> 20)
    return left


def _row(name: str, face: str, kept: Array | Packed) -> tuple[object, ...]:
    words = kept if isinstance(kept, np.ndarray) else kept.words
    data = np.ascontiguousarray(words).tobytes()
    packed = not isinstance(kept, np.ndarray)
    return name, face, packed, "x".join(map(str, kept.shape)), zlib.crc32(data), data


def _array(row: tuple[object, ...]) -> Array | Packed | None:
    _, _, packed, shape_text, checksum, data = row
    if not isinstance(data, bytes) or zlib.crc32(data) != checksum:
        return None
    shape = tuple(int(side) for side in str(shape_text).split("x"))
    # writable bytes: kernels are compiled for arrays of that kind
    if packed:
        from dfl_tf_ops.packed import Packed  # loads numba

        return Packed(np.frombuffer(bytearray(data), np.uint32), shape)
    array = np.frombuffer(bytearray(data), np.float32).reshape(shape)
    array.flags.writeable = False
    return array

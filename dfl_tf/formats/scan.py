"""Audit of untrusted files: what they name, without loading them.

References: data.md 1.6, models.md 5.8.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from dfl_tf.disk.plain_file import map_plain, read_plain
from dfl_tf.disk.temporary_names import staged_for
from dfl_tf.errors import DflTfError
from dfl_tf.formats.faces.dfljpg import MAX_IMAGE_BYTES
from dfl_tf.formats.faces.jpeg_segments import APP15, split_segments
from dfl_tf.formats.models import safetensors_file
from dfl_tf.formats.models.manifest import read_manifest
from dfl_tf.formats.pickles.safe_pickle import PickleAudit, audit
from dfl_tf.formats.sessions.merge_session import SESSION_TOKENS

_PICKLES = (".npy", ".dat", ".pkl", ".pickle")
_IMAGES = (".jpg", ".jpeg")


@dataclass
class FileAudit:
    """The judgement on one file.

    Attributes
    ----------
    path : Path
    kind : str
        "pickle", "pak", "face", "safetensors", "manifest"; "special" for what is not a plain file
        (a pipe, a device, a link to nothing); "other" for what this program never reads as data.
    globals : list of str
        What its pickles name.
    refused : list of str
        What of that is not on the short list.
    problem : str
        Why it could not be followed to its end; empty if it could.
    """

    path: Path
    kind: str
    globals: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    problem: str = ""

    @property
    def accepted(self) -> bool:
        """Whether this program would read it."""
        return not self.refused and not self.problem

    def add(self, found: PickleAudit, where: str = "") -> None:
        """Take over the audit of a pickle inside."""
        self.globals += [name for name in found.globals if name not in self.globals]
        self.refused += [name for name in found.refused if name not in self.refused]
        # what is refused explains the rest
        if found.problem and not found.refused and not self.problem:
            self.problem = f"{where}{found.problem}"


def scan(path: Path) -> Iterator[FileAudit]:
    """Audit a file, or all files of a folder and its sub-folders.

    Nothing is loaded, called or allocated by what the files say. Files of kinds that this program
    does not read come as "other": nothing is said about them.
    """
    files = sorted(p for p in path.rglob("*") if not p.is_dir()) if path.is_dir() else [path]
    for file in files:
        yield scan_file(file)


def scan_file(path: Path) -> FileAudit:
    """Audit one file."""
    if not path.is_file():
        return FileAudit(path, "special", problem=f"{path}: is not a regular file")
    suffix = path.suffix.lower()
    name = (staged_for(path.name) or path.name.removesuffix(".tmp")).lower()
    if name.endswith(_PICKLES):
        more = SESSION_TOKENS if "merger_session" in name else None
        return _guarded(path, "pickle", lambda r: r.add(audit(map_plain(path), more=more)))
    if suffix == ".pak":
        return _guarded(path, "pak", _scan_pak)
    if suffix in _IMAGES:
        return _guarded(path, "face", lambda r: _scan_face(r, path))
    if suffix == ".safetensors":
        return _guarded(path, "safetensors", lambda r: safetensors_file.check(path))
    if name.endswith(("manifest.json", "commit.json")):
        return _guarded(path, "manifest", lambda r: read_manifest(path))
    return FileAudit(path, "other")


def _guarded(path: Path, kind: str, look: Callable[[FileAudit], object]) -> FileAudit:
    result = FileAudit(path, kind)
    try:
        look(result)
    except DflTfError as error:
        result.problem = result.problem or str(error)
    except OSError as error:
        result.problem = f"{path}: cannot be read ({error.strerror})"
    return result


def _scan_face(result: FileAudit, path: Path) -> None:
    _scan_jpeg(result, read_plain(path, limit=MAX_IMAGE_BYTES), "")


def _scan_jpeg(result: FileAudit, data: bytes, where: str) -> None:
    if data[:2] != b"\xff\xd8":
        return
    for segment in split_segments(data, what=where or str(result.path)):
        if segment.marker == APP15:
            result.add(audit(segment.body[2:]), where)


def _scan_pak(result: FileAudit) -> None:
    data = map_plain(result.path)
    if len(data) < 16:
        result.problem = "truncated, not even a header is there"
        return
    version, size = struct.unpack("<QQ", data[:16])
    if version != 1 or size > len(data) - 16:
        result.problem = f"version {version} with a list of {size} bytes is not a faceset.pak"
        return
    result.add(audit(data[16 : 16 + size]), "list of faces: ")
    if result.refused:
        return
    from dfl_tf.formats.faces.faceset_pak import read_pak

    faceset = read_pak(result.path)
    for index, entry in enumerate(faceset.entries):
        _scan_jpeg(result, faceset.jpeg(index), f"{entry.filename}: ")

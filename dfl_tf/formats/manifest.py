"""The manifest of a model's files: sizes, checksums, roles, iteration, how the run stood.

Version 2 gives each file of the set a role and a state. Version 1, which had neither, is read.

References: design decisions 1, 37, 42 and 52.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from dfl_tf.disk.plain_file import read_plain
from dfl_tf.errors import ModelFileError
from dfl_tf.formats.faceset_pak import is_safe_name

VERSION = 2
LARGEST = 512 << 20
"""Bytes of the largest manifest that is written or read. Version 2 needs a few KiB."""
_MOST_CONTAINERS, _MOST_COMMAS = 16 << 20, 64 << 20
"""JSON of many small lists takes some 20 times its size in memory: refused before it is parsed."""

Role = Literal["network", "optimizer", "data", "history", "average", "recipe"]
"""What a file holds: weights, slots, options and other entries, losses; averaged weights and the
state of a recipe have their place here as well."""


@dataclass(frozen=True)
class FileEntry:
    """One file of a set.

    Attributes
    ----------
    size : int
        Bytes. Of a history that only grows: of the prefix that belongs to this set.
    sha256 : str
        Of those bytes.
    mtime_ns : int
        Lets a save see quickly that nobody touched the file; a load always checks the checksum.
    role : str
        See `Role`.
    iteration : int or None
        The last save in which the file was in use; None if that is not known.
    off : bool
        Of a part that is switched off: the file is kept, the set is whole without it.
    """

    size: int
    sha256: str
    mtime_ns: int = 0
    role: Role = "network"
    iteration: int | None = None
    off: bool = False


@dataclass(frozen=True)
class Manifest:
    """What belongs together.

    Attributes
    ----------
    model_class, name, format : str
    iteration : int
    files : mapping of file name to FileEntry
    run : mapping
        JSON-able: seed and stream positions, for exact resumption.
    payload : mapping
        What the native format keeps here (options and such); empty for legacy sets.
    snapshot : str
        Of a set that was saved beside its model: why. Empty otherwise.
    """

    model_class: str
    name: str
    format: str
    iteration: int
    files: Mapping[str, FileEntry]
    run: Mapping[str, Any] = field(default_factory=dict)
    payload: Mapping[str, Any] = field(default_factory=dict)
    snapshot: str = ""

    def to_bytes(self) -> bytes:
        """JSON with a checksum of its own, so that a flipped bit in it is noticed.

        Raises
        ------
        ModelFileError
            It would be larger than what is read.
        """
        body = {
            "version": VERSION,
            "model_class": self.model_class,
            "name": self.name,
            "format": self.format,
            "iteration": self.iteration,
            "run": dict(self.run),
            "files": {name: vars(entry) for name, entry in self.files.items()},
            "payload": dict(self.payload),
            "snapshot": self.snapshot,
        }
        text = json.dumps(body | {"checksum": _checksum(body)}, indent=1, ensure_ascii=False)
        data = text.encode("utf-8", "surrogatepass")
        if len(data) > LARGEST:
            raise ModelFileError(
                f"the manifest of {self.name} would have {len(data)} bytes; at most {LARGEST} are "
                "read. The options or other entries of the model are too large."
            )
        return data


def _checksum(body: Mapping[str, Any]) -> str:
    text = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def read_manifest(path: Path) -> Manifest | None:
    """The manifest at `path`; None if there is no such file.

    Raises
    ------
    ModelFileError
        It is damaged or of a newer version.
    """
    try:
        data = read_plain(path, limit=LARGEST)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ModelFileError(f"{path}: cannot be read ({error.strerror}).") from None
    return parse_manifest(data, what=str(path))


def parse_manifest(data: bytes, *, what: str) -> Manifest:
    """A manifest from its bytes, everything in it checked.

    Raises
    ------
    ModelFileError
    """
    try:
        if (
            data.count(b"[") + data.count(b"{") > _MOST_CONTAINERS
            or data.count(b",") > _MOST_COMMAS
        ):
            raise ValueError("more values than a manifest holds")
        body = json.loads(data.decode("utf-8", "surrogatepass"))
        if not isinstance(body, dict):
            raise ValueError("no JSON object")
        version = _integer(body.get("version"))
        if version > VERSION:
            raise ModelFileError(
                f"{what}: version {version} is newer than this program knows ({VERSION}). "
                "Update the program."
            )
        checksum = body.pop("checksum", None)
        if checksum != _checksum(body):
            raise ValueError("its checksum does not match")
        return _from_body(body)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        reason = str(error)[:120] or type(error).__name__
        raise ModelFileError(f"{what}: damaged manifest ({reason}).") from None


def _from_body(body: Mapping[str, Any]) -> Manifest:
    iteration = _integer(body["iteration"])
    files: dict[str, FileEntry] = {}
    for name, entry in _typed(body["files"], dict).items():
        if not is_safe_name(name):
            raise ValueError(f"{ascii(name)[:60]} is no plain file name")
        files[name] = _entry(name, _typed(entry, dict), iteration, body["version"])
    return Manifest(
        model_class=_typed(body["model_class"], str),
        name=_typed(body["name"], str),
        format=_typed(body["format"], str),
        iteration=iteration,
        files=files,
        run=_typed(body.get("run", {}), dict),
        payload=_typed(body.get("payload", {}), dict),
        snapshot=_typed(body.get("snapshot", ""), str),
    )


def _entry(name: str, stored: Mapping[str, Any], iteration: int, version: int) -> FileEntry:
    if version == 1:
        off = bool(stored.get("stale", False))
        used: int | None = None if off else iteration
        role: Any = role_of(name)
    else:
        off = bool(_typed(stored["off"], bool))
        used = None if stored["iteration"] is None else _integer(stored["iteration"])
        role = stored["role"]
    if role not in get_args(Role):
        raise ValueError(f"{ascii(role)[:40]} is no role of a file")
    return FileEntry(
        size=_integer(stored["size"]),
        sha256=_typed(stored["sha256"], str),
        mtime_ns=_integer(stored.get("mtime_ns", 0)),
        role=role,
        iteration=used,
        off=off,
    )


def role_of(file_name: str) -> Role:
    """The role that a file has by its name, as version 1 and sets without a manifest need it."""
    stem = file_name.rpartition(".")[0]
    if stem.endswith("_opt"):
        return "optimizer"
    if stem == "loss_history":
        return "history"
    return "data" if file_name.endswith("_data.dat") or stem == "extra" else "network"


def _typed(value: Any, kind: type) -> Any:
    if not isinstance(value, kind):
        raise ValueError(f"a {type(value).__name__} where a {kind.__name__} belongs")
    return value


def _integer(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"{str(value)[:40]} where a number belongs")
    return value

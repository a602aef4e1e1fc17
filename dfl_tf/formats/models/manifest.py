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
from typing import Literal, Required, TypedDict, get_args

from dfl_tf.disk.guarded import check_tree, parse_json
from dfl_tf.disk.plain_file import is_safe_name, read_plain
from dfl_tf.disk.tree_schema import (
    ANYTHING,
    Array,
    Boolean,
    Integer,
    Optional,
    Record,
    Schema,
    Table,
    Text,
)
from dfl_tf.errors import ModelFileError

VERSION = 2
LARGEST = 512 << 20
"""Bytes of the largest manifest that is written or read. Version 2 needs a few KiB."""

Role = Literal["network", "optimizer", "data", "history", "average", "recipe"]
"""What a file holds: weights, slots, options and other entries, losses, averaged weights; the state
of a recipe has its place here as well."""

_KIND, _ADVICE = "a manifest", "It is damaged."
_ANY = Record({"version": Integer(1)}, others=ANYTHING)
_COUNT: Schema = Integer(0)
_SHA256 = Text(pattern="[0-9a-f]{0,64}", form="64 hexadecimal digits")
_FILE: dict[str, Schema] = {
    "size": _COUNT,
    "sha256": Text(pattern="[0-9a-f]{0,64}", form="64 hexadecimal digits"),
}
_RUN = Record({}, {"seed": Integer()}, others=ANYTHING)
_HEAD: dict[str, Schema] = {
    "model_class": Text(),
    "name": Text(),
    "format": Text(),
    "iteration": _COUNT,
}
_REST: dict[str, Schema] = {
    "run": _RUN,
    "payload": Table(ANYTHING),
    "snapshot": Text(),
    "gone": Array(Text()),
}


def _schema(entry: Record) -> Record:
    return Record({**_HEAD, "iteration": _COUNT, "files": Table(entry)}, _REST, others=ANYTHING)


_SCHEMAS = {
    1: _schema(Record(_FILE, {"mtime_ns": _COUNT, "stale": Boolean()}, others=ANYTHING)),
    2: _schema(
        Record(
            {
                **_FILE,
                "role": Text(get_args(Role)),
                "iteration": Optional(_COUNT),
                "off": Boolean(),
            },
            {"mtime_ns": _COUNT},
            others=ANYTHING,
        )
    ),
}


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
    gone : tuple of str
        Files that were part of the set before and go when this one takes its place.
    """

    model_class: str
    name: str
    format: str
    iteration: int
    files: Mapping[str, FileEntry]
    run: Mapping[str, object] = field(default_factory=dict)
    payload: Mapping[str, object] = field(default_factory=dict)
    snapshot: str = ""
    gone: tuple[str, ...] = ()

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
            **({"gone": list(self.gone)} if self.gone else {}),
        }
        text = json.dumps(body | {"checksum": _checksum(body)}, indent=1, ensure_ascii=False)
        data = text.encode("utf-8", "surrogatepass")
        if len(data) > LARGEST:
            raise ModelFileError(
                f"the manifest of {self.name} would have {len(data)} bytes; at most {LARGEST} are "
                "read. The options or other entries of the model are too large."
            )
        return data


def _checksum(body: Mapping[str, object]) -> str:
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
    body = parse_json(
        data, schema=_ANY, what=what, kind=_KIND, error=ModelFileError, advice=_ADVICE
    )
    version = body["version"]
    if version > VERSION:
        raise ModelFileError(
            f"{what}: version {version} is newer than this program knows ({VERSION}). "
            "Update the program."
        )
    if body.pop("checksum", None) != _checksum(body):
        raise ModelFileError(f"{what}: damaged manifest (its checksum does not match).")
    check_tree(body, _SCHEMAS[version], what=what, kind=_KIND, error=ModelFileError, advice=_ADVICE)
    names = [*body["files"], *body.get("gone", ())]
    unsafe = [name for name in names if not is_safe_name(name)]
    if unsafe:
        raise ModelFileError(f"{what}: {ascii(unsafe[0])[:60]} is not a plain file name.")
    return _from_body(body)


class _StoredEntry(TypedDict, total=False):
    size: Required[int]
    sha256: Required[str]
    mtime_ns: int
    stale: bool
    role: Role
    iteration: int | None
    off: bool


class _Stored(TypedDict, total=False):
    version: Required[int]
    model_class: Required[str]
    name: Required[str]
    format: Required[str]
    iteration: Required[int]
    files: Required[dict[str, _StoredEntry]]
    run: Mapping[str, object]
    payload: Mapping[str, object]
    snapshot: str
    gone: list[str]


def _from_body(body: _Stored) -> Manifest:
    return Manifest(
        model_class=body["model_class"],
        name=body["name"],
        format=body["format"],
        iteration=body["iteration"],
        files={
            name: _entry(name, entry, body["iteration"], body["version"])
            for name, entry in body["files"].items()
        },
        run=body.get("run", {}),
        payload=body.get("payload", {}),
        snapshot=body.get("snapshot", ""),
        gone=tuple(body.get("gone", ())),
    )


def _entry(name: str, stored: _StoredEntry, iteration: int, version: int) -> FileEntry:
    if version == 1:
        off = stored.get("stale", False)
        role, last = role_of(name), None if off else iteration
    else:
        role, last, off = stored["role"], stored["iteration"], stored["off"]
    return FileEntry(stored["size"], stored["sha256"], stored.get("mtime_ns", 0), role, last, off)


def role_of(file_name: str) -> Role:
    """The role that a file has by its name, as version 1 and sets without a manifest need it."""
    stem = file_name.rpartition(".")[0]
    if stem.endswith("_opt"):
        return "optimizer"
    if stem == "average" or stem.endswith("_average"):
        return "average"
    if stem == "loss_history":
        return "history"
    return "data" if file_name.endswith("_data.dat") or stem == "extra" else "network"

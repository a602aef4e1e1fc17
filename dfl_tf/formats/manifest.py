"""The manifest of a model's files: sizes and checksums, iteration, how the run stood.

References: design decisions 1 and 37.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dfl_tf.disk.plain_file import read_plain
from dfl_tf.errors import ModelFileError
from dfl_tf.formats.faceset_pak import is_safe_name

VERSION = 1
_LARGEST = 16 << 20
"""JSON of many small lists takes some 20 times its size in memory; genuine ones are a few KiB."""


@dataclass(frozen=True)
class FileEntry:
    """One file of a set.

    Attributes
    ----------
    size : int
    sha256 : str
    mtime_ns : int
        Lets a save see quickly that nobody touched the file; a load always checks the checksum.
    changed : bool
        Whether this save changed it. Tells files that training leaves alone from the others.
    stale : bool
        Carried along from a switched-off option; the set is whole without it.
    """

    size: int
    sha256: str
    mtime_ns: int = 0
    changed: bool = True
    stale: bool = False


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
    """

    model_class: str
    name: str
    format: str
    iteration: int
    files: Mapping[str, FileEntry]
    run: Mapping[str, Any] = field(default_factory=dict)
    payload: Mapping[str, Any] = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        """JSON with a checksum of its own, so that a flipped bit in it is noticed."""
        body = {
            "version": VERSION,
            "model_class": self.model_class,
            "name": self.name,
            "format": self.format,
            "iteration": self.iteration,
            "run": dict(self.run),
            "files": {name: vars(entry) for name, entry in self.files.items()},
            "payload": dict(self.payload),
        }
        text = json.dumps(body | {"checksum": _checksum(body)}, indent=1, ensure_ascii=False)
        return text.encode("utf-8", "surrogatepass")


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
        data = read_plain(path, limit=_LARGEST)
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
        body = json.loads(data.decode("utf-8", "surrogatepass"))
        if not isinstance(body, dict):
            raise ValueError("no JSON object")
        if body.get("version") != VERSION and isinstance(body.get("version"), int):
            raise ModelFileError(
                f"{what}: version {body['version']} is newer than this program knows ({VERSION}). "
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
    files: dict[str, FileEntry] = {}
    for name, entry in body["files"].items():
        if not is_safe_name(name):
            raise ValueError(f"{ascii(name)[:60]} is no plain file name")
        files[name] = FileEntry(
            size=_integer(entry["size"]),
            sha256=_typed(entry["sha256"], str),
            mtime_ns=_integer(entry.get("mtime_ns", 0)),
            changed=bool(entry.get("changed", True)),
            stale=bool(entry.get("stale", False)),
        )
    return Manifest(
        model_class=_typed(body["model_class"], str),
        name=_typed(body["name"], str),
        format=_typed(body["format"], str),
        iteration=_integer(body["iteration"]),
        files=files,
        run=_typed(body.get("run", {}), dict),
        payload=_typed(body.get("payload", {}), dict),
    )


def _typed(value: Any, kind: type) -> Any:
    if not isinstance(value, kind):
        raise ValueError(f"a {type(value).__name__} where a {kind.__name__} belongs")
    return value


def _integer(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"{str(value)[:40]} where a number belongs")
    return value

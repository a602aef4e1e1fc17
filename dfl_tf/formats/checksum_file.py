"""SHA-256 of every file of a folder, in a text file beside it that `sha256sum -c` reads."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from dfl_tf.disk.durable import write_file
from dfl_tf.disk.plain_file import read_plain
from dfl_tf.errors import FacesetError

_LARGEST = 256 << 20
_LINE = re.compile(r"(\\?)([0-9a-f]{64}) [ *](.+)")
_ESCAPES = {"\\": "\\\\", "\n": "\\n", "\r": "\\r"}
_ESCAPED = re.compile(r"\\(.)")


def checksum_path(folder: Path) -> Path:
    """The checksum file of a folder: ``aligned.sha256`` beside ``aligned``."""
    place = Path(folder).absolute()
    return place.with_name(place.name + ".sha256")


def read_checksums(folder: Path) -> dict[str, str] | None:
    """SHA-256 in hex by file name; None if there is no checksum file.

    Raises
    ------
    FacesetError
        The file cannot be read or does not have the form of `sha256sum`.
    """
    path = checksum_path(folder)
    try:
        text = read_plain(path, limit=_LARGEST).decode("utf-8", "surrogateescape")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise FacesetError(f"{path}: cannot be read ({error.strerror})") from None
    found = {}
    start = checksum_path(folder).stem + "/"
    for number, line in enumerate(text.split("\n"), start=1):
        match = _LINE.fullmatch(line)
        if match is None:
            if line:
                raise FacesetError(
                    f"{path}, line {number}: is no line of sha256sum (64 hexadecimal digits, two "
                    "blanks, a file name); remove the file to have it made again"
                )
            continue
        escaped, digest, name = match.groups()
        if escaped:
            name = _ESCAPED.sub(lambda m: {"n": "\n", "r": "\r"}.get(m[1], m[1]), name)
        found[name.removeprefix(start)] = digest
    return found


def write_checksums(folder: Path, checksums: Mapping[str, str]) -> None:
    """Write the checksum file of a folder; names are relative to the folder.

    Raises
    ------
    WorkspaceError
        It cannot be written.
    """
    path = checksum_path(folder)
    lines = []
    for name, digest in sorted(checksums.items()):
        full = f"{path.stem}/{name}"
        escaped = re.sub(r"[\\\n\r]", lambda m: _ESCAPES[m[0]], full)
        lines.append(f"{'' if escaped == full else chr(92)}{digest}  {escaped}\n")
    write_file(path, "".join(lines).encode("utf-8", "surrogateescape"))

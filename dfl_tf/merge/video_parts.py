"""What is noted of the parts of a video that are whole on the disk, so that a run can go on."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypedDict

import numpy as np

from dfl_tf.disk.guarded import parse_json, read_json
from dfl_tf.disk.journal import Journal, read_lines
from dfl_tf.disk.tree_schema import ANYTHING, Boolean, Integer, Record, Row, Table, Text
from dfl_tf.merge.pixels import Stored
from dfl_tf.video.parts import SUFFIX
from dfl_tf.video.read_back import SIDE, Written

ADVICE = "--overwrite starts over."
SHA, SIZE = Text(pattern="[0-9a-f]{64}", form="a SHA-256"), Integer(1)
_KIND = "the journal of a video's parts"
_THUMBNAIL = 2 * 3 * SIDE**2
"""Hexadecimal digits of one."""
_SEEN = Table(
    Text(pattern=f"[0-9a-f]{{64}}|[0-9a-f]{{{_THUMBNAIL}}}", form="a SHA-256 or a thumbnail"),
    Text(pattern="[0-9]{1,9}", form="the number of a frame"),
)
_SHAPES = Row(Row(SIZE, SIZE), Row(SIZE, SIZE))
_PART = Record(
    {
        "first": Integer(0),
        "count": Integer(1),
        "made_of": SHA,
        "sizes": Row(SIZE, SIZE),
        "shapes": _SHAPES,
        "coded": _SHAPES,
        "clock": Row(SIZE, SIZE),
        "seen": Row(_SEEN, _SEEN),
    }
)
_RECORD = Record(
    {"made_of": SHA, "sizes": Row(SIZE, SIZE), "output": Text(), "audio": Boolean()},
    others=ANYTHING,
)


class StoredRecord(TypedDict):
    """What a finished video was made of, the sizes of both files, and whether there is sound."""

    made_of: str
    sizes: list[int]
    output: str
    audio: bool


class StoredPart(TypedDict):
    """A part: pairs are of the video and of that of the masks.

    Attributes
    ----------
    first, count : int
        Its frames, counted from 0.
    made_of : str
        Checksum of all that it depends on.
    sizes : list of int
        Of the two files.
    shapes, coded : list of list of int
        Height and width of the images, and of the encoded frames.
    clock : list of int
        A unit of its times as a fraction of a second.
    seen : list of dict
        What reading back compares, by the number of the frame; see `Written.images`.
    """

    first: int
    count: int
    made_of: str
    sizes: list[int]
    shapes: list[list[int]]
    coded: list[list[int]]
    clock: list[int]
    seen: list[dict[str, str]]


class Parts:
    """The parts in a folder, and the journal that counts those that are whole.

    Parameters
    ----------
    folder : Path
        It is there.
    made_of : callable
        Gets the first frame and a count; gives the checksum that such a part has now.
    written : Written
        Says which frames of a part must be noted, and how.

    Attributes
    ----------
    whole : list of StoredPart
        Without a gap from frame 0 on.
    """

    def __init__(self, folder: Path, made_of: Callable[[int, int], str], written: Written) -> None:
        self._folder = folder
        path, end, self.whole = folder / "journal", 0, list[StoredPart]()
        for line in read_lines(path, kind=_KIND, advice=ADVICE):
            if not line.whole or not line.data:
                break
            what = f"{path}, line {line.number}"
            part: StoredPart = parse_json(
                line.data, what=what, kind=_KIND, schema=_PART, advice=ADVICE
            )
            fits = part["first"] == self.frames
            if not fits or part["made_of"] != made_of(part["first"], part["count"]):
                break
            if sizes_of(self.files(part["first"])) != part["sizes"]:
                break
            if not _is_complete(part, written):
                break
            self.whole.append(part)
            end = line.end
        self._journal = Journal(path, keep=end)

    @property
    def frames(self) -> int:
        """How many frames are in whole parts."""
        return sum(part["count"] for part in self.whole)

    def files(self, first: int) -> tuple[Path, Path]:
        """Return the files of the part that begins with a frame."""
        return self._folder / f"{first:08d}{SUFFIX}", self._folder / f"{first:08d}_mask{SUFFIX}"

    def add(self, part: StoredPart) -> None:
        """Note a part whose files are durable."""
        self.whole.append(part)
        self._journal.append(json.dumps(part).encode() + b"\n")
        self._journal.sync()

    def close(self) -> None:
        """Close the journal."""
        self._journal.close()


def _is_complete(part: StoredPart, written: Written) -> bool:
    """Whether all is noted that reading back the whole video will compare."""
    wanted = written.compared(part["first"], part["count"])
    digits = 64 if written.exact else _THUMBNAIL
    return all(
        {int(index) for index in texts} == wanted
        and all(len(text) == digits for text in texts.values())
        for texts in part["seen"]
    )


def read_record(path: Path) -> StoredRecord | None:
    """Read what a finished video was made of; None where there is no record.

    Raises
    ------
    WorkspaceError
        It is no such record.
    """
    kind = "the record of a merged video"
    return read_json(path, kind=kind, schema=_RECORD, advice=ADVICE, missing_ok=True)


def sizes_of(paths: Sequence[Path]) -> list[int]:
    """Return the sizes of files in bytes; 0 for what is no file."""
    return [path.stat().st_size if path.is_file() else 0 for path in paths]


def seen_texts(written: Written, first: int, count: int) -> dict[str, str]:
    """Return what reading back compares of the frames of a part, as text."""
    return {
        str(i): image if isinstance(image, str) else image.tobytes().hex()
        for i, image in written.images.items()
        if first <= i < first + count
    }


def remember(written: Written, texts: dict[str, str]) -> None:
    """Take `seen_texts` into the notes of a resumed run."""
    for index, text in texts.items():
        written.images[int(index)] = text if written.exact else _thumbnail(text)


def _thumbnail(text: str) -> Stored:
    return np.frombuffer(bytes.fromhex(text), np.uint8).reshape(SIDE, SIDE, 3)

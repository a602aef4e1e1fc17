"""Which faces are kept out of training, to measure on: whole blocks of consecutive frames.

Neighboring frames of a clip look alike, so faces drawn one by one would say nothing of faces that
the model never saw. A block is drawn by the hash of its clip and number: faces that are added or
taken away later move no other face from one side to the other.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dfl_tf.disk.frame_order import natural_key

BLOCK = 50
"""Consecutive frames of a block, where there are enough frames for that."""

_FACE_OF_FRAME = r"_\d+(?:_\d+)?"


class FaceOrigin(NamedTuple):
    """What the names of a face say about where it comes from.

    Attributes
    ----------
    name : str
        File name of the face.
    source : str
        Name of the frame; empty where it is not known.
    person : str
        Folder of the face in a pak; empty elsewhere.
    """

    name: str
    source: str = ""
    person: str = ""


class Frame(NamedTuple):
    """A frame of a clip. Frames of equal names from different clips are different ones."""

    clip: str
    number: int


@dataclass(frozen=True)
class HeldOut:
    """The draw of one side.

    Attributes
    ----------
    chosen : ndarray, shape (n,), bool
        Whether a face is held out.
    frames : tuple of Frame
        The frame of each face.
    blocks, of_blocks : int
        Held out, and all.
    length : int
        Frames of a block.
    """

    chosen: npt.NDArray[np.bool_]
    frames: tuple[Frame, ...]
    blocks: int
    of_blocks: int
    length: int

    def text(self) -> str:
        """What is held out, for people."""
        return (
            f"{int(self.chosen.sum())} of {len(self.chosen)} faces "
            f"({self.blocks} of {self.of_blocks} blocks of {self.length} consecutive frames)"
        )


def frames_of(faces: Iterable[FaceOrigin]) -> tuple[Frame, ...]:
    """Find the clip and the number of the frame of each face.

    The number of a frame is the last number in its name that differs between frames; all else of
    the name tells the clip, and so do the person and what stands before the frame's name in that
    of the face (``second_00001_0.jpg`` for ``00001.png``). A face that does not know its frame
    goes by its own name.

    Parameters
    ----------
    faces : iterable of FaceOrigin

    Returns
    -------
    tuple of Frame
        In the order of the faces.
    """
    parts = [_parts(face) for face in faces]
    numbers: dict[tuple[str, ...], list[tuple[int, ...]]] = defaultdict(list)
    for texts, found in parts:
        numbers[texts].append(found)
    places = {texts: _counting_place(found) for texts, found in numbers.items()}
    frames = []
    for texts, found in parts:
        place = places[texts]
        rest = [n for i, n in enumerate(found) if i != place]
        number = found[place] if place is not None else 0
        frames.append(Frame("|".join([*texts, *map(str, rest)]), number))
    return tuple(frames)


def _parts(face: FaceOrigin) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """The texts and the numbers that say which frame a face is of."""
    own = PurePath(face.name).stem
    stem = PurePath(face.source).stem
    before = ""
    if stem:
        match = re.fullmatch(rf"(.*){re.escape(stem)}{_FACE_OF_FRAME}", own, re.DOTALL)
        before = match[1] if match else ""
    else:
        stem = re.sub(rf"(?<=\d){_FACE_OF_FRAME}$", "", own)
    pieces = natural_key(stem)[0]
    texts = (face.person, before, *(str(piece) for piece in pieces[::2]))
    return texts, tuple(int(piece) for piece in pieces[1::2])


def _counting_place(found: Sequence[tuple[int, ...]]) -> int | None:
    """Which of the numbers counts the frames: the last one that is not always the same."""
    columns = list(zip(*found, strict=True))
    if not columns:
        return None
    differing = [place for place, column in enumerate(columns) if len(set(column)) > 1]
    return differing[-1] if differing else len(columns) - 1


def draw(faces: Sequence[FaceOrigin], share: float) -> HeldOut:
    """Draw the blocks that are held out.

    A block is drawn if the hash of its clip and number, as a number in [0, 1), is below `share`;
    if that draws none, the one of the lowest hash, and never all of them. A side of fewer than
    ``50 / share`` frames is cut into shorter blocks, of which one is the share.

    Parameters
    ----------
    faces : sequence of FaceOrigin
    share : float
        Above 0, at most 0.5.

    Returns
    -------
    HeldOut

    Raises
    ------
    ValueError
        There is no face to hold out or none is left to train on, or `share` is out of range.
    """
    if not 0 < share <= 0.5:
        raise ValueError(f"share must be above 0 and at most 0.5; received {share}")
    frames = frames_of(faces)
    if len(set(frames)) < 2:
        raise ValueError("faces of at least two frames are needed")
    length = min(BLOCK, max(1, round(_span(frames) * share)))
    blocks = [Frame(frame.clip, frame.number // length) for frame in frames]
    by_hash = sorted(set(blocks), key=_hash)
    drawn = [block for block in by_hash if _hash(block) < share]
    if length < BLOCK or not drawn:
        drawn = [_one(by_hash, blocks, share * len(frames))]
    chosen = set(drawn[: len(by_hash) - 1])
    return HeldOut(
        np.array([block in chosen for block in blocks], bool),
        frames,
        len(chosen),
        len(by_hash),
        length,
    )


def _span(frames: Sequence[Frame]) -> int:
    """How many frames the clips have, those without a face included."""
    numbers: dict[str, list[int]] = defaultdict(list)
    for frame in frames:
        numbers[frame.clip].append(frame.number)
    return sum(max(found) - min(found) + 1 for found in numbers.values())


def _hash(block: Frame) -> float:
    """A number in [0, 1) that is the same on every machine."""
    text = f"{block.clip}\n{block.number}".encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.sha256(text).digest()[:6]) / 2**48


def _one(by_hash: Sequence[Frame], blocks: Sequence[Frame], wanted: float) -> Frame:
    """The block of the lowest hash of those with about as many faces as are wanted."""
    counts = Counter(blocks)
    about = [block for block in by_hash if wanted / 2 <= counts[block] <= wanted * 2]
    return about[0] if about else min(by_hash, key=lambda block: abs(counts[block] - wanted))

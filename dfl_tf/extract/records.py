"""What an extraction remembers of each frame: the lines of its journal."""

from __future__ import annotations

from dataclasses import dataclass

from dfl_tf.extract.found import Box, Points


@dataclass(frozen=True, eq=False)
class RecordedFace:
    """A face that was found in a frame, whether it was stored or not.

    Attributes
    ----------
    box : tuple of float
        Left, top, right, bottom in frame pixels.
    score : float
        Of the detector; the scale is the detector's own.
    landmarks : ndarray, shape (68, 2), float64, or None
        In frame pixels, rounded to a thousandth; None where the landmarker found none.
    landmark_score : float
        Of the landmarker; 0 without landmarks.
    file : str
        Name of the stored image; empty if none was stored.
    sha256 : str
        Of the stored file, in hex.
    dropped : str
        Why the face was not stored; empty if it was.
    track : int
        Number of the track that the face belongs to, from 0; -1 before tracks are assigned.
    by_hand : bool
        Whether somebody has put it there (`placing`); such a face stays when its frame is
        extracted again.
    """

    box: Box
    score: float
    landmarks: Points | None
    landmark_score: float = 0.0
    file: str = ""
    sha256: str = ""
    dropped: str = ""
    track: int = -1
    by_hand: bool = False


@dataclass(frozen=True, eq=False)
class FrameRecord:
    """A frame in which faces were looked for.

    Attributes
    ----------
    name : str
        File name of the frame, with its suffix.
    number : int
        Its place, from 1: among the frames of a folder in the order of the numbers in their
        names, or among the decoded, shown frames of a video.
    height, width : int
        Pixels, as decoded.
    faces : tuple of RecordedFace
        The largest first.
    rotation : int
        By how many degrees the frame was turned when the faces were found.
    stamp : tuple of int
        What tells whether the frame has changed: bytes, time of modification in nanoseconds and
        checksum of a file; 0, 0 and checksum of the pixels for a frame of a video.
    run : int
        Which of the runs listed in the journal made it, from 0.
    look : bytes
        A tiny copy of the frame by which cuts are seen (`cuts.frame_look`); empty: not known.
    given : int
        Checksum of the faces that the user gave for it (``--faces``); 0 without.
    removed : tuple of RecordedFace
        Faces that somebody has taken out of it (`placing`); `file` is the name in the trash folder.
    """

    name: str
    number: int
    height: int
    width: int
    faces: tuple[RecordedFace, ...] = ()
    rotation: int = 0
    stamp: tuple[int, int, int] = (0, 0, 0)
    run: int = 0
    look: bytes = b""
    given: int = 0
    removed: tuple[RecordedFace, ...] = ()


@dataclass(frozen=True, eq=False)
class GivenFace:
    """A face whose place the user gives (``--faces``): a box, landmarks or both.

    Attributes
    ----------
    box : tuple of float, or None
        Left, top, right, bottom in frame pixels; None: the bounding box of the landmarks.
    landmarks : ndarray, shape (68, 2), float64, or None
        In frame pixels; None: they are looked for in the box.
    """

    box: Box | None = None
    landmarks: Points | None = None

"""The order of the frames of a video: by the numbers in their names, as they were shown.

Frames are numbered with five digits, so that the names of the 100,000th and later ones are longer
and come too early as text. Faces keep the order of their paths everywhere: results that the legacy
program computed depend on it.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from pathlib import Path

log = logging.getLogger(__name__)

BESIDE_FRAMES = frozenset(
    (
        "aligned",
        "aligned.sha256",
        "aligned_debug",
        "aligned_trash",
        "merged",
        "merged_mask",
        "timestamps.json",
    )
)
"""What a workspace keeps in the folder of frames."""

_NUMBER = re.compile(r"([0-9]+)")

Key = tuple[tuple[str | int, ...], str]


def natural_key(name: str) -> Key:
    """Key that sorts names by the numbers in them: ``99999`` before ``100000``.

    Parameters
    ----------
    name : str
        Of a frame, with or without its suffix.

    Returns
    -------
    tuple
        Text and numbers by turns; then the name, which orders ``1`` and ``01``.
    """
    pieces = _NUMBER.split(name)
    return tuple(int(p) if i % 2 else p for i, p in enumerate(pieces)), name


def in_frame_order(frames: Iterable[Path]) -> list[Path]:
    """Sort frame files by the numbers in their names; one line says where that is not path order.

    Parameters
    ----------
    frames : iterable of Path
        Files of one folder.
    """
    by_path = sorted(frames, key=str)
    ordered = sorted(by_path, key=lambda path: natural_key(path.stem))
    for before, (path, other) in enumerate(zip(ordered, by_path, strict=True)):
        if path != other:
            where = f"{path.name} follows {ordered[before - 1].name}" if before else path.name
            log.warning("frames are taken in the order of the numbers in their names (%s)", where)
            break
    return ordered

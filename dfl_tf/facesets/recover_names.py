"""Names of faces after the frames that they come from: undoes any sort.

References
----------
facesets.md 6.
"""

from __future__ import annotations

import itertools
from pathlib import Path

from dfl_tf.disk.left_out import LeftOut
from dfl_tf.disk.plain_file import is_safe_name
from dfl_tf.facesets.measuring import face_files
from dfl_tf.facesets.rearranging import Rearrangement
from dfl_tf.formats.faces.face_folder import read_face

UNNAMED = "faces that do not name their frame"


def plan_names(place: Path) -> tuple[Rearrangement, LeftOut]:
    """Find out which face gets which name: ``<stem of its frame>_<number><suffix>``.

    The faces of a frame are numbered in folder order, from 0; frames of one stem share a count.
    Names of files that stay as they are passed over.

    Returns
    -------
    (Rearrangement, LeftOut)
        In the second, what keeps its name: images that are not faces.
    """
    files, left_out = face_files(place)
    frames: dict[str, dict[str, list[str]]] = {}
    known: list[str] = []
    for file in files:
        metadata = file.metadata or read_face(file.path or file.read(), file.name, left_out)
        if metadata is None:
            continue
        # a path is none of ours, whatever system it comes from
        frame = metadata.source_filename.replace("\\", "/").rpartition("/")[2]
        stem = Path(frame).stem
        if not stem or not is_safe_name(f"{stem}_00000.jpeg"):
            left_out.add(UNNAMED, file.name, f"its frame is {frame!a}")
            continue
        frames.setdefault(stem, {}).setdefault(frame, []).append(file.name)
        known.append(file.name)
    taken = {file.name for file in files} - set(known)
    renamed: dict[str, str] = {}
    for stem, of_stem in frames.items():
        numbers = itertools.count()
        for name in itertools.chain.from_iterable(of_stem.values()):
            person, slash, file_name = name.rpartition("/")
            suffix = Path(file_name).suffix
            candidates = (f"{person}{slash}{stem}_{number}{suffix}" for number in numbers)
            renamed[name] = next(new for new in candidates if new not in taken)
    kept = [(name, renamed[name]) for name in known]
    return Rearrangement(place, "recover names", kept), left_out

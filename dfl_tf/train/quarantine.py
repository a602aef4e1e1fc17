"""Faces that are left out of training, since their losses stood out; stored with the model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from dfl_tf.disk.text import printable
from dfl_tf.formats.models import run_record
from dfl_tf.train.outliers import Outlier

if TYPE_CHECKING:
    from dfl_tf.data import Faceset

STORED_AS: Final = "quarantine"
"""Key of the faces in `ModelState.run`."""
SHARE = 0.05
"""The largest share of the faces of a side that is left out: more are no outliers."""
_LISTED = 5


@dataclass(frozen=True)
class LeftOutFace:
    """A face that is not trained on any more.

    Attributes
    ----------
    side : str
        Of `Facesets.sides`.
    data : str
        The other workspace that it is of, or empty.
    face : str
        Its name, with the person's in a pak.
    iteration : int
        Since when.
    why : str
        For people.
    """

    side: str
    data: str
    face: str
    iteration: int
    why: str


def read_left_out(stored: Mapping[str, object]) -> tuple[LeftOutFace, ...]:
    """The faces that a model leaves out.

    Parameters
    ----------
    stored : mapping
        `ModelState.run`.

    Raises
    ------
    ModelFileError
        It is none of ours.
    """
    tree = run_record.stored(stored, STORED_AS) or ()
    fields = ("side", "data", "face", "iteration", "why")
    return tuple(LeftOutFace(**{key: entry[key] for key in fields}) for entry in tree)


def tree_of(faces: Iterable[LeftOutFace]) -> list[dict[str, object]]:
    """As JSON values, each face once."""
    once = {(face.side, face.data, face.face): face for face in faces}
    return [dict(vars(face)) for face in once.values()]


def leave_out(
    before: Sequence[LeftOutFace],
    found: Iterable[Outlier],
    sides: Mapping[str, Faceset],
    *,
    data: str,
    iteration: int,
) -> tuple[list[LeftOutFace], list[str]]:
    """Choose which of the faces that stand out are left out.

    Parameters
    ----------
    before : sequence of LeftOutFace
        Those that are left out already.
    found : iterable of Outlier
    sides : mapping of str to Faceset
        What is trained on now.
    data : str
        The other workspace that the faces are of, or empty.
    iteration : int
        For people.

    Returns
    -------
    (list of LeftOutFace, list of str)
        The new ones; notes for the user.
    """
    chosen: dict[tuple[str, str], LeftOutFace] = {}
    told = []
    for each in found:
        faceset = sides.get(each.side)
        if faceset is None or (each.side, each.face) in chosen:
            continue
        out = sum(face.side == each.side and face.data == data for face in before)
        whole = len(faceset) + out
        out += sum(side == each.side for side, _ in chosen)
        if out >= max(1, int(SHARE * whole)) or len(faceset) < 2:
            told.append(
                f"{each.side} face {each.face} is not left out: {out} of {whole} are already, "
                "and faces that stand out are few"
            )
            continue
        why = each.text()
        chosen[each.side, each.face] = LeftOutFace(each.side, data, each.face, iteration, why)
        told.append(f"left out of training from now on: {why} ({each.file})")
    return list(chosen.values()), told


def left_out_lines(stored: Mapping[str, object]) -> list[str]:
    """The faces that a model leaves out, for people; empty if there are none."""
    return [
        f"left out of training: {face.side} face {printable(face.face)}"
        f"{' of ' + printable(face.data) if face.data else ''}, since iteration {face.iteration}: "
        f"{printable(face.why)}"
        for face in read_left_out(stored)
    ]


def lift(stored: Mapping[str, object]) -> tuple[dict[str, object], list[str]]:
    """`ModelState.run` with all faces trained on again, and notes for the user."""
    count = len(read_left_out(stored))
    kept = {key: value for key, value in stored.items() if key != STORED_AS}
    faces = "face is" if count == 1 else "faces are"
    told = [f"{count} {faces} trained on again that {'was' if count == 1 else 'were'} left out"]
    return kept, told if count else []


def listed(faces: Sequence[str]) -> str:
    """A few names, for one line."""
    more = f" and {len(faces) - _LISTED} more" if len(faces) > _LISTED else ""
    return ", ".join(printable(face) for face in faces[:_LISTED]) + more

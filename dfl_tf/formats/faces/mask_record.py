"""Which model made the masks of a folder of faces: a small text file beside the faces.

DeepFaceLab does not look at it. It stays when faces are sorted, packed or changed.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from dfl_tf.disk.durable import sync_folder, write_file
from dfl_tf.disk.guarded import read_json
from dfl_tf.disk.tree_schema import Boolean, Integer, Optional, Record, Schema, Text
from dfl_tf.disk.write_errors import explain_write_errors

RECORD = "xseg_model.json"
_FIELDS: dict[str, Schema] = {
    "name": Text(),
    "iteration": Optional(Integer(0)),
    "sha256": Text(),
    "face_type": Text(),
    "faces": Integer(0),
    "complete": Boolean(),
}


@dataclass(frozen=True)
class MaskRecord:
    """What made the masks of a folder.

    Attributes
    ----------
    name : str
        Of the model or its file.
    iteration : int or None
        None where it is not known.
    sha256 : str
        Of the weights, in hex.
    face_type : str
        What the model was given: a face type in short, or ``same``.
    faces : int
        How many got a mask.
    complete : bool
        False after an interruption: other masks are from before.
    """

    name: str
    iteration: int | None
    sha256: str
    face_type: str = "same"
    faces: int = 0
    complete: bool = False

    def __str__(self) -> str:
        at = "" if self.iteration is None else f" at iteration {self.iteration}"
        return f"{self.name}{at} ({self.sha256[:12]})"


def _place(faces: Path) -> Path:
    return (faces if faces.is_dir() else faces.parent) / RECORD


def read_mask_record(faces: Path) -> MaskRecord | None:
    """The record of a folder or pak; None if there is none.

    Raises
    ------
    WorkspaceError
        It cannot be read.
    """
    content = read_json(
        _place(faces),
        kind="a record of masks",
        schema=Record(_FIELDS),
        limit=1 << 16,
        advice="Remove it; `dfl-tf xseg apply` writes it again.",
        missing_ok=True,
    )
    return None if content is None else MaskRecord(**content)


def write_mask_record(faces: Path, record: MaskRecord) -> None:
    """Write the record of a folder or pak."""
    write_file(_place(faces), json.dumps(asdict(record), indent=1).encode() + b"\n")


def remove_mask_record(faces: Path) -> None:
    """Remove the record, if there is one: the masks are gone."""
    path = _place(faces)
    if path.exists():
        with explain_write_errors(path):
            path.unlink(missing_ok=True)
            sync_folder(path.parent)


def mask_warnings(src: Path, dst: Path) -> list[str]:
    """Say where the masks of src and dst differ in what made them.

    Parameters
    ----------
    src, dst : Path
        Folders of aligned faces, or paks.

    Returns
    -------
    list of str
        A sentence each; empty where nothing is known or all is well.

    Raises
    ------
    WorkspaceError
        A record cannot be read.
    """
    one, other = read_mask_record(src), read_mask_record(dst)
    lines = [
        f"{side}: masking by {record} was interrupted; other faces have older masks or none"
        for side, record in (("src", one), ("dst", other))
        if record is not None and not record.complete
    ]
    if one is None or other is None:
        return lines
    if (one.sha256, one.face_type) != (other.sha256, other.face_type):
        lines.append(
            f"src was masked by {one}, dst by {other}: apply one model to both, or their masks "
            "may end in different places"
        )
    return lines

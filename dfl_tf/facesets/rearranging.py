"""Giving faces of a folder or pak new names, and taking some out of it: one step, with undo.

Everything that sorts, filters or renames faces describes what it wants as a `Rearrangement`.
Faces that are taken out go to the trash folder beside the faceset, which is only added to. A pak
is written again under the new order, and the one from before goes to the trash folder, whole.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dfl_tf.disk import checksums, moves
from dfl_tf.disk.durable import copy_file, filling_folder, make_folder, rename, sync_folder
from dfl_tf.disk.moves import Move
from dfl_tf.disk.plain_file import version_of
from dfl_tf.errors import FacesetError, UsageError
from dfl_tf.formats.faces.face_folder import pak_of
from dfl_tf.formats.faces.faceset_pak import PAK_NAME, PakFace, PakFaceset, read_pak, write_pak
from dfl_tf.formats.faces.faceset_sums import pak_name, pak_sums

TRASH = "_trash"
_DIGITS = 5


@dataclass(frozen=True)
class Rearrangement:
    """What becomes of the faces of a folder or pak.

    Attributes
    ----------
    place : Path
        The folder or the pak.
    why : str
        For messages: "sort by blur".
    kept : sequence of (str, str)
        Old and new name, in order. (In a folder, only the names give an order.)
    trash : sequence of str
        What is taken out. Faces in neither list stay as they are.
    """

    place: Path
    why: str
    kept: Sequence[tuple[str, str]]
    trash: Sequence[str] = field(default=())

    @property
    def folder(self) -> Path:
        """The folder, or the one that the pak lies in; no link."""
        return root_of(self.place)

    @property
    def trash_folder(self) -> Path:
        """Where faces go that are taken out: beside the folder, with its whole name."""
        return beside(self.folder, TRASH)


def root_of(place: Path) -> Path:
    """The folder of a faceset, without links: of a pak, the folder that it lies in."""
    return (place if place.is_dir() else place.parent).resolve()


def beside(folder: Path, ending: str) -> Path:
    """The folder beside another one that has its whole name and an ending."""
    return folder.with_name(folder.name + ending)


def numbered(names: Sequence[str]) -> list[tuple[str, str]]:
    """Old and new names of faces in order: ``00000.jpg``, with the suffix (and person) of each.

    All get as many digits as the last one needs, so that the order of the names is the order.
    """
    digits = max(_DIGITS, len(str(len(names) - 1)))
    renamed = []
    for number, name in enumerate(names):
        person, slash, file = name.rpartition("/")
        renamed.append((name, f"{person}{slash}{number:0{digits}d}{Path(file).suffix}"))
    return renamed


def free_name(name: str, taken: set[str]) -> str:
    """A name like the given one that is not taken yet, and is taken then."""
    path, number, free = Path(name), 1, name
    while free in taken:
        number += 1
        free = f"{path.stem}-{number}{path.suffix}"
    taken.add(free)
    return free


def names_in(folder: Path) -> set[str]:
    """All names in a folder; none if there is no such folder."""
    try:
        return set(os.listdir(folder))
    except FileNotFoundError:
        return set()
    except OSError as error:
        raise FacesetError(f"{folder}: cannot be listed ({error.strerror}).") from None


def rearrange(plan: Rearrangement) -> None:
    """Move the faces as planned; an interruption is completed by `finish_moves`.

    Raises
    ------
    WorkspaceError
        Something is in the way; nothing was moved.
    """
    pak = pak_of(plan.place)
    if pak is not None:
        _rearrange_pak(pak, plan)
        return
    trash = plan.trash_folder
    if plan.trash:
        make_folder(trash)
    taken = names_in(trash)
    steps = [Move(old, new) for old, new in plan.kept]
    steps += [Move(name, f"../{trash.name}/{free_name(name, taken)}") for name in plan.trash]
    moves.move_files(plan.folder, steps, why=plan.why)


def finish_moves(place: Path) -> str | None:
    """Complete what an interrupted run began in this faceset; None if there is nothing."""
    return moves.finish(root_of(place))


def take_back(place: Path) -> tuple[str, list[str]]:
    """Undo the last rearrangement of a faceset.

    Returns
    -------
    (str, list of str)
        What it was, and what is gone since and could not be moved back.

    Raises
    ------
    WorkspaceError
        There is nothing to undo, or other files have taken the old places.
    """
    return moves.undo(root_of(place))


# -- paks ----------------------------------------------------------------------------------------
def _rearrange_pak(pak: Path, plan: Rearrangement) -> None:
    swap_pak(pak, _rearranged(read_whole_pak(pak), plan), why=plan.why)


def read_whole_pak(pak: Path) -> PakFaceset:
    """Read a pak that is to be written again.

    Raises
    ------
    FacesetError
        Some of its faces are damaged; they would be lost.
    """
    faceset = read_pak(pak)
    if faceset.damaged:
        raise FacesetError(
            f"{pak}: {len(faceset.damaged)} of its faces are damaged and would be lost if it were "
            f"written again ({faceset.damaged[0].name}). Unpack it first "
            "(dfl-tf faceset unpack --keep-pak)."
        )
    return faceset


def entry_name(faceset: PakFaceset, index: int) -> str:
    """The name of a face of a pak: with its person, ``person/name``."""
    return pak_name(faceset[index].person_name, faceset[index].filename)


def _rearranged(faceset: PakFaceset, plan: Rearrangement) -> list[PakFace]:
    places: dict[str, list[int]] = {}
    for index in range(len(faceset)):
        places.setdefault(entry_name(faceset, index), []).append(index)
    doubles = [name for name, found in places.items() if len(found) > 1]
    if doubles:
        raise FacesetError(
            f"{faceset.path}: {doubles[0]} stands in it {len(places[doubles[0]])} times. Unpack "
            "or pack it again with one name for each face."
        )
    order = [(places[old][0], new) for old, new in plan.kept]
    gone = {places[name][0] for name in plan.trash} | {index for index, _ in order}
    order += [(i, entry_name(faceset, i)) for i in range(len(faceset)) if i not in gone]
    return [
        (new.rpartition("/")[2], faceset[i].person_name, faceset[i].metadata, (faceset, i))
        for i, new in order
    ]


def swap_pak(
    pak: Path,
    faces: Sequence[PakFace],
    *,
    why: str,
    ending: str = TRASH,
    version: tuple[int, ...] | None = None,
) -> Path:
    """Put a new pak in the place of an old one, which goes whole to the folder with the `ending`.

    Returns
    -------
    Path
        Where the old one is now.

    Raises
    ------
    FacesetError
        It is not the one that had this `version` any more (see `disk.plain_file.version_of`).
    """
    root = pak.resolve().parent
    aside = beside(root, ending)
    make_folder(aside)
    taken = names_in(aside)
    fresh = aside / free_name(f"{pak.stem}-new{pak.suffix}", taken)
    write_pak(fresh, faces)
    listed = checksums.read_sums(root)
    if listed is not None:
        inside = _inside(fresh, faces, listed.inside.get(pak.name, {}))
        checksums.record(aside, [fresh.name], inside={fresh.name: inside})
    before = free_name(pak.name, taken)

    def steps() -> list[Move]:
        if version is not None and version_of(pak) != version:
            fresh.unlink()
            raise FacesetError(
                f"{pak}: was changed by another program meanwhile. Nothing was changed; start "
                f"again: {why}."
            )
        return [
            Move(pak.name, f"../{aside.name}/{before}"),
            Move(f"../{aside.name}/{fresh.name}", pak.name),
        ]

    moves.move_files(root, steps, why=why)
    return aside / before


def _inside(fresh: Path, faces: Sequence[PakFace], before: dict[str, str]) -> dict[str, str]:
    """Checksums of the faces of a new pak; faces of the old one keep theirs, damaged or not."""
    found = pak_sums(fresh)
    for filename, person, _, image in faces:
        if isinstance(image, tuple):
            name = pak_name(person, filename)
            found[name] = before.get(entry_name(*image), found[name])
    return found


# -- copies --------------------------------------------------------------------------------------
def copy_rearranged(plan: Rearrangement, target: Path) -> None:
    """Write the kept faces into a new folder under their new names; the source stays as it is.

    Raises
    ------
    UsageError
        The target holds files already.
    WorkspaceError
        It cannot be written; nothing is left of the attempt.
    """
    target = target.absolute()
    if names_in(target):
        raise UsageError(f"{target}: is not empty. Name a new folder for the copies.")
    make_folder(target.parent)
    pak = pak_of(plan.place)
    with filling_folder(target.parent) as folder:
        if pak is None:
            for old, new in plan.kept:
                copy_file(plan.folder / old, folder / new)
        else:
            faces = _rearranged(read_whole_pak(pak), plan)
            write_pak(folder / PAK_NAME, faces[: len(plan.kept)])
        sync_folder(folder)
        rename(folder, target)

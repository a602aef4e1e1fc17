"""The list of SHA-256 of a faceset: made, compared with what is there, kept true for paks.

The list itself is `dfl_tf.disk.checksums`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dfl_tf.disk import checksums
from dfl_tf.disk.checksums import Rewriting, Sums, digest, read_sums, record
from dfl_tf.disk.durable import filling_folder, rename, sha256_of
from dfl_tf.errors import DflTfError, FacesetError
from dfl_tf.formats.faces.face_folder import list_faces
from dfl_tf.formats.faces.faceset_pak import PAK_NAME, PakFace, read_pak, write_pak


@dataclass
class SumsReport:
    """How the files of a faceset compare with its list.

    Attributes
    ----------
    listed : int
        Lines of the list, those of faces in paks included.
    changed, missing, new : list of str
        `new` has no line.
    """

    listed: int = 0
    changed: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    new: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.changed or self.missing)


def root_of(place: Path) -> Path:
    """The folder that has the list: of a pak, the one that it lies in."""
    return place if place.is_dir() else place.parent


def files_of(root: Path) -> list[str]:
    """What a list has lines for: the images of a folder and of its persons, and its pak."""
    listing = list_faces(root, known=(PAK_NAME,))
    names = [path.name for path in listing.files]
    for person in listing.folders:
        names += [f"{person.name}/{path.name}" for path in list_faces(person).files]
    return names + [path.name for path in sorted(root.glob("*.pak")) if path.is_file()]


def pak_sums(pak: Path) -> dict[str, str]:
    """SHA-256 of the image files in a pak, by their names."""
    faceset = read_pak(pak)
    return {
        pak_name(entry.person_name, entry.filename): digest(faceset.jpeg(index))
        for index, entry in enumerate(faceset.entries)
    }


def pak_name(person: str | None, filename: str) -> str:
    """Name of a face of a pak: with its person, ``person/name``."""
    return f"{person}/{filename}" if person else filename


def compare(place: Path) -> SumsReport | None:
    """Compare a faceset with its list; None if there is none.

    Raises
    ------
    WorkspaceError
        The list cannot be read.
    """
    root = root_of(place)
    sums = read_sums(root)
    if sums is None:
        return None
    report = SumsReport(len(sums.files) + sum(map(len, sums.inside.values())))
    for name, value in sums.files.items():
        path = root / name
        if not path.is_file():
            report.missing.append(name)
        elif sha256_of(path) != value:
            report.changed += [name, *_changed_inside(path, name, sums)]
    report.new = [name for name in files_of(root) if name not in sums.files]
    return report


def _changed_inside(pak: Path, name: str, sums: Sums) -> list[str]:
    wanted = sums.inside.get(name)
    if wanted is None:
        return []
    try:
        found = pak_sums(pak)
    except DflTfError:
        return []  # its list cannot be read: the pak itself is named
    return [f"{name}/{face}" for face, value in wanted.items() if found.get(face) != value]


def make_list(place: Path, *, accept_changes: bool = False) -> tuple[Sums, SumsReport | None]:
    """Write the list of a faceset, from what is there now.

    Raises
    ------
    FacesetError
        There is a list already, and files have changed or are missing since; nothing is written.
        `accept_changes` takes them as they are.
    """
    root = root_of(place)
    before = compare(place)
    if before and not accept_changes:
        raise FacesetError(
            f"{checksums.checksum_path(root)}: {len(before.changed)} files have changed since it "
            f"was written, {len(before.missing)} are missing "
            f"({', '.join((before.changed + before.missing)[:5])}). Nothing was written; "
            "--accept-changes takes the files as they are."
        )
    names = files_of(root)
    if not names:
        raise FacesetError(f"{root}: no image and no pak is here; there is nothing to list.")
    old = read_sums(root)
    if old is not None:
        checksums.forget(root, [name for name in old.files if name not in names])
    paks = [name for name in names if name.endswith(".pak")]
    return record(root, names, inside={name: pak_sums(root / name) for name in paks}), before


def list_pak(pak: Path, originals: Sequence[Path] = ()) -> None:
    """Add a pak that was just packed to the list of its folder.

    A face whose original has a line is listed by that: had it been damaged before it was packed,
    the pak would show it.
    """
    inside = pak_sums(pak)
    sums = read_sums(pak.parent)
    if sums is not None:
        for path in originals:
            name = path.relative_to(pak.parent).as_posix()
            inside[name] = sums.files.get(name, inside.get(name, ""))
    record(pak.parent, [pak.name], inside={pak.name: inside})


def list_unpacked(pak: Path, names: Iterable[str]) -> None:
    """Add faces that were unpacked, if the folder has a list; they fit what the pak was listed by.

    Call it before the pak is removed.
    """
    sums = read_sums(pak.parent)
    if sums is None:
        return
    inside = sums.inside.get(pak.name, {})
    found = pak_sums(pak)
    for name in names:
        # a run that was killed may have listed it, and taken the pak out of the list
        sums.files[name] = inside.get(name, sums.files.get(name, found[name]))
    checksums.write_sums(pak.parent, sums)


def replace_pak(pak: Path, faces: Iterable[PakFace]) -> None:
    """Write a pak again; the list of its folder stays true."""
    if read_sums(pak.parent) is None:
        write_pak(pak, faces)
        return
    with filling_folder(pak.parent) as folder, Rewriting(pak.parent) as sums:
        fresh = folder / pak.name
        write_pak(fresh, faces)
        before = sha256_of(pak)
        sums.replace(pak.name, old=before, new=sha256_of(fresh))
        if not sums.damaged:
            sums.contains(pak.name, pak_sums(fresh))
        rename(fresh, pak)
        folder.rmdir()

"""Whole facesets on disk: pack a folder, unpack a pak, look through either.

References: data.md 2.1 to 2.4.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dfl_tf.disk import checksums, durable
from dfl_tf.disk.folder_lock import only_writer
from dfl_tf.disk.left_out import LeftOut
from dfl_tf.disk.listing import FOLDERS, Listing
from dfl_tf.disk.plain_file import read_plain
from dfl_tf.disk.write_errors import explain_write_errors
from dfl_tf.errors import DflTfError, FacesetError
from dfl_tf.face import FaceType, landmarks_error
from dfl_tf.face.polygons import encloses
from dfl_tf.formats.faces.dfljpg import MAX_IMAGE_BYTES, read_metadata
from dfl_tf.formats.faces.face_folder import (
    EMPTY_LABELS,
    find_faces,
    list_faces,
    pak_of,
    read_faces,
)
from dfl_tf.formats.faces.face_metadata import FaceMetadata
from dfl_tf.formats.faces.faceset_pak import PAK_NAME, PakFaceset, read_pak, write_pak
from dfl_tf.formats.faces.faceset_sums import list_pak, list_unpacked
from dfl_tf.formats.faces.metadata_file import FolderReport
from dfl_tf.imaging import decode_image, size_error
from dfl_tf.jobs.progress import Progress

_JPEG = b"\xff\xd8\xff"


@dataclass
class FacesetReport:
    """What a faceset holds.

    Attributes
    ----------
    source : str
        The pak or the folder.
    faces : int
    face_types, sizes : Counter
    with_mask, with_polygons, empty_labels : int
        `empty_labels`: with polygons that enclose nothing of the image.
    persons : Counter
    left_out : LeftOut
        Files that are not usable faces.
    errors : list of (str, str)
        Faces that are there but damaged (only looked for by `verify`).
    """

    source: str
    faces: int = 0
    face_types: Counter[str] = field(default_factory=Counter)
    sizes: Counter[str] = field(default_factory=Counter)
    persons: Counter[str] = field(default_factory=Counter)
    with_mask: int = 0
    with_polygons: int = 0
    empty_labels: int = 0
    left_out: LeftOut = field(default_factory=LeftOut)
    errors: list[tuple[str, str]] = field(default_factory=list)

    @property
    def skipped(self) -> list[tuple[str, str]]:
        """Name and reason of every file that should be a face and is not a usable one."""
        return self.left_out.skipped

    def known_types(self) -> dict[FaceType, int]:
        """The faces by type."""
        return {FaceType.from_name(name): number for name, number in self.face_types.items()}

    def count(self, name: str, metadata: FaceMetadata, person: str | None) -> None:
        """Add one face, if training and merging could use it."""
        try:
            FaceType.from_name(metadata.face_type)
        except ValueError as error:
            self.left_out.add("faces of an unknown type", name, str(error))
            return
        problem = landmarks_error(metadata.landmarks)
        if problem:
            self.left_out.add("faces with unusable landmarks", name, problem)
            return
        problem = size_error(*metadata.shape[:2])
        if problem:
            self.left_out.add("faces with too many pixels or none", name, problem)
            return
        self.faces += 1
        if metadata.seg_ie_polys and not encloses(metadata.shape, metadata.seg_ie_polys):
            self.empty_labels += 1
            self.left_out.add(EMPTY_LABELS, name)
        self.face_types[metadata.face_type] += 1
        self.sizes["x".join(map(str, metadata.shape[:2]))] += 1
        self.with_mask += metadata.xseg_mask_bytes is not None
        self.with_polygons += bool(metadata.seg_ie_polys)
        if person is not None:
            self.persons[person] += 1


def examine(path: Path, *, verify: bool = False, progress: Progress | None = None) -> FacesetReport:
    """Look through a folder of faces or a pak.

    Parameters
    ----------
    verify : bool
        Decode every image and mask too, and of a pak compare the list with the images in it.

    Raises
    ------
    FacesetError
        Nothing readable is there.
    """
    pak, listing = find_faces(path)
    report = FacesetReport(str(pak or path))
    if pak is not None:
        report.left_out.extend(listing.left_out)
        _examine_pak(report, pak, verify, progress)
        return report
    files = dict(_files_by_person(listing, report.left_out))
    for name, metadata in read_faces(files, report.left_out, progress):
        report.count(name, metadata, _person_of(name))
        if verify:
            data = read_plain(files[name], limit=MAX_IMAGE_BYTES)
            report.errors += [(name, error) for error in _errors(data, metadata)]
    return report


def _examine_pak(report: FacesetReport, pak: Path, verify: bool, progress: Progress | None) -> None:
    faceset = read_pak(pak)
    report.left_out.extend(faceset.damaged)
    report.errors += [(name, reason) for _, name, reason in faceset.damaged]
    for index, entry in enumerate(faceset.entries):
        report.count(entry.filename, entry.metadata, entry.person_name)
        if verify:
            errors = _errors(faceset.jpeg(index), entry.metadata)
            report.errors += [(entry.filename, error) for error in errors]
        if progress is not None:
            progress(index + 1, len(faceset))


def _errors(jpeg: bytes, metadata: FaceMetadata) -> list[str]:
    errors = []
    try:
        inside = read_metadata(jpeg)
        if inside is not None and inside.shape != metadata.shape:
            errors.append(f"its image is {inside.shape[:2]}, the list says {metadata.shape[:2]}")
        metadata.mask()
    except DflTfError as error:
        errors.append(str(error))
    try:
        decode_image(jpeg, what="the image")
    except DflTfError as error:
        errors.append(str(error))
    return errors


def _files_by_person(
    loose: Listing, left_out: LeftOut, persons: bool | None = None
) -> Iterator[tuple[str, Path]]:
    """Images by ``[<person>/]<file>``; persons=None: by where images lie."""
    if not persons and (persons is False or loose.files):
        left_out.extend(loose.left_out)
        yield from ((file.name, file) for file in loose.files)
        return
    left_out.extend(omission for omission in loose.left_out if omission.kind != FOLDERS)
    for file in loose.files:
        left_out.add("loose images beside the folders of persons", file.name)
    for person in loose.folders:
        found = list_faces(person)
        left_out.extend(o._replace(name=f"{person.name}/{o.name}") for o in found.left_out)
        yield from ((f"{person.name}/{file.name}", file) for file in found.files)


def _person_of(name: str) -> str | None:
    return name.rpartition("/")[0] or None


def pack_folder(
    folder: Path, *, persons: bool | None = None, progress: Progress | None = None
) -> tuple[FolderReport, list[Path]]:
    """Pack the faces of `folder` into `<folder>/faceset.pak`.

    Parameters
    ----------
    persons : bool, optional
        Whether each sub-folder is one person; default: yes if no face lies in `folder` itself.

    Returns
    -------
    (FolderReport, list of Path)
        What was packed and skipped, and the packed originals.

    Raises
    ------
    FacesetError
        There is a pak already, or no face.
    """
    pak = folder / PAK_NAME
    if pak.exists():
        raise FacesetError(f"{pak}: already exists; unpack or remove it first.")
    report = FolderReport()
    listed: list[tuple[str, str | None, FaceMetadata, Path | bytes]] = []
    originals: list[Path] = []
    files = dict(_files_by_person(list_faces(folder), report.left_out, persons))
    for name, metadata in read_faces(files, report.left_out, progress):
        listed.append((files[name].name, _person_of(name), metadata, files[name]))
        originals.append(files[name])
        report.done.append(name)
    if not listed:
        raise FacesetError(f"{folder}: no face with metadata is here; nothing was packed.")
    write_pak(pak, listed)
    list_pak(pak, originals)
    return report, originals


def remove_packed(folder: Path, originals: Sequence[Path]) -> None:
    """Delete packed originals, once each was read back from `<folder>/faceset.pak`.

    Raises
    ------
    FacesetError
        The pak does not hold them all, byte by byte; nothing is deleted.
    """
    pak = folder / PAK_NAME
    faceset = read_pak(pak)
    missing = [
        str(path)
        for index, path in enumerate(originals)
        if index >= len(faceset) or not _holds(path, faceset.jpeg(index))
    ]
    if missing or len(faceset) != len(originals):
        raise FacesetError(
            f"{pak}: holds {len(faceset)} faces of {len(originals)}; not as on the disk: "
            f"{', '.join(missing[:3]) or 'none'}. Nothing was deleted."
        )
    # first, so that no line is of a file that a killed run had deleted
    checksums.forget(folder, [path.relative_to(folder).as_posix() for path in originals])
    changed = []
    for index, path in enumerate(originals):
        with only_writer(path.parent):  # a label may be drawn on it just now
            if not _holds(path, faceset.jpeg(index)):
                changed.append(path.name)
                continue
            with explain_write_errors(path, safe="The pak holds all faces."):
                path.unlink()
    for parent in {path.parent for path in originals}:
        durable.sync_folder(parent)
    if changed:
        raise FacesetError(
            f"{folder}: {len(changed)} faces were changed while they were packed "
            f"({changed[0]}); these files stay, and the pak holds them as they were before."
        )


def unpack_folder(
    folder: Path, *, keep_pak: bool = True, progress: Progress | None = None
) -> FolderReport:
    """Write every image of `<folder>/faceset.pak` back beside it, verbatim.

    Parameters
    ----------
    keep_pak : bool
        Else the pak is removed, once every face was read back from the disk and counted.

    Raises
    ------
    FacesetError
        There is no pak; something else has the name of a face, or one is not a JPEG image (nothing
        is written then); or what was read back is not what the pak holds (the pak stays).
    WorkspaceError
        A face cannot be written, or a person's folder is a link.
    """
    pak = pak_of(folder)
    if pak is None:
        raise FacesetError(f"{folder / PAK_NAME}: there is no such file.")
    faceset = read_pak(pak)
    root = pak.parent
    targets = [root / (entry.person_name or "") / entry.filename for entry in faceset.entries]
    doubles = [str(path) for path, count in Counter(targets).items() if count > 1]
    taken, no_images = [], []
    for index, (path, entry) in enumerate(zip(targets, faceset.entries, strict=True)):
        jpeg = faceset.jpeg(index)
        if not jpeg.startswith(_JPEG):
            no_images.append(entry.filename)
        if os.path.lexists(path) and not _holds(path, jpeg):
            taken.append(str(path))
    if no_images:
        raise FacesetError(
            f"{pak}: {len(no_images)} of {len(faceset)} entries are not JPEG images, the first is "
            f"{no_images[0]}. Nothing was unpacked."
        )
    if doubles or taken:
        listed = ", ".join((doubles + taken)[:5])
        raise FacesetError(
            f"{pak}: other images are in the way or a name stands twice: {listed}. "
            "Nothing was unpacked."
        )
    report = FolderReport(left_out=LeftOut(faceset.damaged))
    for index, path in enumerate(targets):
        # the name of a person comes from the file: nothing is written through a link of that name
        durable.make_folder(path.parent, follow=path.parent == root)
        durable.write_file(path, faceset.jpeg(index))
        report.done.append(path.relative_to(root).as_posix())
        if progress is not None:
            progress(index + 1, len(targets))
    list_unpacked(pak, report.done)
    if faceset.damaged and not keep_pak:
        report.left_out.add(f"{PAK_NAME}, kept for its damaged faces", str(pak))
    elif not keep_pak:
        _remove_unpacked(pak, faceset, targets)
    return report


def _remove_unpacked(pak: Path, faceset: PakFaceset, targets: list[Path]) -> None:
    """Remove a pak whose faces are all on the disk, each under a name of its own."""
    wrong = [p for i, p in enumerate(targets) if not _holds(p, faceset.jpeg(i))]
    # names that differ in case only are one file on some disks
    files = {(status.st_dev, status.st_ino) for status in map(os.lstat, set(targets) - set(wrong))}
    if wrong or len(files) != len(faceset):
        raise FacesetError(
            f"{pak}: of its {len(faceset)} faces only {len(files)} could be read back"
            + (f", not {wrong[0]}" if wrong else "")
            + ". The pak was not removed."
        )
    checksums.forget(pak.parent, [pak.name])  # first: see remove_packed
    with explain_write_errors(pak, safe="All faces are unpacked."):
        pak.unlink()
        durable.sync_folder(pak.parent)


def _holds(path: Path, jpeg: bytes) -> bool:
    """Whether `path` is a plain file, no link, that holds just these bytes on the disk."""
    try:
        return not path.is_symlink() and durable.read_back(path) == jpeg
    except OSError:
        return False

"""Making every face of a folder or pak again, and putting the results in their place as one step.

All results are made first, beside the faceset. Then they change places with the originals, which
go to a folder of their own: `dfl_tf.facesets.rearranging.take_back` brings them back. An original
that was changed meanwhile (a label was drawn on it) stays in its place: the result lacks that.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from dfl_tf_ops.process import cores

from dfl_tf.disk import checksums, moves
from dfl_tf.disk.durable import filling_folder, make_folder, rename, sync_folder, write_durably
from dfl_tf.disk.left_out import LeftOut
from dfl_tf.disk.moves import Move
from dfl_tf.disk.plain_file import version_of
from dfl_tf.disk.write_errors import explain_write_errors
from dfl_tf.errors import FacesetError, UsageError
from dfl_tf.facesets.rearranging import (
    beside,
    free_name,
    names_in,
    read_whole_pak,
    root_of,
    swap_pak,
)
from dfl_tf.facesets.xseg_store import FaceStore, open_store
from dfl_tf.formats import FaceMetadata, read_metadata
from dfl_tf.formats.faces.face_folder import pak_of
from dfl_tf.formats.faces.faceset_pak import PAK_NAME, PakFace, write_pak
from dfl_tf.jobs.pool import ordered
from dfl_tf.jobs.progress import Progress

ORIGINALS = "_originals"

Work = Callable[[bytes, FaceMetadata], bytes]
"""From a JPEG file and its metadata to the new file, with metadata."""


@dataclass
class RewriteReport:
    """What was done.

    Attributes
    ----------
    done : list of str
        Names of the faces that were made again.
    originals : Path or None
        Where the originals are now; None if they are where they were.
    unlisted : set of str
        Of `done`, those whose originals had no checksum, or did not fit it.
    versions : dict
        Of each face of `done`, what its original was when it was read.
    left_out : LeftOut
        Faces that could not be made, which stay as they are, and what is not a face.
    """

    done: list[str] = field(default_factory=list)
    originals: Path | None = None
    unlisted: set[str] = field(default_factory=set)
    versions: dict[str, tuple[int, ...]] = field(default_factory=dict)
    left_out: LeftOut = field(default_factory=LeftOut)


def rewrite_faces(
    place: Path,
    work: Work,
    *,
    why: str,
    ending: str,
    copy_to: Path | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> RewriteReport:
    """Make all faces again.

    Parameters
    ----------
    place : Path
        Folder or pak.
    work : callable
        Runs in several threads; what it raises leaves that face out.
    why : str
        For messages: "resize to 256".
    ending : str
        Of the folder in which results are made, beside the faceset: "_resized".
    copy_to : Path, optional
        A new folder for the results; the faceset stays as it is.
    workers : int, optional
        Threads; by default the cores of this process.
    progress : callable, optional

    Raises
    ------
    FacesetError, UsageError, WorkspaceError
        Nothing usable is there, or it cannot be written; the originals are untouched then.
    """
    store, pak, root = open_store(place), pak_of(place), root_of(place)
    version = None if pak is None else version_of(pak)
    if pak is not None:
        read_whole_pak(pak)
    report = RewriteReport(left_out=LeftOut(store.left_out))
    target = None if copy_to is None else copy_to.absolute()
    if target is not None:
        if names_in(target):
            raise UsageError(f"{target}: is not empty. Name a new folder for the results.")
        make_folder(target.parent)
    with filling_folder(root.parent if target is None else target.parent) as results:
        files = _made(store, work, results, report, workers or cores(), progress)
        if not files:
            details = "".join(f"\n  {line}" for line in report.left_out.lines())
            raise FacesetError(f"{place}: no face could be made. Nothing was changed.{details}")
        if pak is not None:
            faces = _faces_of_pak(pak, files, keep_others=target is None)
            if target is None:
                report.originals = swap_pak(pak, faces, why=why, ending=ORIGINALS, version=version)
            else:
                make_folder(target)
                write_pak(target / PAK_NAME, faces)
            _empty(results)
        else:
            sync_folder(results)
            name = free_name(root.name + ending, names_in(root.parent))
            made = root.with_name(name) if target is None else target
            rename(results, made)
            if target is None:
                report.originals = _swap_files(root, made, report, why=why)
    return report


def _made(
    store: FaceStore,
    work: Work,
    results: Path,
    report: RewriteReport,
    workers: int,
    progress: Progress | None,
) -> dict[int, Path]:
    """Make the results; position of a face to its new file."""
    in_pak = not store.path.is_dir()

    listed = None if in_pak else checksums.read_sums(store.path)

    def one(index: int) -> bytes:
        if not in_pak:  # before it is read
            report.versions[store.names[index]] = version_of(store.path / store.names[index])
        metadata, jpeg = store.face(index)
        if listed is not None:
            name = store.names[index]
            if listed.files.get(name) != checksums.digest(jpeg):
                report.unlisted.add(name)
        return work(jpeg, metadata)

    files = {}
    for outcome in ordered(one, range(len(store)), workers=workers):
        index = outcome.item
        if outcome.error is not None:
            report.left_out.skip(store.names[index], outcome.error)
        else:
            data = outcome.get()
            files[index] = results / (f"{index}.jpg" if in_pak else store.names[index])
            with explain_write_errors(files[index]):
                write_durably(files[index], lambda write, data=data: write(data))  # type: ignore[misc]
            report.done.append(store.names[index])
        if progress is not None:
            progress(index + 1, len(store))
    return files


def _faces_of_pak(pak: Path, files: dict[int, Path], *, keep_others: bool) -> list[PakFace]:
    faceset = read_whole_pak(pak)
    faces: list[PakFace] = []
    for index, entry in enumerate(faceset.entries):
        if index in files:
            metadata = read_metadata(files[index]) or entry.metadata
            faces.append((entry.filename, entry.person_name, metadata, files[index]))
        elif keep_others:
            faces.append((entry.filename, entry.person_name, entry.metadata, (faceset, index)))
    return faces


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()


def _swap_files(root: Path, made: Path, report: RewriteReport, *, why: str) -> Path | None:
    originals = beside(root, ORIGINALS)
    make_folder(originals)
    if checksums.read_sums(root) is not None:
        checksums.record(made, [name for name in report.done if name not in report.unlisted])
    taken = names_in(originals)

    def steps() -> list[Move]:
        names = []
        for name in report.done:
            if version_of(root / name) == report.versions[name]:
                names.append(name)
            else:
                report.left_out.add("faces that were changed meanwhile; start again for them", name)
        report.done = names
        aside = [Move(name, f"../{originals.name}/{free_name(name, taken)}") for name in names]
        return aside + [Move(f"../{made.name}/{name}", name) for name in names]

    moves.move_files(root, steps, why=why)
    _empty(made)
    if not names_in(originals):
        originals.rmdir()
        return None
    return originals

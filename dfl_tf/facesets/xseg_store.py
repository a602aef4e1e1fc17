"""Faces whose metadata is changed: JPEG files of a folder, or the faces of a pak.

A file is rewritten whole or not at all, pixels are never encoded again. A pak is rewritten once,
when all is done.
"""

from __future__ import annotations

import abc
import base64
import enum
import hashlib
import json
import logging
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dfl_tf.disk.checksums import Rewriting
from dfl_tf.disk.durable import filling_folder, sync_folder
from dfl_tf.disk.folder_lock import only_writer
from dfl_tf.disk.guarded import parse_json
from dfl_tf.disk.journal import Journal, read_lines
from dfl_tf.disk.left_out import LeftOut
from dfl_tf.disk.listing import FACE_SUFFIXES, Listing
from dfl_tf.disk.plain_file import read_plain, version_of
from dfl_tf.disk.tree_schema import Record, Text
from dfl_tf.disk.write_errors import explain_write_errors
from dfl_tf.errors import DflTfError, FacesetError, WorkspaceError
from dfl_tf.facesets.face_file import read_face_file, rewrite_face_file
from dfl_tf.formats import FaceMetadata, read_metadata, read_pak
from dfl_tf.formats.faces.dfljpg import MAX_IMAGE_BYTES, embed_metadata, strip_metadata
from dfl_tf.formats.faces.face_folder import NOT_JPEG, find_faces, read_face
from dfl_tf.formats.faces.faceset_pak import PakFace
from dfl_tf.formats.faces.faceset_sums import replace_pak

_log = logging.getLogger(__name__)

_WORK = Record({"work": Text()})
_FACE = Record({"name": Text(), "image": Text(), "mask": Text(longest=1 << 28)})
_LONGEST = 1 << 29  # of a line: a mask in base64
Polygons = list[tuple[int, npt.NDArray[np.float32]]]


class Kept(enum.Enum):
    """Stands for "as it is" where None means "none"."""

    KEPT = enum.auto()


KEPT = Kept.KEPT


class FaceStore(abc.ABC):
    """The faces of a folder or a pak, by number.

    Attributes
    ----------
    path : Path
        The folder, or the pak.
    names : list of str
        File names, in order; those of a pak with persons as ``person/name``.
    left_out : LeftOut
        Files that are not usable faces, and whatever else lies there.
    """

    path: Path
    names: list[str]
    left_out: LeftOut

    @abc.abstractmethod
    def face(self, index: int) -> tuple[FaceMetadata, bytes]:
        """Metadata and JPEG bytes of one face."""

    @abc.abstractmethod
    def change(
        self, index: int, *, mask: bytes | Kept | None = KEPT, polygons: Polygons | Kept = KEPT
    ) -> None:
        """Give a face another mask (encoded) or other polygons, points of shape (n, 2), float32."""

    @abc.abstractmethod
    def restore(self, index: int, mask: bytes) -> bool:
        """Use what an interrupted run made of a face; False if that must be made again."""

    def finish(self) -> None:  # noqa: B027 - a folder has nothing left to write
        """Write what is not written yet."""

    def __len__(self) -> int:
        return len(self.names)


def open_store(path: Path) -> FaceStore:
    """Open a folder of faces (or the pak in it), or a pak.

    Raises
    ------
    FacesetError
        If there is no such path, or no usable face in it.
    """
    pak, listing = find_faces(path)
    return FolderStore(path, listing) if pak is None else PakStore(pak, listing.left_out)


def _changed(
    metadata: FaceMetadata, mask: bytes | Kept | None, polygons: Polygons | Kept
) -> FaceMetadata:
    if mask is not KEPT:
        metadata = replace(metadata, xseg_mask_bytes=mask)
    return metadata if polygons is KEPT else replace(metadata, seg_ie_polys=polygons)


class FolderStore(FaceStore):
    """Each face is changed at once, in its own file."""

    def __init__(self, folder: Path, listing: Listing) -> None:
        self.path, self.names, self.left_out = folder, [], listing.left_out
        self._sums: Rewriting | None = None
        for path in listing.files:
            self._take(path)
        if not self.names:
            detail = "".join(f"\n  {line}" for line in self.left_out.lines())
            raise FacesetError(
                f"{folder}: no aligned face found "
                f"({len(self.left_out.skipped)} images skipped){detail}"
            )

    def _take(self, path: Path) -> None:
        if path.suffix.lower() not in FACE_SUFFIXES:
            self.left_out.add(NOT_JPEG, path.name, "not a DFL image")
        elif read_face(path, path.name, self.left_out) is not None:
            self.names.append(path.name)

    def face(self, index: int) -> tuple[FaceMetadata, bytes]:
        """Metadata and JPEG bytes of one face."""
        return read_face_file(self.path / self.names[index])

    def change(
        self, index: int, *, mask: bytes | Kept | None = KEPT, polygons: Polygons | Kept = KEPT
    ) -> None:
        """Rewrite the file with the change, whole or not at all; see `FaceStore.change`."""
        with only_writer(self.path):  # labels are drawn on the page meanwhile
            metadata, old = self.face(index)
            if self._sums is None:
                self._sums = Rewriting(self.path)
            changed = _changed(metadata, mask, polygons)
            path = self.path / self.names[index]
            rewrite_face_file(path, changed, old=old, sums=self._sums)

    def finish(self) -> None:
        """Bring the list of checksums up to date."""
        if self._sums is not None:
            self._sums.close()
            self._sums = None

    def restore(self, index: int, mask: bytes) -> bool:
        """Say whether the face has the mask still: somebody may have removed it meanwhile."""
        return self.face(index)[0].xseg_mask_bytes == mask


class PakStore(FaceStore):
    """Changes are collected, and written with the whole pak by `finish`."""

    def __init__(self, path: Path, left_out: LeftOut) -> None:
        self._version = version_of(path)
        self._pak = read_pak(path)
        self.path, self.left_out = path, left_out
        self.left_out.extend(self._pak.damaged)
        self.names = [
            f"{entry.person_name}/{entry.filename}" if entry.person_name else entry.filename
            for entry in self._pak.entries
        ]
        self._changes: dict[int, tuple[bytes | Kept | None, Polygons | Kept]] = {}

    def face(self, index: int) -> tuple[FaceMetadata, bytes]:
        """Metadata (the pak's; source landmarks from the JPEG) and JPEG bytes of one face."""
        listed, data = self._pak[index].metadata, self._pak.jpeg(index)
        try:
            own = read_metadata(data, what=self.names[index])
        except DflTfError:
            own = None  # the list is what counts; a damaged image shows when it is decoded
        if own is not None:
            listed = replace(
                own,
                face_type=listed.face_type,
                landmarks=listed.landmarks,
                eyebrows_expand_mod=listed.eyebrows_expand_mod,
                seg_ie_polys=listed.seg_ie_polys,
                xseg_mask_bytes=listed.xseg_mask_bytes,
            )
        return listed, data

    def change(
        self, index: int, *, mask: bytes | Kept | None = KEPT, polygons: Polygons | Kept = KEPT
    ) -> None:
        """Remember the change; see `FaceStore.change`."""
        if self._pak.damaged:
            raise FacesetError(
                f"{self.path}: {len(self._pak.damaged)} of its faces are damaged and would be lost "
                f"if it were written again ({self._pak.damaged[0].name}). Unpack it first "
                "(dfl-tf faceset unpack --keep-pak), then change the images."
            )
        old_mask, old_polygons = self._changes.get(index, (KEPT, KEPT))
        self._changes[index] = (
            old_mask if mask is KEPT else mask,
            old_polygons if polygons is KEPT else polygons,
        )

    def restore(self, index: int, mask: bytes) -> bool:
        """Remember the mask: the pak is only written at the end."""
        self.change(index, mask=mask)
        return True

    def finish(self) -> None:
        """Rewrite the pak, in its list and in the JPEGs; what has no change stays bit by bit.

        Raises
        ------
        FacesetError
            Another program has changed it since it was opened; it stays as it is.
        """
        if not self._changes:
            return
        faces: list[PakFace] = []
        # Through files, for a large pak does not fit into memory. They are not made durable: a
        # power cut leaves the old pak, and the journal what was done.
        with explain_write_errors(self.path), filling_folder(self.path.parent) as folder:
            for index, entry in enumerate(self._pak.entries):
                metadata, data = entry.metadata, self._pak.jpeg(index)
                if index in self._changes:
                    metadata = _changed(self.face(index)[0], *self._changes[index])
                    data = embed_metadata(data, metadata, what=self.names[index])
                file = folder / f"{index}.jpg"
                file.write_bytes(data)
                faces.append((entry.filename, entry.person_name, metadata, file))
            with only_writer(self.path.parent):
                if version_of(self.path) != self._version:
                    raise FacesetError(
                        f"{self.path}: was changed by another program meanwhile and stays as it "
                        "is. Start again."
                    )
                replace_pak(self.path, faces)
            self._version = version_of(self.path)
            shutil.rmtree(folder, ignore_errors=True)
        self._changes.clear()


class ApplyJournal:
    """What an interrupted run had finished, so that the next one need not do it again.

    A text file beside the faces, one JSON line a face; the first line names the work (which
    weights), and a journal of other work is not used. Each line names the image as well: another
    one may have come under the name meanwhile. Deleted when all is done.
    """

    def __init__(self, store: FaceStore, work: str) -> None:
        folder = store.path if store.path.is_dir() else store.path.parent
        self.path = folder / "xseg_apply.journal"
        self._done: dict[str, tuple[str, bytes]] = {}
        self._work = work
        usable = self._read()
        # Lines are checked when they are read (`mask_of`), so none is held back.
        self._stream = Journal(self.path, keep=usable)
        if not usable:
            self._stream.append(json.dumps({"work": work}).encode() + b"\n")

    def _read(self) -> int:
        """Read what is done; return how many bytes of the journal can be used."""
        usable, kind = 0, "finished work"
        try:
            for line in read_lines(self.path, kind=kind, longest=_LONGEST):
                if not line.whole:
                    _log.warning("%s: its last line is cut off and not used", self.path)
                    break
                what = f"{self.path}, line {line.number}"
                schema = _FACE if usable else _WORK
                entry = parse_json(line.data, what=what, kind=kind, schema=schema)
                if usable:
                    self._done[entry["name"]] = entry["image"], _mask_bytes(entry["mask"])
                elif entry["work"] != self._work:
                    _log.warning("%s: is of other weights; all faces are done again", self.path)
                    break
                usable = line.end
        except WorkspaceError as error:
            _log.warning("%s The faces from there on are done again.", error)
        return usable

    def mask_of(self, name: str, jpeg: bytes) -> bytes | None:
        """Return the mask that was made of this image under this name."""
        image, mask = self._done.get(name, ("", b""))
        return mask if mask and image == image_digest(jpeg) else None

    def __contains__(self, name: str) -> bool:
        return name in self._done

    def add(self, name: str, jpeg: bytes, mask: bytes) -> None:
        """Note a face as done."""
        coded = base64.b64encode(mask).decode()
        entry = {"name": name, "image": image_digest(jpeg), "mask": coded}
        self._stream.append(json.dumps(entry).encode() + b"\n")

    def close(self, *, finished: bool) -> None:
        """Close the file; delete it when nothing is left to do."""
        with explain_write_errors(self.path):
            self._stream.close()
            if finished:
                self.path.unlink(missing_ok=True)
                sync_folder(self.path.parent)


def _mask_bytes(text: str) -> bytes:
    """The mask of a line; an unusable one is not a mask, and is made again."""
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        return b""


def image_digest(jpeg: bytes) -> str:
    """Name an image by its content, whatever face metadata it carries: 32 hex digits."""
    return hashlib.sha256(strip_metadata(jpeg)).hexdigest()[:32]


def same_image(path: Path, jpeg: bytes) -> bool:
    """Whether `path` is free or holds this image, with whatever metadata."""
    try:
        return image_digest(read_plain(path, limit=MAX_IMAGE_BYTES)) == image_digest(jpeg)
    except FileNotFoundError:
        return True
    except (DflTfError, OSError):
        return False

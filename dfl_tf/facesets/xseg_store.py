"""Faces whose metadata is changed: JPEG files of a folder, or the faces of a pak.

A file is rewritten whole or not at all, pixels are never encoded again. A pak is rewritten once,
when all is done.
"""

from __future__ import annotations

import base64
import json
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from dfl_tf.errors import DflTfError, FacesetError
from dfl_tf.formats import FaceMetadata, read_metadata, read_pak, write_metadata, write_pak
from dfl_tf.formats.atomic import naming_the_fault
from dfl_tf.formats.dfljpg import embed_metadata
from dfl_tf.formats.faceset_pak import PAK_NAME

_SUFFIXES = {".jpg", ".jpeg", ".png"}
KEPT: Any = object()
"""Stands for "as it is" where None means "none"."""


class FaceStore:
    """The faces of a folder or a pak, by number.

    Attributes
    ----------
    path : Path
        The folder, or the pak.
    names : list of str
        File names, in order; those of a pak with persons as ``person/name``.
    skipped : list of (str, str)
        Files that are no usable faces, and why.
    """

    path: Path
    names: list[str]
    skipped: list[tuple[str, str]]

    def face(self, index: int) -> tuple[FaceMetadata, bytes]:
        """Metadata and JPEG bytes of one face."""
        raise NotImplementedError

    def change(self, index: int, *, mask: bytes | None = KEPT, polygons: Any = KEPT) -> None:
        """Give a face another mask (encoded) or other polygons."""
        raise NotImplementedError

    def finish(self) -> None:
        """Write what is not written yet."""

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[tuple[int, FaceMetadata, bytes]]:
        for index in range(len(self)):
            yield (index, *self.face(index))


def open_store(path: Path) -> FaceStore:
    """Open a folder of faces (or the pak in it), or a pak.

    Raises
    ------
    FacesetError
        If there is no such path, or no usable face in it.
    """
    if path.is_file():
        return PakStore(path)
    if not path.is_dir():
        raise FacesetError(f"{path}: there is no such folder or pak of faces")
    if (path / PAK_NAME).is_file():
        return PakStore(path / PAK_NAME)
    return FolderStore(path)


def _changed(metadata: FaceMetadata, mask: Any, polygons: Any) -> FaceMetadata:
    if mask is not KEPT:
        metadata = replace(metadata, xseg_mask_bytes=mask)
    return metadata if polygons is KEPT else replace(metadata, seg_ie_polys=polygons)


class FolderStore(FaceStore):
    """Each face is changed at once, in its own file."""

    def __init__(self, folder: Path) -> None:
        self.path, self.names, self.skipped = folder, [], []
        for path in sorted(folder.iterdir()):
            if path.suffix.lower() in _SUFFIXES:
                self._take(path)
        if not self.names:
            raise FacesetError(
                f"{folder}: no aligned face found ({len(self.skipped)} pictures skipped)"
            )

    def _take(self, path: Path) -> None:
        try:
            known = path.suffix.lower() != ".png" and read_metadata(path) is not None
            reason = "not a DFL image"
        except (DflTfError, OSError) as error:
            known, reason = False, str(error)
        if known:
            self.names.append(path.name)
        else:
            self.skipped.append((path.name, reason))

    def face(self, index: int) -> tuple[FaceMetadata, bytes]:
        """Metadata and JPEG bytes of one face."""
        path = self.path / self.names[index]
        data = path.read_bytes()
        metadata = read_metadata(data, what=str(path))
        if metadata is None:
            raise FacesetError(f"{path}: lost its face metadata meanwhile")
        return metadata, data

    def change(self, index: int, *, mask: bytes | None = KEPT, polygons: Any = KEPT) -> None:
        """Rewrite the file with the change, whole or not at all."""
        metadata, _ = self.face(index)
        write_metadata(self.path / self.names[index], _changed(metadata, mask, polygons))


class PakStore(FaceStore):
    """Changes are collected, and written with the whole pak by `finish`."""

    def __init__(self, path: Path) -> None:
        self._pak = read_pak(path)
        self.path, self.skipped = path, []
        self.names = [
            f"{entry.person_name}/{entry.filename}" if entry.person_name else entry.filename
            for entry in self._pak.entries
        ]
        self._changes: dict[int, tuple[Any, Any]] = {}

    def face(self, index: int) -> tuple[FaceMetadata, bytes]:
        """Metadata (the pak's; source landmarks from the JPEG) and JPEG bytes of one face."""
        listed, data = self._pak[index].metadata, self._pak.jpeg(index)
        own = read_metadata(data, what=self.names[index])
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

    def change(self, index: int, *, mask: bytes | None = KEPT, polygons: Any = KEPT) -> None:
        """Remember the change."""
        old_mask, old_polygons = self._changes.get(index, (KEPT, KEPT))
        self._changes[index] = (
            old_mask if mask is KEPT else mask,
            old_polygons if polygons is KEPT else polygons,
        )

    def finish(self) -> None:
        """Rewrite the pak, in its list and in the JPEGs."""
        if not self._changes:
            return
        faces = []
        # Through files, for a large pak does not fit into memory.
        with (
            naming_the_fault(self.path),
            tempfile.TemporaryDirectory(dir=self.path.parent, prefix=".xseg") as folder,
        ):
            for index, entry in enumerate(self._pak.entries):
                metadata, data = self.face(index)
                if index in self._changes:
                    metadata = _changed(metadata, *self._changes[index])
                    data = embed_metadata(data, metadata, what=self.names[index])
                file = Path(folder, f"{index}.jpg")
                file.write_bytes(data)
                faces.append((entry.filename, entry.person_name, metadata, file))
            write_pak(self.path, faces)
        self._changes.clear()


class Journal:
    """What an interrupted run had finished, so that the next one need not do it again.

    A text file beside the faces, one JSON line a face; the first line names the work (which
    weights), and a journal of other work is not used. Deleted when all is done.
    """

    def __init__(self, store: FaceStore, work: str) -> None:
        folder = store.path if store.path.is_dir() else store.path.parent
        self.path = folder / "xseg_apply.journal"
        self.done: dict[str, bytes] = {}
        self._work = work
        with naming_the_fault(self.path):
            if not self._read():
                self.path.write_text(json.dumps({"work": work}) + "\n", encoding="utf-8")
            self._stream = self.path.open("a", encoding="utf-8")

    def _read(self) -> bool:
        try:
            lines = self.path.read_text(encoding="utf-8").split("\n")
            if json.loads(lines[0]).get("work") != self._work:
                return False
        except (OSError, ValueError):
            return False
        for line in lines[1:-1]:  # the last one may be cut
            try:
                entry = json.loads(line)
                self.done[entry["name"]] = base64.b64decode(entry["mask"])
            except (ValueError, KeyError):
                break
        return True

    def add(self, name: str, mask: bytes) -> None:
        """Note a face as done."""
        entry = {"name": name, "mask": base64.b64encode(mask).decode()}
        self._stream.write(json.dumps(entry) + "\n")
        self._stream.flush()

    def close(self, *, finished: bool) -> None:
        """Close the file; delete it when nothing is left to do."""
        self._stream.close()
        if finished:
            self.path.unlink(missing_ok=True)

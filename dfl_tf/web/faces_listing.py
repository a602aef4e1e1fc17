"""The faces of a folder or pak as the page sees them: numbers that stand for one state of a file.

Nothing is opened for a listing. A number belongs to a name together with size and time of change:
a file that was changed, replaced or renamed has another one, so whoever asks or writes by number
never means another file than the one that was shown. Numbers hold until the server ends.
"""

from __future__ import annotations

import os
import stat
import threading
import time
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dfl_tf.disk.left_out import LeftOut
from dfl_tf.disk.plain_file import read_plain, version_of
from dfl_tf.errors import DflTfError
from dfl_tf.formats import FaceMetadata, read_metadata
from dfl_tf.formats.faces.dfljpg import MAX_IMAGE_BYTES
from dfl_tf.formats.faces.face_folder import find_faces
from dfl_tf.formats.faces.faceset_pak import PAK_NAME, PakFaceset, read_pak
from dfl_tf.formats.faces.faceset_sums import pak_name
from dfl_tf.web.answers import NotListed
from dfl_tf.web.context import SiteContext
from dfl_tf.web.faces_places import FacePlace

Numbers = npt.NDArray[np.int64]

LEADING_OUT = "links that lead out of the workspace"
_FRESH_SECONDS = 10.0
_KEPT = 6
"""Listings that are kept; of paks, whose metadata take memory, only one."""
_REMEMBERED = 10_000
"""Files that are gone of which the numbers are remembered, beside as many as are there."""

_Identity = tuple[str, int, int, int]
"""Name, size, time of change, place in a pak."""


@dataclass(frozen=True, slots=True)
class ListedFace:
    """A face as it is now.

    Attributes
    ----------
    number : int
    name : str
        Of the file; in a pak with persons ``person/file``.
    size : int
        Bytes.
    stamp : int
        When the file, or the pak, was changed; nanoseconds.
    index : int
        In a pak; -1 in a folder.
    """

    number: int
    name: str
    size: int
    stamp: int
    index: int = -1

    @property
    def identity(self) -> _Identity:
        """What the number stands for."""
        return self.name, self.size, self.stamp, self.index


@dataclass(frozen=True)
class FaceListing:
    """All faces of a place, in folder order.

    Attributes
    ----------
    place : FacePlace
    faces : sequence of ListedFace
    left_out : LeftOut
    pak : PakFaceset or None
    numbers : ndarray, shape (n,), int64
    """

    place: FacePlace
    faces: Sequence[ListedFace]
    left_out: LeftOut
    pak: PakFaceset | None = None
    numbers: Numbers = field(default_factory=lambda: np.zeros(0, np.int64))
    by_number: dict[int, ListedFace] = field(default_factory=dict, repr=False)

    @classmethod
    def of(
        cls,
        place: FacePlace,
        faces: Sequence[ListedFace],
        left_out: LeftOut,
        pak: PakFaceset | None = None,
    ) -> FaceListing:
        """A listing with its table of numbers."""
        by_number = {face.number: face for face in faces}
        return cls(place, faces, left_out, pak, np.array(list(by_number), np.int64), by_number)

    def find(self, number: int) -> ListedFace:
        """The face of a number.

        Raises
        ------
        NotListed
        """
        face = self.by_number.get(number)
        if face is None:
            raise NotListed("face")
        return face

    def chosen(self, numbers: Iterable[int]) -> list[ListedFace]:
        """The faces of some numbers, in folder order.

        Raises
        ------
        NotListed
            One of them is gone, or was changed.
        """
        wanted = set(numbers)
        if wanted - self.by_number.keys():
            raise NotListed("face")
        return [face for face in self.faces if face.number in wanted]

    @property
    def leads_out(self) -> int:
        """How many files are left out since they lead out of the workspace."""
        return len(self.left_out.by_kind().get(LEADING_OUT, ()))


class FaceListings:
    """The listings of all places.

    Parameters
    ----------
    context : SiteContext
    """

    def __init__(self, context: SiteContext) -> None:
        self._context = context
        self._lock = threading.Lock()
        self._next = 1
        self._kept: dict[str, tuple[tuple[int, ...], float, FaceListing]] = {}
        self._seen: dict[str, dict[_Identity, int]] = {}
        self.run = os.urandom(4).hex()
        """Numbers are those of this run of the server."""

    def of(self, place: FacePlace, *, fresh: bool = False) -> FaceListing:
        """The faces of a place.

        Parameters
        ----------
        place : FacePlace
        fresh : bool
            Look at every file again: before a write, or since the user asks for it.

        Raises
        ------
        FacesetError
            The folder or pak cannot be read.
        """
        with self._lock:
            pak = self._pak_of(place.path)
            state = version_of(pak or place.path)
            known = self._kept.pop(place.id, None)
            recent = known is not None and time.monotonic() - known[1] < _FRESH_SECONDS
            same = known is not None and known[0] == state and (recent or pak is not None)
            if known is None or fresh or not same:
                listing = self._read(place, self._seen.setdefault(place.id, {}), pak)
                known = state, time.monotonic(), listing
            self._kept[place.id] = known
            self._forget()
            return known[2]

    def kept(self, place: FacePlace) -> FaceListing:
        """The listing that was made last, without another look: for what is asked by number."""
        with self._lock:
            known = self._kept.get(place.id)
        return self.of(place) if known is None else known[2]

    def bytes_of(self, listing: FaceListing, face: ListedFace) -> bytes:
        """The file of a face.

        Raises
        ------
        NotListed
            It is gone, was changed since it was listed, or leads out of the workspace.
        """
        path = self._context.inside(
            listing.place.path / face.name if listing.pak is None else listing.pak.path
        )
        try:
            now = path.stat()
            if listing.pak is not None and path == listing.pak.path:
                if now.st_mtime_ns != face.stamp:
                    raise NotListed("face")
                return listing.pak.jpeg(face.index)
            if (now.st_size, now.st_mtime_ns) != (face.size, face.stamp):
                raise NotListed("face")
            return read_plain(path, limit=MAX_IMAGE_BYTES)
        except OSError:
            raise NotListed("face") from None

    def metadata_of(
        self, listing: FaceListing, face: ListedFace, data: bytes
    ) -> FaceMetadata | None:
        """What is stored with a face: that of the pak, or in its file; None if there is nothing.

        Raises
        ------
        FacesetError, LegacyFormatError
            It cannot be used.
        """
        if listing.pak is not None:
            return listing.pak[face.index].metadata
        return read_metadata(data, what=face.name)

    def _pak_of(self, folder: Path) -> Path | None:
        pak = folder / PAK_NAME
        return self._context.inside(pak) if os.path.lexists(pak) else None

    def _read(self, place: FacePlace, seen: dict[_Identity, int], pak: Path | None) -> FaceListing:
        _, found = find_faces(place.path)
        if pak is not None:
            faceset = read_pak(pak)
            found.left_out.extend(faceset.damaged)
            stamp = pak.stat().st_mtime_ns
            entries = [
                (pak_name(entry.person_name, entry.filename), entry.size, stamp, index)
                for index, entry in enumerate(faceset.entries)
            ]
            return FaceListing.of(place, self._numbered(entries, seen), found.left_out, faceset)
        entries = []
        for path in found.files:
            try:
                status = path.lstat()
                if stat.S_ISLNK(status.st_mode):
                    status = self._context.inside(path).stat()
            except OSError:
                continue  # gone meanwhile
            except DflTfError:
                found.left_out.add(LEADING_OUT, path.name)
                continue
            entries.append((path.name, status.st_size, status.st_mtime_ns, -1))
        return FaceListing.of(place, self._numbered(entries, seen), found.left_out)

    def _numbered(
        self, entries: Collection[_Identity], seen: dict[_Identity, int]
    ) -> list[ListedFace]:
        """Faces with their numbers; one that comes back as it was has the one that it had."""
        faces = []
        for entry in entries:
            number = seen.get(entry)
            if number is None:
                number, self._next = self._next, self._next + 1
                seen[entry] = number
            name, size, stamp, index = entry
            faces.append(ListedFace(number, name, size, stamp, index))
        if len(seen) > _REMEMBERED + 2 * len(faces):
            seen.clear()
            seen.update((face.identity, face.number) for face in faces)
        return faces

    def _forget(self) -> None:
        paks = [key for key, (_, _, listing) in self._kept.items() if listing.pak is not None]
        for key in paks[:-1]:
            del self._kept[key]
        for key in list(self._kept)[:-_KEPT]:
            del self._kept[key]

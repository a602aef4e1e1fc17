"""The faces of src and dst as the XSeg editor needs them: by id, with their labels."""

from __future__ import annotations

import secrets
import shlex
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from dfl_tf.data.faceset import Faceset
from dfl_tf.disk.checksums import digest
from dfl_tf.disk.listing import FACE_SUFFIXES
from dfl_tf.disk.text import printable
from dfl_tf.errors import DflTfError, FacesetError
from dfl_tf.face.polygons import Polygon, encloses
from dfl_tf.facesets.face_file import read_face_file
from dfl_tf.facesets.labels import ChangedFaceError, write_label
from dfl_tf.facesets.rearranging import Rearrangement, rearrange
from dfl_tf.facesets.xseg_store import FaceStore, image_digest, open_store
from dfl_tf.formats import FaceMetadata
from dfl_tf.formats.faces.face_folder import find_faces
from dfl_tf.web.answers import NotListed, WebError
from dfl_tf.web.context import SiteContext

Side = Literal["src", "dst"]
SIDES: tuple[Side, ...] = ("src", "dst")
UNKNOWN, NO_FACE = "?", "x"
"""Marks of faces that were not looked at yet, and of files that are none; see `ListedFaces`."""


@dataclass(frozen=True)
class LabeledFace:
    """A face as it was read.

    Attributes
    ----------
    name : str
    metadata : FaceMetadata
    jpeg : bytes
        The whole file.
    digest, image : str
        SHA-256 of the file in hex, and the `image_digest`.
    """

    name: str
    metadata: FaceMetadata
    jpeg: bytes
    digest: str
    image: str


@dataclass
class ListedFaces:
    """The faces of a side as they were listed at some time.

    Attributes
    ----------
    edition : str
        Another one for each listing.
    names : list of str
    ids : list of str
    store : FaceStore or None
        Of a pak.
    marks : list of str
        For each face ``0`` to ``3``: 1 where it has a label, plus 2 where it has a mask; or
        `UNKNOWN`, `NO_FACE`.
    complete : bool
        Whether all were looked at.
    """

    edition: str
    names: list[str]
    ids: list[str]
    store: FaceStore | None = None
    marks: list[str] = field(default_factory=list)
    complete: bool = False

    def index(self, key: str) -> int | None:
        """The position of an id; None if it is not in this listing."""
        return self._positions.get(key)

    def __post_init__(self) -> None:
        self._positions = {key: index for index, key in enumerate(self.ids)}
        self.marks = [UNKNOWN] * len(self.names)


class FaceSide:
    """The faces of src or of dst.

    Parameters
    ----------
    context : SiteContext
    side : {"src", "dst"}
    """

    def __init__(self, context: SiteContext, side: Side) -> None:
        self._context, self.side = context, side
        workspace = context.workspace
        self.place = workspace.src if side == "src" else workspace.dst
        self._lock = threading.Lock()
        self._listed: ListedFaces | None = None

    # -- what there is ---------------------------------------------------------------------------
    def refusal(self) -> str:
        """Why labels cannot be drawn here; empty if they can."""
        try:
            pak, _ = self._found()
        except DflTfError as error:
            return str(error)
        if pak is None:
            return ""
        line = shlex.join(["dfl-tf", "faceset", "unpack", str(self.place)])
        return (
            f"{pak.name} is shown only, since one label would write the whole file again. Unpack "
            f"it to draw labels: {line}"
        )

    def _found(self) -> tuple[Path | None, list[str]]:
        """The pak, if there is one, else the names of the files."""
        try:
            self._context.inside(self.place)
        except NotListed:
            raise FacesetError(
                f"{self.place}: is missing, or a link that leads out of the workspace. Extract "
                "faces first (dfl-tf extract)."
            ) from None
        pak, listing = find_faces(self.place)
        if pak is not None:
            self._context.inside(pak)
        files = [each for each in listing.files if each.suffix.lower() in FACE_SUFFIXES]
        return pak, [each.name for each in files]

    def list_faces(self) -> ListedFaces:
        """List the faces, and begin to look which of them are labeled.

        Raises
        ------
        FacesetError
            There are none.
        """
        pak, names = self._found()
        store = None
        if pak is not None:
            store = open_store(pak)
            names = store.names
        if not names:
            raise FacesetError(f"{self.place}: holds no faces. Extract some (dfl-tf extract).")
        # a name may be there twice in a pak
        keys = names if store is None else [f"{name}\0{i}" for i, name in enumerate(names)]
        ids = [self._context.id_of("xseg", self.side, key) for key in keys]
        with self._lock:
            before = self._listed
            if before is not None and before.ids == ids and not before.complete:
                return before  # two pages share one look at the faces
            listed = self._listed = ListedFaces(secrets.token_hex(6), names, ids, store)
        threading.Thread(target=self._look, args=(listed,), name="labels", daemon=True).start()
        return listed

    def _look(self, listed: ListedFaces) -> None:
        """Find out which faces are labeled and masked, as the trainer sees it."""
        positions = {name: index for index, name in enumerate(listed.names)}
        try:
            faceset = Faceset.open(self.place, eager=0)
            for number, facts in faceset.facts():
                if self._listed is not listed:
                    return
                position = positions.get(faceset.identity(number))
                # what was saved on the page meanwhile is newer
                if position is not None and listed.marks[position] == UNKNOWN:
                    listed.marks[position] = _mark(facts.polygons, facts.masked)
        except (DflTfError, OSError):
            pass  # each face says what is wrong with it when it is opened
        listed.marks = [NO_FACE if mark == UNKNOWN else mark for mark in listed.marks]
        listed.complete = True

    def current(self) -> ListedFaces:
        """The listing that was made last."""
        with self._lock:
            listed = self._listed
        return self.list_faces() if listed is None else listed

    def _position(self, key: str) -> tuple[ListedFaces, int]:
        for listed in (self.current, self.list_faces):
            found = listed()
            index = found.index(key)
            if index is not None:
                return found, index
        raise WebError(
            "This face no longer exists under its name: it was renamed, sorted, filtered or "
            "removed. Nothing was written.",
            409,
        )

    def path_of(self, key: str) -> Path:
        """The file of a face in a folder.

        Raises
        ------
        WebError
            It is in a pak, no longer exists, or is a link that leads out of the workspace.
        """
        listed, index = self._position(key)
        if listed.store is not None:
            raise WebError(self.refusal(), 409)
        path = self.place / listed.names[index]
        if path.is_symlink():
            self._context.inside(path)
        return path

    def read(self, key: str) -> LabeledFace:
        """Read a face.

        Raises
        ------
        WebError
            As `path_of`, but for paks.
        FacesetError
            It cannot be read.
        """
        listed, index = self._position(key)
        if listed.store is not None:
            metadata, jpeg = listed.store.face(index)
        else:
            metadata, jpeg = read_face_file(self.path_of(key))
        return LabeledFace(listed.names[index], metadata, jpeg, digest(jpeg), image_digest(jpeg))

    # -- what is changed -------------------------------------------------------------------------
    def save(self, key: str, polygons: Sequence[Polygon], drawn_on: str, image: str) -> str:
        """Write the label of a face; see `labels.write_label`.

        Parameters
        ----------
        key : str
        polygons : sequence of (int, ndarray)
            Points of shape (n, 2), float32.
        drawn_on, image : str

        Returns
        -------
        str
            SHA-256 of the file as it is now.
        """
        path = self.path_of(key)
        try:
            saved = write_label(path, polygons, drawn_on=drawn_on, image=image)
        except ChangedFaceError as error:
            raise WebError(str(error), 409) from None
        metadata, _ = read_face_file(path)
        self._note(key, mark_of(metadata))
        return saved

    def trash(self, key: str, drawn_on: str) -> str:
        """Move a face to the trash folder beside the faces; the folder's name comes back."""
        path = self.path_of(key)
        if digest(read_face_file(path)[1]) != drawn_on:
            raise WebError(f"{path.name}: was changed or replaced meanwhile. It stays.", 409)
        plan = Rearrangement(self.place, f"move {path.name} to the trash", (), (path.name,))
        rearrange(plan)
        self._note(key, NO_FACE)
        return plan.trash_folder.name

    def _note(self, key: str, mark: str) -> None:
        listed = self.current()
        index = listed.index(key)
        if index is not None:
            listed.marks[index] = mark
        values = {"side": self.side, "face": key, "mark": mark}
        self._context.events.publish("xseg", values)

    def title(self) -> str:
        """What the page calls it."""
        return f"{self.side}: {printable(self.place)}"


def mark_of(metadata: FaceMetadata) -> str:
    """The mark of a face; see `ListedFaces`."""
    labeled = encloses(metadata.shape, metadata.seg_ie_polys)
    return _mark(labeled, metadata.xseg_mask_bytes is not None)


def _mark(labeled: bool, masked: bool) -> str:
    return str(int(labeled) + 2 * int(masked))

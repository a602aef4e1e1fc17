"""The folders of faces of a workspace, and what was taken out of each, by ids."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dfl_tf.disk.listing import IMAGE_SUFFIXES, list_folder
from dfl_tf.disk.text import printable
from dfl_tf.errors import DflTfError
from dfl_tf.facesets.rearranging import TRASH, beside, root_of
from dfl_tf.web.answers import NotListed
from dfl_tf.web.context import SiteContext

_PREFIX, _PRETRAIN = "aligned", "pretrain_faces"
_SECONDS = 1.0
"""For so long a place is found without another look: images are asked for by the hundred."""
_MADE_BESIDE = (TRASH, "_groups", "_landmarks", "_mask", "_enhanced")
"""Endings of folders that our own tools write beside a folder of faces."""


@dataclass(frozen=True)
class FacePlace:
    """A folder of faces, or one with a pak.

    Attributes
    ----------
    id : str
    title : str
        Its path in the workspace.
    side : str
        ``src`` or ``dst`` for the faces that are trained on, else empty.
    path : Path
        No link, and inside of the workspace.
    of : str
        Of a trash folder the id of the folder whose faces it holds, else empty.
    """

    id: str
    title: str
    side: str
    path: Path
    of: str = ""

    @property
    def trash(self) -> Path:
        """Where faces go that are taken out of it."""
        return beside(root_of(self.path), TRASH)

    def trash_place(self, context: SiteContext) -> FacePlace:
        """The trash folder as a place, whether it is there or not."""
        title = f"{self.title}{TRASH}"
        return FacePlace(context.id_of("faces", str(self.trash)), title, "", self.trash, self.id)

    def record(self) -> dict[str, object]:
        """For the page."""
        return {"id": self.id, "title": printable(self.title), "side": self.side, "of": self.of}


class FacePlaces:
    """All folders of faces.

    Parameters
    ----------
    context : SiteContext
    """

    def __init__(self, context: SiteContext) -> None:
        self._context = context
        self._lock = threading.Lock()
        self._known: dict[str, tuple[float, FacePlace]] = {}
        self._kept: dict[Path, tuple[int, list[Path]]] = {}

    def listed(self) -> list[FacePlace]:
        """Those of src and dst first, each followed by its trash folder if there is one."""
        found: dict[Path, FacePlace] = {}
        for side, folder in self._folders():
            place = self._place(folder, side)
            if place is None or place.path in found:
                continue
            found[place.path] = place
            if self._place(place.trash, "") is not None and not place.trash.is_symlink():
                found[place.trash] = place.trash_place(self._context)
        return list(found.values())

    def find(self, wanted: str) -> FacePlace:
        """The place of an id.

        Raises
        ------
        NotListed
        """
        with self._lock:
            known = self._known.get(wanted)
        if known is None or time.monotonic() - known[0] > _SECONDS:
            now = time.monotonic()
            fresh = {place.id: (now, place) for place in self.listed()}
            with self._lock:
                self._known = fresh
            known = fresh.get(wanted)
        if known is None:
            raise NotListed("folder of faces")
        return known[1]

    def of_side(self, side: str) -> FacePlace | None:
        """The faces of src or dst; None if there are none yet."""
        return next((place for place in self.listed() if place.side == side), None)

    def home_of(self, place: FacePlace) -> FacePlace:
        """The folder that faces of a trash folder go back to; any other is its own."""
        return self.find(place.of) if place.of else place

    def _folders(self) -> Iterator[tuple[str, Path]]:
        workspace = self._context.workspace
        yield "src", workspace.src
        yield "dst", workspace.dst
        for base in (workspace.src.parent, workspace.dst.parent):
            for folder in self._below(base):
                name = folder.name.lower()
                if name.startswith(_PREFIX) and not name.endswith(_MADE_BESIDE):
                    yield "", folder
        if workspace.pretrain is not None:
            yield "", workspace.pretrain
        yield "", workspace.root / _PRETRAIN

    def _below(self, base: Path) -> list[Path]:
        """Folders in a folder that may hold 100,000 frames; listed again when it has changed."""
        try:
            real = self._context.inside(base)
            now = real.stat().st_mtime_ns
            with self._lock:
                known = self._kept.get(base)
            if known is None or known[0] != now:
                known = now, list_folder(real, IMAGE_SUFFIXES).folders
                with self._lock:
                    self._kept[base] = known
        except (DflTfError, OSError):
            return []
        return known[1]

    def _place(self, folder: Path, side: str) -> FacePlace | None:
        """The folder as a place; None if it is missing, or leads out of the workspace."""
        try:
            real = self._context.inside(folder)
        except DflTfError:
            return None
        if not real.is_dir():
            return None
        root = self._context.workspace.root.resolve()
        title = real.relative_to(root).as_posix() if real.is_relative_to(root) else real.name
        return FacePlace(self._context.id_of("faces", str(real)), title, side, real)

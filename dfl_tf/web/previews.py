"""The preview images of a model by ids: the last ones, their history, those in snapshots."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dfl_tf.disk.listing import IMAGE_SUFFIXES, list_folder
from dfl_tf.disk.text import printable
from dfl_tf.errors import DflTfError
from dfl_tf.formats.models.files import FoundModel, prefix_of
from dfl_tf.formats.models.snapshots import snapshot_folder
from dfl_tf.web.answers import NotListed
from dfl_tf.web.context import SiteContext

_PLOT = "loss.png"
_MOST = 20_000


@dataclass(frozen=True)
class ListedImage:
    """An image that may be asked for.

    Attributes
    ----------
    id : str
    path : Path
    kind : str
        ``now``, ``history``, ``snapshot`` or ``plot``.
    title : str
        Name of the preview.
    of : str
        Name of the snapshot; else empty.
    iteration : int or None
        Finished before the one that it shows, as the files of the history are named.
    stamp : int
        Changes when the file does.
    """

    id: str
    path: Path
    kind: str
    title: str
    of: str = ""
    iteration: int | None = None
    stamp: int = 0

    def record(self) -> dict[str, object]:
        """What a page gets of it: no path."""
        return {
            "id": self.id,
            "kind": self.kind,
            "title": printable(self.title),
            "of": printable(self.of),
            "iteration": self.iteration,
            "stamp": str(self.stamp),
        }


class Previews:
    """The images of one model; folders are listed again when they changed.

    Parameters
    ----------
    context : SiteContext
    model : FoundModel
    """

    def __init__(self, context: SiteContext, model: FoundModel) -> None:
        self._context, self._model = context, model
        self._prefix = prefix_of(model.name, model.model_class)
        self._kept: dict[Path, tuple[int, list[tuple[Path, int]]]] = {}
        self._lock = threading.Lock()

    def listed(self, told: list[str]) -> list[ListedImage]:
        """All of them.

        Parameters
        ----------
        told : list of str
            Files of the last previews as the log names them; those of a folder of the user's own
            count if they lie inside of the workspace.
        """
        with self._lock:
            return [*self._now(told), *self._history(), *self._of_snapshots()][:_MOST]

    def find(self, wanted: str, told: list[str]) -> ListedImage:
        """The image of an id.

        Raises
        ------
        NotListed
        """
        for image in self.listed(told):
            if image.id == wanted:
                return image
        raise NotListed("image")

    def _now(self, told: list[str]) -> Iterator[ListedImage]:
        folder = self._context.workspace.model / f"{self._prefix}_preview"
        found = dict(self._files(folder))
        if told and Path(told[0]).parent != folder:
            own = Path(told[0]).parent
            found = {path: stamp for path, stamp in self._files(own) if str(path) in told}
        for path, stamp in found.items():
            kind = "plot" if path.name == _PLOT else "now"
            yield self._image(path, kind, path.stem, stamp=stamp)

    def _history(self) -> Iterator[ListedImage]:
        folder = self._context.workspace.model / f"{self._prefix}_history"
        for inside in self._folders(folder):
            for path, stamp in self._files(inside):
                if path.stem.isdecimal():
                    iteration = int(path.stem)
                    yield self._image(
                        path, "history", inside.name, iteration=iteration, stamp=stamp
                    )

    def _of_snapshots(self) -> Iterator[ListedImage]:
        model = self._model
        folder = snapshot_folder(self._context.workspace.model, model.name, model.model_class)
        for inside in self._folders(folder):
            for path, stamp in self._files(inside):
                title = path.stem.removeprefix("preview_")
                yield self._image(path, "snapshot", title, of=inside.name, stamp=stamp)

    def _image(
        self,
        path: Path,
        kind: str,
        title: str,
        *,
        of: str = "",
        iteration: int | None = None,
        stamp: int,
    ) -> ListedImage:
        names = (kind, of, title, path.name)
        key = self._context.id_of("image", self._prefix, *names)
        return ListedImage(key, path, kind, title, of, iteration, stamp)

    def _folders(self, folder: Path) -> list[Path]:
        try:
            return list_folder(self._context.inside(folder), IMAGE_SUFFIXES).folders
        except DflTfError:
            return []

    def _files(self, folder: Path) -> list[tuple[Path, int]]:
        """Images in a folder with their stamps; none in one that leads out of the workspace."""
        try:
            real = self._context.inside(folder)
            now = real.stat().st_mtime_ns
            if folder not in self._kept or self._kept[folder][0] != now:
                files = filter(self._is_inside, list_folder(real, IMAGE_SUFFIXES).files)
                self._kept[folder] = now, [(folder / p.name, _stamp(p)) for p in files]
        except (DflTfError, OSError):
            return []
        return self._kept[folder][1]

    def _is_inside(self, path: Path) -> bool:
        if not path.is_symlink():
            return True
        try:
            self._context.inside(path)
        except DflTfError:
            return False
        return True


def _stamp(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0

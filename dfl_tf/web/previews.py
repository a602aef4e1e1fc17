"""The preview images of a model by ids: the last ones, their history, those in snapshots."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
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
        self._kept: dict[Path, tuple[int, list[ListedImage]]] = {}
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

    def _now(self, told: list[str]) -> list[ListedImage]:
        def image(path: Path) -> ListedImage:
            return self._image(path, "plot" if path.name == _PLOT else "now", path.stem)

        folder = self._context.workspace.model / f"{self._prefix}_preview"
        if not told or Path(told[0]).parent == folder:
            return self._images(folder, image)
        own = self._images(Path(told[0]).parent, image)
        return [each for each in own if str(each.path) in told]

    def _history(self) -> Iterator[ListedImage]:
        def image(path: Path) -> ListedImage | None:
            if not path.stem.isdecimal():
                return None
            return self._image(path, "history", path.parent.name, iteration=int(path.stem))

        folder = self._context.workspace.model / f"{self._prefix}_history"
        for inside in self._folders(folder):
            yield from self._images(inside, image)

    def _of_snapshots(self) -> Iterator[ListedImage]:
        def image(path: Path) -> ListedImage:
            title = path.stem.removeprefix("preview_")
            return self._image(path, "snapshot", title, of=path.parent.name)

        model = self._model
        folder = snapshot_folder(self._context.workspace.model, model.name, model.model_class)
        for inside in self._folders(folder):
            yield from self._images(inside, image)

    def _image(
        self, path: Path, kind: str, title: str, *, of: str = "", iteration: int | None = None
    ) -> ListedImage:
        names = (kind, of, title, path.name)
        key = self._context.id_of("image", self._prefix, *names)
        return ListedImage(key, path, kind, title, of, iteration, _stamp(path))

    def _folders(self, folder: Path) -> list[Path]:
        try:
            return list_folder(self._context.inside(folder), IMAGE_SUFFIXES).folders
        except DflTfError:
            return []

    def _images(
        self, folder: Path, image: Callable[[Path], ListedImage | None]
    ) -> list[ListedImage]:
        """What is made of the files of a folder; of one that leads out of the workspace, nothing.

        It is kept, as a history may have thousands of them and each one is asked for by its id.
        """
        try:
            real = self._context.inside(folder)
            now = real.stat().st_mtime_ns
            if folder not in self._kept or self._kept[folder][0] != now:
                files = filter(self._is_inside, list_folder(real, IMAGE_SUFFIXES).files)
                made = [image(folder / path.name) for path in files]
                self._kept[folder] = now, [each for each in made if each is not None]
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

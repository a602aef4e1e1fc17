"""What the handlers of all views share: folders, ids, events."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from starlette.routing import BaseRoute

from dfl_tf.disk.plain_file import lies_in
from dfl_tf.disk.text import printable
from dfl_tf.errors import UsageError
from dfl_tf.formats.models.files import FoundModel, check_name, find_models, prefix_of
from dfl_tf.formats.sessions.workspace import Workspace
from dfl_tf.web.answers import NotListed
from dfl_tf.web.events import EventStreams
from dfl_tf.web.instance import Instance


class ExtractedFrames(Protocol):
    """Frames of src and dst by their names, as the extraction has recorded them."""

    def size(self, side: str, name: str) -> tuple[int, int] | None:
        """Width and height; None where the frame was not extracted, or is gone."""

    def shown(self, side: str, name: str) -> tuple[str, bytes] | None:
        """Media type and bytes of a frame as a browser can show it."""


@dataclass(frozen=True)
class SiteContext:
    """One server.

    Attributes
    ----------
    workspace : Workspace
    instance : Instance
    read_only : bool
        Whether all writes are refused.
    enhancer : Path or None
        Network for super resolution in merges.
    events : EventStreams
    looks : list of callable
        Look for changes: called in a thread, about once a second while a browser listens.
    frames : list of ExtractedFrames
        Who can read frames again that do not lie beside the faces: those of videos.
    """

    workspace: Workspace
    instance: Instance
    read_only: bool = False
    enhancer: Path | None = None
    events: EventStreams = field(default_factory=EventStreams)
    looks: list[Callable[[], None]] = field(default_factory=list)
    frames: list[ExtractedFrames] = field(default_factory=list)

    def id_of(self, *names: str) -> str:
        """The id that stands for something by its names: the same at each start of this server."""
        text = "\0".join(names).encode("utf-8", "surrogateescape")
        key = self.instance.name.encode()
        return hashlib.blake2b(text, digest_size=9, key=key).hexdigest()

    def models(self) -> dict[str, FoundModel]:
        """The models of the workspace by id, the one that was saved last first.

        Those whose names cannot be used are left out; see `unusable`.
        """
        found = [m for m in find_models(self.workspace.model) if not _name_error(m)]
        return {self.id_of("model", prefix_of(m.name, m.model_class)): m for m in found}

    def unusable(self) -> list[str]:
        """Why models of the folder are left out."""
        return [why for m in find_models(self.workspace.model) if (why := _name_error(m))]

    def model(self, wanted: str) -> FoundModel:
        """The model of an id.

        Raises
        ------
        NotListed
        """
        found = self.models().get(wanted)
        if found is None:
            raise NotListed("model")
        return found

    def inside(self, path: Path) -> Path:
        """A file or folder below workspace or model folder, wherever links lead.

        Raises
        ------
        NotListed
            It lies elsewhere, or is missing.
        """
        real = lies_in(path, (self.workspace.root, self.workspace.model))
        if real is None:
            raise NotListed("file")
        return real


def _name_error(model: FoundModel) -> str:
    try:
        check_name(model.name, model.model_class)
    except UsageError as error:
        return printable(error)
    return ""


@dataclass(frozen=True)
class View:
    """A part of the page.

    Attributes
    ----------
    name : str
        In addresses: ``#/NAME``, ``api/NAME/``, ``static/views/NAME.js``.
    title : str
    routes : callable
        Makes its routes.
    """

    name: str
    title: str
    routes: Callable[[SiteContext], list[BaseRoute]]

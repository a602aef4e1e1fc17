"""What the tuner of a model consists of: its rendering process, its settings, its merge."""

from __future__ import annotations

import shlex
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path

from dfl_tf.errors import WorkspaceError
from dfl_tf.formats.models.files import FoundModel
from dfl_tf.formats.sessions.workspace import Workspace
from dfl_tf.jobs.detached import DetachedJob
from dfl_tf.merge.settings import FrameSettings
from dfl_tf.merge.tuner.messages import Failed, Open, Opened
from dfl_tf.merge.tuner.renderer import Renderer
from dfl_tf.merge.tuner.timeline import SettingsTimeline
from dfl_tf.merge.tuner.tuning_file import CONFIG, FRAME_CONFIG, TuningFile, saved_settings
from dfl_tf.web.answers import WebError
from dfl_tf.web.job_answers import job_in_models, own_file, program

PROCESSES = 2
"""Rendering processes at the same time; of more, the one asked longest ago is ended."""


def render_command() -> list[str]:
    """The words that start a rendering process, but for its socket."""
    return [sys.executable, "-m", "dfl_tf.web.render_process"]


@dataclass
class ModelTuner:
    """The tuner of one model.

    Attributes
    ----------
    workspace : Workspace
    model : FoundModel
    read_only : bool
    renderer : Renderer
    """

    workspace: Workspace
    model: FoundModel
    read_only: bool
    renderer: Renderer
    _file: TuningFile | None = None
    _frames: tuple[str, ...] = ()
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def _stem(self) -> str:
        return f"{self.model.name}_{self.model.model_class}"

    @property
    def session(self) -> Path:
        """Where DeepFaceLab's interactive merger keeps its session."""
        return self.workspace.model / f"{self._stem}_merger_session.dat"

    @property
    def job(self) -> DetachedJob:
        """The merge that is started from the page."""
        return job_in_models(self.workspace, f"{self._stem}_merge_job")

    def saved_settings(self) -> FrameSettings:
        """What `CONFIG` and `FRAME_CONFIG` of the workspace say; errors also as in `own_file`.

        Raises
        ------
        OptionError
            There are none, or they cannot be used.
        """
        for name in (CONFIG, FRAME_CONFIG):
            own_file(self.workspace, self.workspace.root / name)
        return saved_settings(self.workspace.root)

    def settings(self, opened: Opened | Failed) -> TuningFile:
        """The settings for the frames that the rendering process has found.

        Raises
        ------
        WebError
            It has found none.
        WorkspaceError, OptionError
            The file of settings cannot be used.
        """
        if isinstance(opened, Failed):
            raise WebError(opened.text, 409)
        with self._lock:
            if self._file is None or self._frames != opened.frames:
                place = self.workspace.model / f"{self._stem}_merge_tuner.json"
                path = own_file(self.workspace, place)
                self._file = TuningFile(path, opened.frames, read_only=self.read_only)
                self._frames = opened.frames
            return self._file

    def merge_words(self, timeline: SettingsTimeline, how: str = "") -> list[str]:
        """The command line that merges with the saved settings.

        Parameters
        ----------
        timeline : SettingsTimeline
            What was saved.
        how : {"", "resume", "overwrite"}
        """
        root = self.workspace.root
        words = ["merge", str(root), "--class", self.model.model_class, "--name", self.model.name]
        if self.workspace.model != root / "model":
            words += ["--model-dir", str(self.workspace.model)]
        words += ["--config", str(root / CONFIG)]
        if timeline.segments:
            words += ["--frame-config", str(root / FRAME_CONFIG)]
        return [*words, f"--{how}"] if how else words

    def merge_line(self, timeline: SettingsTimeline, how: str = "") -> str:
        """`merge_words` as a line for a shell."""
        return shlex.join(["dfl-tf", *self.merge_words(timeline, how)])

    def start_merge(self, timeline: SettingsTimeline, how: str) -> None:
        """Merge all frames, in a process that outlives the server.

        Raises
        ------
        UsageError, WorkspaceError
            A merge runs already, or the settings are not saved.
        """
        root = self.workspace.root.absolute()
        if not (root / CONFIG).is_file():
            raise WorkspaceError(f"{root / CONFIG}: save the settings first.")
        command = [*program(), *self.merge_words(timeline, how)]
        self.job.start(command, root)


class Tuners:
    """The tuners of all models of a workspace, made when they are first asked for.

    Parameters
    ----------
    workspace : Workspace
    read_only : bool
    enhancer : Path or None
        Network for super resolution.
    """

    def __init__(self, workspace: Workspace, *, read_only: bool, enhancer: Path | None = None):
        self._workspace, self._read_only, self._enhancer = workspace, read_only, enhancer
        self._lock = threading.Lock()
        self._tuners: dict[tuple[str, str], ModelTuner] = {}

    def of(self, model: FoundModel) -> ModelTuner:
        """The tuner of a model; it counts as the one asked last."""
        key = model.name, model.model_class
        with self._lock:
            found = self._tuners.pop(key, None)
            if found is None:
                found = self._make(model)
            self._tuners[key] = found
            busy = [each for each in self._tuners.values() if each.renderer.process_id is not None]
        for each in busy[:-PROCESSES]:
            each.renderer.close()
        return found

    def _make(self, model: FoundModel) -> ModelTuner:
        place = self._workspace
        about = {
            "workspace": str(place.root.absolute()),
            "model_dir": str(place.model.absolute()),
            "name": model.name,
            "model_class": model.model_class,
            "enhancer": "" if self._enhancer is None else str(self._enhancer.absolute()),
        }
        renderer = Renderer(render_command(), Open(about))
        return ModelTuner(place, model, self._read_only, renderer)

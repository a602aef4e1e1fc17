"""Comparing two states of a model on the same faces: `dfl-tf evaluate` as a child process.

Results lie in ``<model>_compare`` in the model folder, two files each: the document of the
evaluation and the sheet of faces. One evaluation runs at a time, on the CPU: a training keeps its
GPU.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

from dfl_tf_ops.process import cores

from dfl_tf.disk import durable
from dfl_tf.disk.listing import list_folder
from dfl_tf.disk.text import printable
from dfl_tf.errors import DflTfError, UsageError
from dfl_tf.formats.models.files import FoundModel, prefix_of
from dfl_tf.formats.models.rescue import backup_iteration, backups, previous_set
from dfl_tf.formats.models.restore import PREVIOUS
from dfl_tf.formats.models.snapshots import list_snapshots
from dfl_tf.options.metrics import is_better_higher
from dfl_tf.web.answers import NotListed, WebError
from dfl_tf.web.context import SiteContext

NOW = "now"
"""Stands for the model as it was saved last."""
KEPT = 40
"""Results of a model; the oldest are removed."""
_FACES = 64
_LINES = 12


@dataclass(frozen=True)
class KeptLine:
    """A state that can be compared.

    Attributes
    ----------
    id : str
    name : str
        What `dfl-tf evaluate` calls it; `NOW` is none of its words.
    kind, note : str
    iteration : int or None
    """

    id: str
    name: str
    kind: str
    note: str = ""
    iteration: int | None = None


@dataclass
class Running:
    """An evaluation at work, or the last one."""

    model: str
    title: str
    process: subprocess.Popen[bytes]
    lines: deque[str] = field(default_factory=lambda: deque(maxlen=_LINES))
    state: str = "running"

    def record(self) -> dict[str, object]:
        """For the page."""
        shown = {"model": self.model, "title": self.title, "state": self.state}
        return {**shown, "lines": list(self.lines)}


class Comparisons:
    """What was compared, and what is being compared.

    Parameters
    ----------
    context : SiteContext
    """

    def __init__(self, context: SiteContext) -> None:
        self._context = context
        self._lock = threading.Lock()
        self._running: Running | None = None

    # -- what there is --------------------------------------------------------------------------

    def states(self, key: str) -> list[KeptLine]:
        """The states of a model, the present one first."""
        model, folder = self._context.model(key), self._context.workspace.model

        def line(name: str, kind: str, note: str = "", iteration: int | None = None) -> KeptLine:
            return KeptLine(self._context.id_of("state", key, name), name, kind, note, iteration)

        found = [line(NOW, "the last save")]
        try:
            before = previous_set(folder, model.name, model.model_class)
        except DflTfError:
            before = None
        if before is not None:
            found.append(line(PREVIOUS, "the save before", iteration=before.iteration))
        for kept in reversed(list_snapshots(folder, model.name, model.model_class)):
            label = kept.label
            found.append(line(kept.name, f"snapshot ({label.kind})", label.note, label.iteration))
        for backup in backups(folder, model.name, model.model_class):
            iteration = backup_iteration(backup, model.model_class)
            found.append(line(backup.name, "backup", iteration=iteration))
        return found

    def _state(self, key: str, wanted: object) -> KeptLine:
        for state in self.states(key):
            if state.id == wanted:
                return state
        raise NotListed("snapshot or backup")

    def results(self, key: str) -> list[dict[str, object]]:
        """What was compared, the newest first."""
        found = [self._result(key, path) for path in self._documents(self._context.model(key))]
        return [each for each in found if each is not None]

    def sheet(self, key: str, wanted: str) -> Path:
        """The faces of a result.

        Raises
        ------
        NotListed
        """
        for path in self._documents(self._context.model(key)):
            if self._context.id_of("comparison", key, path.name) == wanted:
                return self._context.inside(path.with_suffix(".jpg"))
        raise NotListed("result")

    @property
    def running(self) -> dict[str, object] | None:
        """The evaluation at work, or the last one."""
        return None if self._running is None else self._running.record()

    def _folder(self, model: FoundModel) -> Path:
        return self._context.workspace.model / f"{prefix_of(model.name, model.model_class)}_compare"

    def _documents(self, model: FoundModel) -> list[Path]:
        try:
            files = list_folder(self._context.inside(self._folder(model)), (".json",)).files
        except DflTfError:
            return []
        return sorted(files, key=lambda path: path.stat().st_mtime_ns, reverse=True)

    def _result(self, key: str, path: Path) -> dict[str, object] | None:
        from dfl_tf.evaluate.results import incomparable, read_document

        try:
            found = read_document(self._context.inside(path))
        except DflTfError:
            return None
        if len(found) < 2:
            return None
        first, second = found[-2:]
        reasons = incomparable(first, second)
        names = [*first.metrics, *(name for name in second.metrics if name not in first.metrics)]
        rows = [_row(name, first.metrics.get(name), second.metrics.get(name)) for name in names]
        notes = [*first.notes, *second.notes]
        return {
            "id": self._context.id_of("comparison", key, path.name),
            "first": {"name": printable(first.model), "iteration": first.iteration},
            "second": {"name": printable(second.model), "iteration": second.iteration},
            "refused": [printable(reason) for reason in reasons],
            "rows": [] if reasons else rows,
            "notes": [printable(note) for note in dict.fromkeys(notes)],
            "held_out": first.held_out and second.held_out,
            "time": path.stat().st_mtime,
            "sheet": path.with_suffix(".jpg").is_file() and not reasons,
        }

    # -- doing it -------------------------------------------------------------------------------

    def start(self, key: str, first: object, second: object) -> None:
        """Compare two states.

        Raises
        ------
        WebError
            One is being compared already, or they are the same.
        """
        model = self._context.model(key)
        one, other = self._state(key, first), self._state(key, second)
        if one.name == other.name:
            raise WebError("choose two different states.")
        if NOW in (one.name, other.name):  # it is the first one that is measured in any case
            one, other = sorted((one, other), key=lambda state: state.name != NOW)
        folder = self._folder(model)
        with self._lock:
            if self._running is not None and self._running.state == "running":
                raise WebError("another comparison is at work; wait for it, or cancel it.", 409)
            durable.make_folder(folder, follow=False)
            stem = folder / self._context.id_of(key, one.name, other.name)
            states = [state.name for state in (one, other) if state.name != NOW]
            line = self._line(model, states, stem.with_suffix(".jpg"))
            process = subprocess.Popen(
                line, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
            )
            running = Running(key, f"{one.name} and {other.name}", process)
            self._running = running
        for work in (self._listen, self._finish):
            threading.Thread(target=work, args=(running, stem), daemon=True).start()
        self._tell()

    def cancel(self) -> None:
        """End the evaluation that is at work."""
        running = self._running
        if running is not None and running.state == "running":
            running.state = "canceled"
            running.process.terminate()

    def _line(self, model: FoundModel, states: list[str], sheet: Path) -> list[str]:
        place = self._context.workspace
        return [
            *(sys.executable, "-m", "dfl_tf", "evaluate", "--json", "--cpu"),
            *("--threads", str(max(1, cores() // 4)), "--faces", str(_FACES)),
            *(f"--name={model.name}", "--class", model.model_class, "--sheet", str(sheet)),
            *("--src", str(place.src), "--dst", str(place.dst), "--model-dir", str(place.model)),
            *("--", str(place.root), *states),
        ]

    def _listen(self, running: Running, stem: Path) -> None:
        assert running.process.stderr is not None
        with running.process.stderr as told:
            for line in told:
                running.lines.append(printable(line.decode("utf-8", "replace").strip())[:400])
                self._tell()

    def _finish(self, running: Running, stem: Path) -> None:
        assert running.process.stdout is not None
        with running.process.stdout as made:
            document = made.read(64 << 20)
        code = running.process.wait()
        if running.state == "running":
            running.state = "failed" if code else self._keep(stem, document, running)
        self._tell()

    def _keep(self, stem: Path, document: bytes, running: Running) -> str:
        """Write what came out; returns how it ended."""
        try:
            durable.write_file(stem.with_suffix(".json"), document)
            self._prune(stem.parent)
        except DflTfError as error:
            running.lines.append(printable(error))
            return "failed"
        return "done"

    def _prune(self, folder: Path) -> None:
        files = list_folder(folder, (".json",)).files
        for old in sorted(files, key=lambda path: path.stat().st_mtime_ns)[:-KEPT]:
            durable.remove_quietly(old)
            durable.remove_quietly(old.with_suffix(".jpg"))

    def _tell(self) -> None:
        self._context.events.publish("comparison", self.running or {})


def _row(name: str, first: float | None, second: float | None) -> dict[str, object]:
    """One metric of both, and which is better."""
    try:
        higher = is_better_higher(name)
    except UsageError:
        higher = True
    better = ""
    if first is not None and second is not None and first != second:
        better = "first" if (first > second) == higher else "second"
        if first != first or second != second:
            better = ""
    return {"name": name, "first": first, "second": second, "better": better}

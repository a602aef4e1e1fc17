"""What the page knows of the trainings of a workspace, kept up to date while it is asked for."""

from __future__ import annotations

import os
import platform
import threading
import time
from collections import OrderedDict
from pathlib import Path

from dfl_tf_ops.process import available_memory, cores, cpu_info, memory_limit, resident_memory

from dfl_tf.devices.gpus import Gpu, find_gpus, forget_gpus
from dfl_tf.disk.text import printable
from dfl_tf.errors import DflTfError
from dfl_tf.formats.models.files import FoundModel, lock_file, owner_of, prefix_of
from dfl_tf.formats.models.read_write import read_model
from dfl_tf.options import OPTIONS, effective, legacy_layer, resolve, specs
from dfl_tf.options.schema import show
from dfl_tf.train.log_book import LogBook
from dfl_tf.train.log_reader import LogReader
from dfl_tf.train.requests import RequestFiles
from dfl_tf.train.sinks.json_lines import log_beside
from dfl_tf.train.status import TrainingStatus, model_status
from dfl_tf.train.validation import read_stored
from dfl_tf.web.answers import WebError
from dfl_tf.web.context import SiteContext
from dfl_tf.web.previews import Previews

KEPT = 6
"""Models whose logs are kept in memory."""
_STATUS_SECONDS = 4.0
"""The end of the log is parsed at most so often for a status."""
_DEVICE_SECONDS = 15.0
RUNNING = ("running", "silent")


class Training:
    """One model: its log, its previews, how it goes.

    Parameters
    ----------
    context : SiteContext
    key : str
        The id of the model.
    model : FoundModel

    Attributes
    ----------
    book : LogBook
    previews : Previews
    requests : RequestFiles
    """

    def __init__(self, context: SiteContext, key: str, model: FoundModel) -> None:
        self._folder, self.model, self.key = context.workspace.model, model, key
        self.prefix = prefix_of(model.name, model.model_class)
        log = log_beside(self._folder, self.prefix)
        self.book = LogBook(LogReader(log, context.inside))
        self.previews = Previews(context, model)
        self.requests = RequestFiles(self._folder, self.prefix)
        self._status: tuple[object, float, TrainingStatus] | None = None

    def status(self) -> TrainingStatus:
        """How the training goes; as it was a few seconds ago where only its log has grown."""
        lock = lock_file(self._folder, self.model.name, self.model.model_class)
        now = time.monotonic()
        seen = (lock.exists(), self.model.modified)
        if self._status is not None and self._status[0] == seen:
            age = now - self._status[1]
            if age < _STATUS_SECONDS:
                return self._status[2]
        status = model_status(self._folder, self.model)
        self._status = seen, now, status
        return status

    def stamp(self) -> tuple[object, ...]:
        """What changes when there is something new to see; asks the disk only for times."""
        names = ("_log.jsonl", "_preview", "_history", ".lock", "_data.dat", ".manifest.json")
        times = [_time_of(self._folder / f"{self.prefix}{name}") for name in names]
        return (*times, *self.requests.waiting())

    # -- details --------------------------------------------------------------------------------

    def summary(self) -> dict[str, object]:
        """The status, as the list of models shows it."""
        status = self.status()
        lines = {key: printable(getattr(status, key)) for key in ("reason", "phase", "health")}
        return {**status.record(), **lines, "name": printable(self.model.name), "id": self.key}

    def detail(self) -> dict[str, object]:
        """All that is shown of it but curves, images and lines of the log."""
        self.book.read()
        book = self.book
        return {
            **self.summary(),
            "last": book.last,
            "columns": book.columns,
            "marks": [[mark.iteration, mark.kind, mark.text] for mark in book.marks],
            "measured": self._measured(),
            "options": self.options(),
            "start": book.start,
            "waiting": self.requests.waiting(),
            "answers": list(book.answers),
            "process": self._process(),
        }

    def options(self) -> list[dict[str, object]]:
        """The options in effect: what holds, where it comes from, what it overrides and why."""
        cls = OPTIONS[self.model.model_class]
        values = self.book.options
        where = "the run that wrote the log" if values else "the model's last save"
        try:
            if not values:
                kept = read_model(self._folder, self.model.name, self.model.model_class, only=())
                values = dict(kept.options)
            stored = resolve(cls, [legacy_layer(cls, values, origin=where)]).options
        except (DflTfError, OSError):
            return [
                {"key": printable(key), "value": printable(value), "reason": "", "origin": where}
                for key, value in values.items()
            ]
        in_effect = effective(stored)
        shown: list[dict[str, object]] = []
        for key, spec in specs(cls).items():
            value = getattr(in_effect.options, key)
            reason = in_effect.reasons.get(key, "")
            if reason:
                reason = f"{reason} (stored: {show(getattr(stored, key))})"
            origin = self.book.since.get(key, "" if value != spec.default else "default")
            row = {"key": key, "value": show(value), "help": spec.help}
            shown.append({**row, "reason": reason, "origin": printable(origin)})
        return shown

    def _measured(self) -> list[dict[str, object]]:
        """Measurements of quality in the log; else those that the model stores."""
        if self.book.measured:
            return self.book.measured
        try:
            kept = read_model(self._folder, self.model.name, self.model.model_class, only=())
            rows, _ = read_stored(kept.run)
        except (DflTfError, OSError):
            return []
        return [{key: row[key] for key in ("iteration", "metrics", "best")} for row in rows]

    def _process(self) -> dict[str, object]:
        lock = lock_file(self._folder, self.model.name, self.model.model_class)
        owner = owner_of(lock)
        if owner is None:
            return {}
        pid, host = owner
        here = host == platform.node()
        memory = resident_memory(pid) if here else None
        return {"pid": pid, "host": printable(host), "here": here, "memory": memory}

    def check_running(self) -> None:
        """Refuse what only a running training can do.

        Raises
        ------
        WebError
        """
        self._status = None
        state = self.status().state
        if state not in RUNNING:
            raise WebError(f"no training of {self.prefix} runs ({state}).", 409)


def _time_of(path: Path) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size


class Trainings:
    """The trainings of a workspace; those that were not asked for lately are forgotten.

    Parameters
    ----------
    context : SiteContext
    """

    def __init__(self, context: SiteContext) -> None:
        self._context = context
        self._kept: OrderedDict[str, Training] = OrderedDict()
        self._stamps: dict[str, tuple[object, ...]] = {}
        self._lock = threading.Lock()
        self._gpus: tuple[float, tuple[Gpu, ...]] = (float("-inf"), ())

    def all(self) -> list[Training]:
        """One for each model, the one saved last first."""
        found = self._context.models()
        with self._lock:
            return [self._of(key, model) for key, model in found.items()]

    def one(self, key: str) -> Training:
        """The one of a model.

        Raises
        ------
        NotListed
        """
        model = self._context.model(key)
        with self._lock:
            training = self._of(key, model)
            self._kept[key] = training
            self._kept.move_to_end(key)
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return training

    def _of(self, key: str, model: FoundModel) -> Training:
        training = self._kept.get(key) or Training(self._context, key, model)
        training.model = model
        return training

    def look(self) -> None:
        """Tell browsers which trainings have changed since the last look."""
        now = {training.key: training.stamp() for training in self.all()}
        before, self._stamps = self._stamps, now
        if now.keys() != before.keys():
            self._context.events.publish("models", {})
        for key, stamp in now.items():
            if before.get(key, stamp) != stamp:
                self._context.events.publish("training", {"id": key})

    def machine(self) -> dict[str, object]:
        """Memory and devices of this machine."""
        seen, gpus = self._gpus
        now = time.monotonic()
        if now - seen > _DEVICE_SECONDS:
            forget_gpus()
            gpus = find_gpus({})
            self._gpus = now, gpus
        return {
            "host": platform.node(),
            "cores": cores(),
            "cpu": cpu_info("model name", "Hardware", "Processor"),
            "available": available_memory(),
            "limit": memory_limit(),
            "gpus": [
                {"name": gpu.name, "total_gib": gpu.total_gib, "free_gib": gpu.free_gib}
                for gpu in gpus
            ],
        }

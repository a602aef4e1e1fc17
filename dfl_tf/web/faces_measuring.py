"""Measuring the faces of the page in a process of its own, one request at a time."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypedDict

import numpy as np

from dfl_tf.disk.guarded import parse_json
from dfl_tf.disk.text import printable
from dfl_tf.disk.tree_schema import Array, Integer, Number, Optional, Record, Row, Table, Text
from dfl_tf.errors import DflTfError
from dfl_tf.web.answers import WebError
from dfl_tf.web.context import SiteContext
from dfl_tf.web.faces_listing import FaceListing, FaceListings, ListedFace
from dfl_tf.web.faces_places import FacePlace
from dfl_tf.web.faces_values import FaceValues

TOPIC = "faces"
_MESSAGE = Record(
    {},
    {
        "progress": Row(Integer(0), Integer(0)),
        "error": Text(),
        "notes": Array(Text()),
        "names": Array(Text()),
        "stamps": Array(Row(Integer(0), Integer(0))),
        "columns": Table(Array(Optional(Number()))),
    },
)

_Faces = Mapping[tuple[str, int], ListedFace]
"""By name and stamp."""


class _Message(TypedDict, total=False):
    """What the process tells; of `_MESSAGE`."""

    progress: tuple[int, int]
    error: str
    notes: list[str]
    names: list[str]
    stamps: list[tuple[int, int]]
    columns: dict[str, list[float | None]]


def measure_command() -> list[str]:
    """The words that start the process."""
    return [sys.executable, "-m", "dfl_tf.web.faces_process"]


@dataclass(frozen=True)
class Task:
    """What is to be found of the faces of some places.

    Attributes
    ----------
    title : str
    columns : sequence of str
        Of `faces_catalog.COLUMNS`.
    method : str
        A way to sort, or `faces_catalog.PERSONS`; empty for columns.
    strictness : float
        How alike faces must be to be one person, 0 to 1: see `facesets.grouping`.
    """

    title: str
    columns: Sequence[str] = ()
    method: str = ""
    strictness: float = 0.5


@dataclass
class MeasuringJob:
    """A task at work, or the last one."""

    number: int
    task: Task
    places: Sequence[FacePlace]
    place: str = ""
    state: str = "running"
    done: int = 0
    total: int = 0
    notes: list[str] = field(default_factory=list)
    error: str = ""
    process: subprocess.Popen[bytes] | None = None

    def record(self) -> dict[str, object]:
        """For the page."""
        return {
            "number": self.number,
            "title": self.task.title,
            "method": self.task.method,
            "places": [place.id for place in self.places],
            "place": self.place,
            "state": self.state,
            "done": self.done,
            "total": self.total,
            "notes": [printable(note) for note in self.notes],
            "error": printable(self.error, lines=True),
            "text": printable(self._text, lines=True),
        }

    @property
    def _text(self) -> str:
        if self.state == "running":
            return f"{self.task.title}: {self.done} of {self.total}"
        if self.state == "canceled":
            return f"{self.task.title}: canceled; what was measured is remembered."
        return self.error or " ".join(self.notes)


class FaceMeasuring:
    """Starts the process, and takes in what it finds.

    Parameters
    ----------
    context : SiteContext
    listings : FaceListings
    values : FaceValues
    """

    def __init__(self, context: SiteContext, listings: FaceListings, values: FaceValues) -> None:
        self._context, self._listings, self._values = context, listings, values
        self._lock = threading.Lock()
        self._job: MeasuringJob | None = None

    @property
    def job(self) -> dict[str, object]:
        """The task at work, or the last one; empty before the first."""
        return {} if self._job is None else self._job.record()

    def start(self, task: Task, places: Sequence[FacePlace]) -> None:
        """Begin a task.

        Raises
        ------
        WebError
            Another is at work; a folder holds links that lead out of the workspace.
        """
        for place in places:
            outside = self._listings.of(place).leads_out
            if outside:
                raise WebError(
                    f"{place.title}: {outside} files are links that lead out of the workspace; "
                    "its faces are not measured. Replace the links by the files.",
                    409,
                )
        with self._lock:
            if self._job is not None and self._job.state == "running":
                raise WebError(
                    f"{self._job.task.title}: is being measured; wait for it, or cancel it.", 409
                )
            number = 1 if self._job is None else self._job.number + 1
            job = MeasuringJob(number, task, places)
            self._job = job
        threading.Thread(target=self._run, args=(job,), name="faces", daemon=True).start()

    def cancel(self) -> None:
        """End the task that is at work; what was measured is remembered."""
        with self._lock:
            job = self._job
            if job is None or job.state != "running":
                return
            job.state = "canceled"
            if job.process is not None:
                job.process.terminate()
        self._tell(job)

    def _run(self, job: MeasuringJob) -> None:
        try:
            for place in job.places:
                if job.state == "running":
                    self._measure(job, place)
        except (DflTfError, OSError, ValueError) as error:
            job.error = job.error or str(error)
        with self._lock:
            if job.state == "running":
                job.state = "failed" if job.error else "done"
            job.process = None
        self._tell(job)

    def _measure(self, job: MeasuringJob, place: FacePlace) -> None:
        listing = self._listings.of(place)
        job.place, job.done, job.total = place.id, 0, len(listing.faces)
        self._tell(job)
        request = {
            "place": str(place.path),
            "columns": list(job.task.columns),
            "method": job.task.method,
            "strictness": job.task.strictness,
        }
        with self._lock:
            if job.state != "running":
                return
            pipe = subprocess.PIPE
            process = subprocess.Popen(measure_command(), stdin=pipe, stdout=pipe, stderr=pipe)
            job.process = process
        assert process.stdin is not None
        assert process.stdout is not None
        said: deque[bytes] = deque(maxlen=3)
        listening = threading.Thread(target=_drain, args=(process, said), daemon=True)
        listening.start()
        whole = False
        with process.stdin, process.stdout:
            process.stdin.write(json.dumps(request).encode() + b"\n")
            process.stdin.flush()
            faces = {(face.name, face.stamp): face for face in listing.faces}
            for line in process.stdout:
                whole = self._take(job, listing, faces, line) or whole
        process.wait()
        listening.join()
        if job.state == "running" and not job.error and not whole:
            last = printable(b" ".join(said).decode("utf-8", "replace").strip())[-300:]
            raise WebError(f"the process that measures ended ({process.returncode}): {last}")

    def _take(self, job: MeasuringJob, listing: FaceListing, faces: _Faces, line: bytes) -> bool:
        """Take in a message; returns whether it was the beginning of the results."""
        told: _Message = parse_json(
            line, what="the process that measures", kind="JSON", schema=_MESSAGE
        )
        if "progress" in told:
            job.done, job.total = told["progress"]
            self._tell(job)
        job.error = told.get("error", job.error)
        job.notes += told.get("notes", ())
        if "names" in told:
            self._keep(listing, faces, told)
        return "notes" in told

    def _keep(self, listing: FaceListing, faces: _Faces, told: _Message) -> None:
        """Remember the values of the faces that are still as they were measured."""
        numbers, rows = [], []
        for row, (name, (size, stamp)) in enumerate(
            zip(told["names"], told["stamps"], strict=True)
        ):
            face = faces.get((name, stamp))
            if face is not None and (listing.pak is not None or face.size == size):
                numbers.append(face.number)
                rows.append(row)
        found = {
            name: np.array([column[row] for row in rows], np.float64)  # None becomes NaN
            for name, column in told["columns"].items()
        }
        self._values.put(listing.place.id, np.array(numbers, np.int64), found)

    def _tell(self, job: MeasuringJob) -> None:
        self._context.events.publish(TOPIC, job.record())


def _drain(process: subprocess.Popen[bytes], said: deque[bytes]) -> None:
    assert process.stderr is not None
    with process.stderr as told:
        said.extend(told)

"""The process that reads frames, suggests landmarks and stores faces that are put there by hand.

``python -m dfl_tf.web.place_process SOCKET``: a process of its own, since journals, frames and
networks would stay in the memory of the page's server. Like that of the merge tuner it ends after
some idle minutes, or with the server.
"""

from __future__ import annotations

import json
import socket
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import numpy as np

from dfl_tf.disk.text import printable
from dfl_tf.errors import DflTfError, UsageError
from dfl_tf.extract.found import Box, Detection, Landmarker
from dfl_tf.extract.frame_work import Folders
from dfl_tf.extract.journal import Extraction, digest_of
from dfl_tf.extract.mesh.load import MeshModels
from dfl_tf.extract.placing import FacePlacing, FrameChangedError, PlacedFrame, mean_face
from dfl_tf.extract.records import FrameRecord, GivenFace, RecordedFace
from dfl_tf.formats.sessions.workspace import Workspace
from dfl_tf.merge.tuner.messages import Failed, Opened, Render, Rendered
from dfl_tf.merge.tuner.serving import error_text, serve_answers
from dfl_tf.web.place_frames import SideFrames, names_or_reason

Values = Mapping[str, object]
Answer = tuple[str, bytes]
JSON = "application/json"


def load_landmarker() -> Landmarker:
    """The open landmarker.

    Raises
    ------
    UsageError, ModelFileError
        Its files are missing or damaged.
    """
    return MeshModels.load().landmarker()


class Side:
    """The extraction of src or dst.

    Parameters
    ----------
    place : Workspace
    side : {"src", "dst"}
    """

    def __init__(self, place: Workspace, side: str) -> None:
        self.frames = SideFrames(place, side)
        self.placing = FacePlacing(Folders(self.frames.faces), self.frames.decode)

    @property
    def content(self) -> Extraction:
        """What the journal says."""
        self.frames.inside(self.placing.folders.faces)
        return self.placing.content

    @property
    def about(self) -> dict[str, object]:
        """What the journal says of the source."""
        run = self.content.last_run or self.content.runs[-1]
        return dict(run["source"])

    def overview(self) -> dict[str, object]:
        """All frames: their names, how many faces each has, which have faces made by hand."""
        names, reason = names_or_reason(self.frames, self.about)
        records = self.content.frames
        names = names or [record.name for record in self.content.records]
        found = [records.get(name) for name in names]
        return {
            "frames": [printable(name) for name in names],
            "faces": [-1 if record is None else _stored(record) for record in found],
            "by_hand": [
                number
                for number, record in enumerate(found, start=1)
                if record is not None and any(face.by_hand for face in record.faces)
            ],
            "kind": self.about.get("kind"),
            "notes": [printable(reason)] if reason else [],
        }

    def frame(self, number: int) -> dict[str, object]:
        """What is known of a frame."""
        name = self._name(number)
        record = self.content.frames.get(name)
        if record is None:
            return {"number": number, "name": printable(name), "extracted": False}
        return _as_plain(number, PlacedFrame(record, digest_of(record)))

    def named(self, name: str) -> dict[str, object]:
        """Number and size of the frame of a name; empty if it was not extracted, or is gone."""
        record, names = self.content.frames.get(name), self.frames.source(self.about).names
        if record is None or name not in names:
            return {}
        number = names.index(name) + 1
        return {"number": number, "width": record.width, "height": record.height}

    def image(self, number: int) -> Answer:
        """A frame, for a browser."""
        self._name(number)
        return self.frames.shown(number)

    def change(self, number: int, what: str, values: Values) -> dict[str, object]:
        """Place, remove or restore a face; what the frame is then."""
        name, placing = self._name(number), self.placing
        based_on = str(values["based_on"])
        chosen = cast("int | None", values.get("face"))
        try:
            if what == "place":
                points = np.array(values["landmarks"], np.float64)
                left, top, right, bottom = cast("list[float]", values["box"])
                face = GivenFace((left, top, right, bottom), points)
                made = placing.place(name, face, based_on=based_on, instead=chosen)
            else:
                assert chosen is not None
                work = placing.remove if what == "remove" else placing.restore
                made = work(name, chosen, based_on=based_on)
        except FrameChangedError as error:
            return {"error": str(error), "frame": self.frame(number)}
        return {"frame": _as_plain(number, made)}

    def record(self, number: int) -> FrameRecord:
        """What is known of a frame that was extracted."""
        return self.placing.frame(self._name(number)).record

    def _name(self, number: int) -> str:
        names = self.frames.source(self.about).names
        if not 1 <= number <= len(names):
            raise UsageError(f"frame {number}: there are {len(names)} frames.")
        return names[number - 1]


@dataclass
class PlaceScene:
    """All that is asked about.

    Attributes
    ----------
    place : Workspace
    """

    place: Workspace
    _sides: dict[str, Side] = field(default_factory=dict)
    _landmarker: Landmarker | None = None

    def answer(self, values: Values) -> Answer:
        """Answer a request: ``do``, ``side``, ``number`` and what belongs to it."""
        side = self._side(str(values["side"]))
        what, number = str(values["do"]), cast("int", values.get("number", 0))
        if what == "image":
            return side.image(number)
        if what == "overview":
            found = side.overview()
        elif what == "frame":
            found = side.frame(number)
        elif what == "named":
            found = side.named(str(values["name"]))
        elif what == "suggest":
            found = self._suggested(side, number, cast("list[float]", values["box"]))
        else:
            found = side.change(number, what, values)
        return JSON, json.dumps(found, separators=(",", ":")).encode("ascii")

    def _side(self, name: str) -> Side:
        if name not in self._sides:
            self._sides[name] = Side(self.place, name)
        return self._sides[name]

    def _suggested(self, side: Side, number: int, box: list[float]) -> dict[str, object]:
        """Landmarks of the face in a box; a mean face, and why, where none is found."""
        left, top, right, bottom = box
        whole: Box = (left, top, right, bottom)
        image = side.placing.image(side.record(number))
        points, reason = mean_face(whole), ""
        try:
            if self._landmarker is None:
                self._landmarker = load_landmarker()
            (found,) = self._landmarker.find(image, [Detection(whole, 1.0)])
            if found is None:
                reason = "The landmarker finds no face in this box: this is a mean face."
            else:
                points = found.points
        except DflTfError as error:
            reason = f"This is a mean face, since there is no landmarker: {error}"
        return {"landmarks": np.round(points, 3).tolist(), "reason": printable(reason)}


def _stored(record: FrameRecord) -> int:
    return sum(bool(face.file) for face in record.faces)


def _as_plain(number: int, frame: PlacedFrame) -> dict[str, object]:
    record = frame.record
    return {
        "number": number,
        "name": printable(record.name),
        "extracted": True,
        "width": record.width,
        "height": record.height,
        "based_on": frame.digest,
        "faces": [_face(face) for face in record.faces],
        "removed": [_face(face) for face in record.removed],
    }


def _face(face: RecordedFace) -> dict[str, object]:
    return {
        "box": list(face.box),
        "landmarks": None if face.landmarks is None else face.landmarks.tolist(),
        "score": face.score,
        "file": printable(face.file),
        "dropped": printable(face.dropped),
        "by_hand": face.by_hand,
    }


def answer(scene: PlaceScene, request: Render) -> Rendered | Failed:
    """Answer a request of the server."""
    start = time.perf_counter()
    try:
        media_type, data = scene.answer(request.values)
    except Exception as error:  # one frame that cannot be read ends nothing
        return Failed(request.number, error_text(error))
    milliseconds = 1000 * (time.perf_counter() - start)
    return Rendered(request.number, media_type, milliseconds, False, data)


def open_scene(about: Values) -> tuple[PlaceScene, Opened]:
    """Find the workspace that `about` names by ``workspace`` and ``model_dir``."""
    place = Workspace.open(
        Path(str(about["workspace"])), model=Path(str(about["model_dir"])), need=()
    )
    return PlaceScene(place), Opened("", "", (), ())


if __name__ == "__main__":
    serve_answers(socket.socket(fileno=int(sys.argv[1])), open_scene, answer)

"""The JSON Schema of files of faces: ``docs/faces.schema.json``."""

from __future__ import annotations

import json
from typing import Any

from dfl_tf.disk.json_schema import json_schema
from dfl_tf.extract.faces_json import SCHEMA

_SAID = {
    "": "Boxes and 68-point landmarks of faces in the frames of a video or folder. Written by "
    "`dfl-tf extract --write-faces`, read by `--faces`. Further keys are allowed and ignored.",
    "frames": "One entry a frame. A frame that is listed has exactly these faces; for one that is "
    "not listed the detector looks.",
    "frames.name": "File name of the frame, with or without its suffix.",
    "frames.number": "Place of the frame, from 1: in the folder in the order of the numbers in "
    "names, or among the decoded, shown frames of the video.",
    "frames.width": "Of the frame in pixels.",
    "frames.height": "Of the frame in pixels.",
    "frames.faces": "The faces of the frame; an empty list says that it has none.",
    "frames.faces.box": "Left, top, right, bottom in frame pixels; may reach beyond the frame.",
    "frames.faces.landmarks": "68 points x, y in frame pixels, in the order of iBUG 300-W. Without "
    "them the landmarker looks in the box; without a box theirs is taken.",
    "frames.faces.score": "Of the detector, on its own scale.",
    "frames.faces.landmark_score": "Of the landmarker, on its own scale.",
    "frames.faces.track": "Equal for the same face in consecutive frames; -1: not known.",
    "frames.faces.dropped": "Why the face was not stored; a face with a reason is not read.",
    "source": "What the frames came from.",
    "source.frames": "How many there are.",
    "source.sha256": "Of the video file, in hex; empty: not known.",
    "written_by": "Program and version.",
}


def schema_document() -> dict[str, object]:
    """The whole document, with what each key means."""
    document = json_schema(SCHEMA)
    for path, text in _SAID.items():
        place = _at(document, path)
        place["description"] = text
    _at(document, "frames")["items"]["anyOf"] = _one_of("name", "number")
    _at(document, "frames.faces")["items"]["anyOf"] = _one_of("box", "landmarks")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Faces in frames (dfl_tf)",
        **document,
    }


def schema_text() -> str:
    """The document as it stands in the file."""
    return json.dumps(schema_document(), indent=2) + "\n"


def _one_of(*keys: str) -> list[dict[str, object]]:
    """One of these is there, neither null nor empty."""
    filled = {"not": {"enum": [None, ""]}}
    return [{"required": [key], "properties": {key: filled}} for key in keys]


def _at(document: dict[str, Any], path: str) -> dict[str, Any]:
    place = document
    for key in path.split(".") if path else ():
        place = place.get("items", place)
        place = place.get("anyOf", [None, place])[1] if "properties" not in place else place
        place = place["properties"][key]
    return place

"""Files of faces: what is written is read, and what the published schema says is so."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dfl_tf.errors import WorkspaceError
from dfl_tf.extract.faces_json import (
    FacesFile,
    Source,
    Tool,
    match_faces,
    read_faces,
    write_faces,
)
from dfl_tf.extract.faces_schema import schema_document, schema_text
from dfl_tf.extract.records import FrameRecord
from tests.extract.clips import HEAD, clip, face_at

DOCUMENT = Path(__file__).parents[2] / "docs/faces.schema.json"
POINTS = (HEAD[:, :2] * 100).tolist()


def frames() -> list[FrameRecord]:
    faces = [[face_at(100.1234, 90, score=21.5)], [], [face_at(310, 200), face_at(100, 90)]]
    made = clip(faces, name=lambda i: f"{i + 99_997}.png")
    first = made[0].faces[0]
    made[0] = replace(made[0], faces=(replace(first, track=7),))
    return made


def written(folder: Path) -> Path:
    path = folder / "faces.json"
    write_faces(
        path,
        frames()[::-1],
        source=Source("clip.mp4", 3, "ab" * 32),
        detector=Tool("mesh", "c7d5"),
        landmarker=Tool("2dfan"),
        written_by="dfl_tf 0.6",
    )
    return path


def tree(**changes: Any) -> dict[str, Any]:
    entry = {"name": "00001.png", "faces": [{"box": [1, 2, 30, 40]}]}
    return {"format": "dfl_tf faces", "version": 1, "frames": [entry], **changes}


def read_tree(folder: Path, content: Any) -> FacesFile:
    path = folder / "given.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    return read_faces(path)


# -- round trip ------------------------------------------------------------------------------------
def test_what_is_written_is_read(tmp_path: Path):
    file = read_faces(written(tmp_path))
    assert (file.source, file.detector) == (Source("clip.mp4", 3, "ab" * 32), Tool("mesh", "c7d5"))
    assert file.landmarker == Tool("2dfan")
    assert [(f.name, f.number) for f in file.frames] == [(f.name, f.number) for f in frames()]
    for given, frame in zip(file.frames, frames(), strict=True):
        assert (given.width, given.height) == (640, 480)
        for face, expected in zip(given.faces, frame.faces, strict=True):
            assert face.box == pytest.approx(expected.box, abs=1e-3)
            np.testing.assert_allclose(face.landmarks, expected.landmarks, atol=5e-4)


def test_tracks_scores_and_tools_are_written(tmp_path: Path):
    content = json.loads(written(tmp_path).read_bytes())
    assert content["frames"][0]["faces"][0]["track"] == 7
    assert content["frames"][0]["faces"][0]["score"] == 21.5
    assert content["detector"] == {"name": "mesh", "version": "c7d5"}
    assert content["source"] == {"name": "clip.mp4", "frames": 3, "sha256": "ab" * 32}


def test_the_same_faces_give_the_same_bytes_in_any_order(tmp_path: Path):
    first = written(tmp_path).read_bytes()
    write_faces(
        tmp_path / "b.json",
        frames(),
        source=Source("clip.mp4", 3, "ab" * 32),
        detector=Tool("mesh", "c7d5"),
        landmarker=Tool("2dfan"),
        written_by="dfl_tf 0.6",
    )
    assert (tmp_path / "b.json").read_bytes() == first


def test_faces_without_landmarks_and_dropped_ones(tmp_path: Path):
    first = frames()[0]
    bare = replace(first.faces[0], landmarks=None)
    dropped = replace(first.faces[0], dropped="its square is too large")
    write_faces(tmp_path / "f.json", [replace(first, faces=(bare, dropped))])
    file = read_faces(tmp_path / "f.json")
    assert [face.landmarks for face in file.frames[0].faces] == [None]
    given = match_faces(file, [(first.name, 1)])
    assert given.left_out.lines() == [
        "faces marked as dropped in f.json: 1 left out (99998.png)",
    ]


def test_no_frames_are_a_file_too(tmp_path: Path):
    write_faces(tmp_path / "f.json", [])
    assert read_faces(tmp_path / "f.json").frames == ()


# -- frames by name and number ---------------------------------------------------------------------
KNOWN = [("00001.jpg", 1), ("00002.jpg", 2), ("00003.jpg", 3)]


def entry(**keys: Any) -> dict[str, Any]:
    return {"faces": [{"box": [1, 2, 30, 40]}], **keys}


def test_frames_are_found_by_name_stem_or_number(tmp_path: Path):
    content = tree(frames=[entry(name="00001.jpg"), entry(name="00002"), entry(number=3)])
    given = match_faces(read_tree(tmp_path, content), KNOWN)
    assert sorted(given.by_name) == ["00001.jpg", "00002.jpg", "00003.jpg"]
    assert not given.left_out


def test_unknown_frames_are_counted_and_named(tmp_path: Path):
    content = tree(frames=[entry(name="00001.png"), entry(name="other.png"), entry(number=9)])
    given = match_faces(read_tree(tmp_path, content), KNOWN)
    assert list(given.by_name) == ["00001.jpg"]
    assert given.left_out.lines() == [
        "frames of given.json that are not there: 2 left out (for example other.png)"
    ]


def test_a_frame_with_no_faces_has_none_and_a_frame_not_listed_is_absent(tmp_path: Path):
    content = tree(frames=[{"name": "00001.jpg", "faces": []}])
    assert match_faces(read_tree(tmp_path, content), KNOWN).by_name == {"00001.jpg": ()}


def test_a_name_and_a_number_that_differ_are_an_error(tmp_path: Path):
    file = read_tree(tmp_path, tree(frames=[entry(name="00001.jpg", number=2)]))
    with pytest.raises(WorkspaceError, match=r"frame 00001\.jpg: number is 2, but .* is frame 1"):
        match_faces(file, KNOWN)


def test_two_entries_of_one_frame_are_an_error(tmp_path: Path):
    file = read_tree(tmp_path, tree(frames=[entry(name="00001.jpg"), entry(number=1)]))
    with pytest.raises(WorkspaceError, match=r"frame 00001\.jpg is given twice"):
        match_faces(file, KNOWN)


# -- errors ----------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("content", "said"),
    [
        ([], "the whole is a list of 0; it must be an object"),
        (tree(format="x"), 'format is "x"; it must be one of dfl_tf faces'),
        (tree(version=2), "version is 2; it must be a whole number from 1 to 1"),
        (tree(frames={}), "frames is an object of 0; it must be a list"),
        (tree(frames=[entry()]), r"frames\[0\] lacks name and number; give one of them"),
        (tree(frames=[{"name": "a"}]), r"frames\[0\] lacks faces"),
        (
            tree(frames=[{"name": "a.png", "faces": [{"box": [1, 2, 3]}]}]),
            r"frames\[0\]\.faces\[0\]\.box is a list of 3; it must be a list of 4",
        ),
        (
            tree(frames=[{"name": "a.png", "faces": [{"box": [9, 2, 3, 4]}]}]),
            r"frames\[0\] \(a\.png\): faces\[0\]\.box is \[9, 2, 3, 4\]; it must be left, top",
        ),
        (
            tree(frames=[{"number": 5, "faces": [{"score": 1}]}]),
            r"frames\[0\] \(number 5\): faces\[0\] has neither box nor landmarks",
        ),
        (
            tree(frames=[{"name": "a.png", "faces": [{"landmarks": POINTS[:67]}]}]),
            r"faces\[0\]\.landmarks is a list of 67; it must be a list of 68",
        ),
        (
            tree(frames=[{"name": "a.png", "faces": [{"landmarks": [[5, 5]] * 68}]}]),
            r"\(a\.png\): faces\[0\]\.landmarks cannot be used: all points are in one place",
        ),
        (
            tree(frames=[entry(name="a.png"), entry(name="a.png")]),
            r"frames\[1\] \(a\.png\) is given twice: also frames\[0\]",
        ),
    ],
)
def test_an_error_names_file_frame_and_key(tmp_path: Path, content: Any, said: str):
    with pytest.raises(
        WorkspaceError, match=r"given\.json: cannot be read as a file of faces: "
    ) as e:
        read_tree(tmp_path, content)
    assert e.match(said)
    assert e.match(r"docs/faces\.schema\.json")


@pytest.mark.parametrize("text", ["", "{", '{"format": NaN}', "\x00", '{"a":1,"a":2}'])
def test_what_is_no_json_is_one_clear_error(tmp_path: Path, text: str):
    path = tmp_path / "given.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(WorkspaceError, match="cannot be read as a file of faces"):
        read_faces(path)
    with pytest.raises(WorkspaceError, match="cannot be read as a file of faces"):
        read_faces(tmp_path / "missing.json")


# -- the published schema --------------------------------------------------------------------------
def test_the_published_schema_is_up_to_date():
    assert DOCUMENT.read_text(encoding="utf-8") == schema_text(), (
        "run python tools/write_faces_schema.py"
    )


_TYPES = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "null": (type(None),),
}


def fits(value: Any, schema: Any) -> bool:
    """Whether JSON Schema accepts a value: the keywords that the document uses, and no others."""
    if isinstance(schema, bool):
        return schema
    kind = type(value)
    is_number = kind in (int, float)
    checks = {
        "type": lambda wanted: kind in _TYPES[wanted],
        "enum": lambda choices: any(value == c and kind is type(c) for c in choices),
        "minimum": lambda low: not is_number or value >= low,
        "maximum": lambda high: not is_number or value <= high,
        "maxLength": lambda most: kind is not str or len(value) <= most,
        "minItems": lambda least: kind is not list or len(value) >= least,
        "maxItems": lambda most: kind is not list or len(value) <= most,
        "items": lambda item: kind is not list or all(fits(v, item) for v in value),
        "required": lambda keys: kind is not dict or all(key in value for key in keys),
        "properties": lambda inner: (
            kind is not dict
            or all(fits(value[key], rule) for key, rule in inner.items() if key in value)
        ),
        "additionalProperties": lambda rule: (
            kind is not dict
            or all(fits(v, rule) for key, v in value.items() if key not in schema["properties"])
        ),
        "anyOf": lambda rules: any(fits(value, rule) for rule in rules),
        "not": lambda rule: not fits(value, rule),
        **dict.fromkeys(("$schema", "title", "description"), lambda text: True),
    }
    return all(checks[keyword](rule) for keyword, rule in schema.items())


def test_what_is_written_fits_the_published_schema(tmp_path: Path):
    content = json.loads(written(tmp_path).read_bytes())
    assert fits(content, json.loads(DOCUMENT.read_bytes()))


_OTHERS = (None, True, 0, -1, 1.5, 2**70, "", "text", "x" * 2000, [], [1], {}, {"name": "a"})
_BEYOND = ("must be left, top", "landmarks cannot be used", "is given twice", "digits")


def mutants(content: dict[str, Any], count: int) -> Iterator[dict[str, Any]]:
    """Copies of a tree, each with one value replaced, removed or added."""
    rng = random.Random(7)
    for _ in range(count):
        mutant = copy.deepcopy(content)
        node: Any = mutant
        while True:
            key = rng.choice(list(node) if isinstance(node, dict) else range(len(node)))
            inner = node[key]
            if isinstance(inner, dict | list) and inner and rng.random() < 0.8:
                node = inner
                continue
            break
        action = rng.choice(("replace", "replace", "remove", "add"))
        if action == "replace":
            node[key] = copy.deepcopy(rng.choice(_OTHERS))
        elif action == "remove":
            del node[key]
        elif isinstance(node, dict):
            node["further"] = rng.choice(_OTHERS)
        else:
            node.append(copy.deepcopy(rng.choice(_OTHERS)))
        yield mutant


def test_reader_and_published_schema_accept_the_same_files(tmp_path: Path):
    content = json.loads(written(tmp_path).read_bytes())
    document = schema_document()
    accepted = refused = 0
    for mutant in mutants(content, 600):
        error = ""
        try:
            read_tree(tmp_path, mutant)
        except WorkspaceError as problem:
            error = str(problem)
        refused += bool(error)
        accepted += not error
        beyond = any(text in error for text in _BEYOND)
        assert beyond or fits(mutant, document) == (not error), (error, mutant)
    assert min(accepted, refused) > 50

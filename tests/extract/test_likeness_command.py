"""`dfl-tf extract --like`: one person's faces stay, whole tracks are decided at once."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from dfl_tf.cli import extract as extract_command
from dfl_tf.cli.main import run
from dfl_tf.data import identity
from dfl_tf.data.identity import Embedder
from dfl_tf.extract.networks import ExtractNetworks
from dfl_tf.facesets.measure_cache import MeasureCache

from .squares import SquareDetector, SquareLandmarker, draw_frame

WHITE, YELLOW = (250, 250, 250), (205, 250, 250)


class MiddleColor(Embedder):
    """Persons are squares of one color."""

    name, key, length, scale = "middle color", "middle", 3, 0.1

    def vector(self, face):
        low, high = face.known.landmarks.min(axis=0), face.known.landmarks.max(axis=0)
        x, y = ((low + high) / 2).astype(int)
        return face.image[y - 3 : y + 3, x - 3 : x + 3].mean(axis=(0, 1)) / 255


def draw(left, right=None) -> np.ndarray:
    """A frame with a face on the left, and perhaps one on the right."""
    image = draw_frame((30, 60, 80), *([] if right is None else [(190, 60, 80)]))
    for x, color in ((30, left), (190, right)):
        if color is not None:
            image[60:140, x : x + 80] = color
    return image


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two persons side by side; in frame 4 the light makes one look like the other."""
    networks = ExtractNetworks(SquareDetector(), SquareLandmarker())
    monkeypatch.setattr(extract_command, "load_networks", lambda *args, **keys: networks)
    monkeypatch.setattr(identity, "make_embedder", lambda *args: MiddleColor())
    cache = MeasureCache(tmp_path / "cache")
    monkeypatch.setattr(MeasureCache, "of_user", classmethod(lambda cls: cache))
    (tmp_path / "frames").mkdir()
    for number in range(1, 7):
        right = WHITE if number == 4 else YELLOW
        cv2.imwrite(str(tmp_path / "frames" / f"{number:05d}.png"), draw(WHITE, right))
    cv2.imwrite(str(tmp_path / "white.png"), draw(WHITE))
    (tmp_path / "yellow").mkdir()
    cv2.imwrite(str(tmp_path / "yellow" / "a.png"), draw(YELLOW))
    cv2.imwrite(str(tmp_path / "yellow" / "nobody.png"), np.zeros((240, 320, 3), np.uint8))
    return tmp_path


def extract(place: Path, *arguments: object) -> int:
    words = ("extract", place / "frames", place / "out", "--image-size", 96, *arguments)
    return run([*map(str, words)])


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*.jpg"))


@pytest.mark.parametrize(
    "arguments", [("--like", "white.png"), ("--not-like", "yellow")], ids=["like", "not like"]
)
def test_one_person_stays_and_a_track_is_decided_as_a_whole(place, capsys, arguments):
    assert extract(place, arguments[0], place / arguments[1]) == 0
    streams = capsys.readouterr()
    assert names(place / "out") == [f"{number:05d}_0.jpg" for number in range(1, 7)]
    assert names(place / "out_trash") == [f"{number:05d}_1.jpg" for number in range(1, 7)]
    assert f"distances to {arguments[0]}: 0.0" in streams.out
    assert "6 of 12 faces by a threshold of" in streams.out
    assert "6 faces of others went to" in streams.out
    assert ("images without a face: 1 left out (nobody.png)" in streams.err) == (
        arguments[0] == "--not-like"
    )
    assert extract(place, arguments[0], place / arguments[1], "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["frames"], facts["likeness"]["kept"], facts["likeness"]["trash"]) == (0, 6, [])


def test_the_move_can_be_taken_back(place, capsys):
    assert extract(place, "--like", place / "white.png") == 0
    assert run(["faceset", "sort", "--undo", str(place / "out")]) == 0
    assert len(names(place / "out")) == 12
    assert extract(place) == 0
    assert len(names(place / "out")) == 12


def test_a_threshold_of_the_user_counts(place, capsys):
    assert extract(place, "--like", place / "white.png", "--like-threshold", 2, "--json") == 0
    facts = json.loads(capsys.readouterr().out)["likeness"]
    assert (facts["threshold"], facts["kept"]) == (2.0, 12)
    assert 0.05 < facts["proposed"] < 0.2


def test_images_without_a_face_are_refused_before_anything_is_extracted(place, capsys):
    assert extract(place, "--like", place / "yellow" / "nobody.png") == 2
    assert "no face was found in" in capsys.readouterr().err
    assert extract(place, "--like", place / "none.png") == 2
    assert "there is no such image or folder" in capsys.readouterr().err
    assert not (place / "out").exists()

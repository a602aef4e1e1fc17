"""Frames that are not frames, or odd ones, through the command: a line each, and the exit code."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from dfl_tf.cli import extract as extract_command
from dfl_tf.cli.main import run
from dfl_tf.extract.networks import ExtractNetworks

from .squares import SquareDetector, SquareLandmarker, draw_frame

GOOD = draw_frame((100, 60, 80))
EXIF = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"


@pytest.fixture(autouse=True)
def _square_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    networks = ExtractNetworks(SquareDetector(), SquareLandmarker())
    monkeypatch.setattr(extract_command, "load_networks", lambda *args, **keys: networks)


@pytest.fixture
def call(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Extract from the folder frames: exit code, and what stood on stdout and stderr."""
    (tmp_path / "frames").mkdir()

    def call(*arguments: str) -> tuple[int, str, str]:
        words = ["extract", str(tmp_path / "frames"), str(tmp_path / "out")]
        code = run([*words, "--image-size", "64", *arguments])
        streams = capfd.readouterr()
        return code, streams.out, streams.err

    return call


def encoded(image: np.ndarray, suffix: str = ".png") -> bytes:
    return cv2.imencode(suffix, image)[1].tobytes()


def declared(width: int, height: int) -> bytes:
    """A PNG that claims to have this size."""
    small = encoded(np.zeros((1, 1, 3), np.uint8))
    return small[:16] + width.to_bytes(4, "big") + height.to_bytes(4, "big") + small[24:]


def cmyk() -> bytes:
    black = np.zeros(GOOD.shape[:2], np.uint8)
    file = BytesIO()
    planes = [Image.fromarray(plane) for plane in (*cv2.split(255 - GOOD), black)]
    Image.merge("CMYK", planes).save(file, "JPEG", quality=95)
    return file.getvalue()


def turned() -> bytes:
    jpeg = encoded(GOOD, ".jpg")
    return jpeg[:2] + b"\xff\xe1" + (len(EXIF) + 2).to_bytes(2, "big") + EXIF + jpeg[2:]


def wide() -> np.ndarray:
    """20,000 pixels from side to side, with a face."""
    image = np.zeros((240, 20_000, 3), np.uint8)
    image[:, :320] = GOOD
    return image


HUGE = "the image is not decoded: it declares 20000x20000 pixels, and at most 67,108,864"
WHOLE, JPEG = encoded(GOOD), encoded(GOOD, ".jpg")
CASES: dict[str, tuple[str, bytes, int, int, str]] = {
    "no image": ("a.jpg", b"no image", 1, 0, "failed: a.jpg: cannot be decoded as an image (8 b"),
    "no bytes": ("a.jpg", b"", 1, 0, "failed: a.jpg: cannot be decoded as an image (0 bytes"),
    "half a JPEG": ("a.jpg", JPEG[: len(JPEG) // 2], 1, 0, "failed: a.jpg: cannot be decoded as"),
    "half a PNG": ("a.png", WHOLE[: len(WHOLE) // 2], 1, 0, "failed: a.png: cannot be decoded as"),
    "16 bits": ("a.png", encoded(GOOD.astype(np.uint16) * 257), 0, 1, "16 bits are rounded to 8"),
    "gray": ("a.png", encoded(cv2.cvtColor(GOOD, cv2.COLOR_BGR2GRAY)), 0, 1, ""),
    "alpha": ("a.png", encoded(cv2.cvtColor(GOOD, cv2.COLOR_BGR2BGRA)), 0, 1, "alpha channels: 1"),
    "CMYK": ("a.jpg", cmyk(), 0, 1, ""),
    "EXIF": ("a.jpg", turned(), 0, 1, "EXIF orientations: 1 left out (a.jpg: 6 is not applied"),
    "one pixel": ("a.png", encoded(GOOD[:1, :1]), 0, 0, "below 128 pixels: 1 left out (a.png: 1x1"),
    "one row": ("a.png", encoded(GOOD[:1]), 0, 0, "below 128 pixels: 1 left out (a.png: 320x1"),
    "very wide": ("a.png", encoded(wide()), 0, 1, ""),
    "huge": ("a.png", declared(20_000, 20_000), 1, 0, f"failed: a.png: {HUGE}"),
    "no face": ("a.png", encoded(np.zeros_like(GOOD)), 0, 0, ""),
    "blanks": ("a b .png", WHOLE, 0, 1, ""),
    "Unicode": ("ä 😀.png", WHOLE, 0, 1, ""),
    "no UTF-8": ("a\udcff.png", b"", 1, 0, r"failed: a\xff.png: cannot be decoded"),
    "control": ("a\n\x1b[31m.png", b"", 1, 0, r"failed: a\n\x1b[31m.png: cannot be decoded"),
}
"""Name of the frame, its bytes, exit code, faces, what stderr says (with one line at most)."""


@pytest.mark.parametrize("kind", CASES)
def test_each_kind_of_bad_frame(kind, call, tmp_path):
    name, data, code, faces, said = CASES[kind]
    (tmp_path / "frames" / name).write_bytes(data)
    found = call("--workers", "2")
    assert found[0] == code
    assert f"{faces} faces of {1 - code} frames" in found[1]
    lines = [line for line in found[2].splitlines() if not line.startswith("extract 1/1")]
    library = [line for line in lines if line.startswith("a library said: ")]
    others = [line for line in lines if line not in library]
    assert len(others) == bool(said)
    assert said in "".join(others)
    assert len(library) <= (kind == "half a PNG")
    assert len(list((tmp_path / "out").glob("*.jpg"))) == faces
    if faces:
        again = call()
        assert (again[0], again[2]) == (0, "")
        assert "1 frames were done before" in again[1]


def test_what_is_no_file_is_counted(call, tmp_path):
    frames = tmp_path / "frames"
    (frames / "good.png").write_bytes(WHOLE)
    (frames / "folder.png").mkdir()
    (frames / "link.png").symlink_to("nowhere")
    os.mkfifo(frames / "pipe.png")
    (frames / "notes.txt").write_text("-")
    code, out, err = call()
    assert (code, "1 faces of 1 frames" in out) == (0, True)
    for line in ("sub-folders: 1", "links that lead nowhere: 1", "pipes, sockets and devices: 1"):
        assert line in err


def test_a_frame_that_may_not_be_read_is_named(call, tmp_path, monkeypatch):
    frame = tmp_path / "frames" / "a.png"
    frame.write_bytes(WHOLE)
    real = os.open

    def forbidden(path, *arguments, **settings):  # root may read everything
        if str(path) == str(frame):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, *arguments, **settings)

    monkeypatch.setattr(os, "open", forbidden)
    code, _, err = call()
    assert (code, "failed: a.png: cannot be read (Permission denied)" in err) == (1, True)


def test_an_empty_folder_and_a_missing_one_are_one_line(call, tmp_path):
    code, _, err = call()
    assert (code, err.count("\n")) == (1, 1)
    assert "holds no frames" in err
    (tmp_path / "frames").rmdir()
    code, _, err = call()
    assert (code, err.count("\n")) == (1, 1)


def test_a_good_frame_is_extracted_beside_a_bad_one_and_the_bad_one_is_tried_again(call, tmp_path):
    frames = tmp_path / "frames"
    (frames / "bad.png").write_bytes(b"")
    (frames / "good.png").write_bytes(WHOLE)
    code, out, _ = call()
    assert (code, "1 faces of 1 frames" in out) == (1, True)
    (frames / "bad.png").write_bytes(WHOLE)
    code, out, _ = call()
    assert (code, "1 faces of 1 frames" in out) == (0, True)


def test_renamed_frames_and_other_options_are_a_choice_of_the_user(call, tmp_path):
    frames = tmp_path / "frames"
    for number in (1, 2, 3):
        (frames / f"{number}.png").write_bytes(WHOLE)
    assert call()[0] == 0
    (frames / "3.png").rename(frames / "7.png")
    code, _, err = call()
    assert (code, err.count("\n")) == (2, 1)
    assert "1 frame (3.png) vanished and others are new (for example 7.png)" in err
    assert "as if frames had been renamed" in err
    code, _, err = call("--face-type", "head")
    assert (code, err.count("\n")) == (2, 1)
    assert "face_type was wf and is head" in err


def test_resume_or_trash_goes_on_or_starts_over_and_deletes_nothing(call, tmp_path):
    frames, out, trash = tmp_path / "frames", tmp_path / "out", tmp_path / "out_trash"
    for number in (1, 2):
        (frames / f"{number}.png").write_bytes(WHOLE)
    line = ("--resume-or-trash", "--json")
    assert json.loads(call(*line)[1])["faces"] == 2
    shutil.copy(frames / "1.png", frames / "3.png")
    facts = json.loads(call(*line)[1])
    assert (facts["done_before"], facts["faces"], trash.exists()) == (2, 1, False)
    before = {path.name: path.read_bytes() for path in out.glob("*.jpg")}
    code, text, _ = call(*line, "--face-type", "head")
    facts = json.loads(text)
    assert (code, facts["done_before"], facts["faces"]) == (0, 0, 3)
    assert "face_type was wf and is head" in facts["notes"][0]
    assert "3 faces went to" in facts["notes"][0]
    assert {path.name: path.read_bytes() for path in trash.iterdir()} == before
    (out / "extraction.jsonl").unlink()  # images of another program
    facts = json.loads(call(*line, "--face-type", "head")[1])
    assert (facts["faces"], len(list(trash.iterdir()))) == (3, 6)
    assert call(*line, "--resume")[0] == 2

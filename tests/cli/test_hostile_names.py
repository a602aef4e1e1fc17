"""Names are bytes: any of them passes through every command, and none acts on a terminal.

Files, folders, models, persons, options and texts of metadata bear escape sequences, control and
bidirectional characters and bytes that are not UTF-8.
"""

from __future__ import annotations

import json
import os
import unicodedata
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from dfl_tf.cli import merge as merge_cli
from dfl_tf.cli.main import run
from dfl_tf.face import FaceType
from dfl_tf.formats import ModelState, read_model, write_model
from dfl_tf.formats.faces.dfljpg import read_metadata, write_metadata
from dfl_tf.formats.faces.face_metadata import FaceMetadata
from dfl_tf.merge.networks import MergeNetworks
from dfl_tf.merge.opening import MergeModel
from dfl_tf.options.summary import summary_text

from .support.workspaces import loose

NASTY = os.fsdecode(b"\xff\x1b]0;owned\x07\x9b2J\xe2\x80\xaegpj\xc2\x9b\x7f\r")
"""Not UTF-8; sets a title, clears the screen, reverses, returns to the start of the line."""
HIDDEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}

Said = Callable[..., tuple[int, str, str]]


@pytest.fixture
def say(capfdbinary: pytest.CaptureFixture[bytes]) -> Said:
    """Run a command line; nothing that it prints may act on a terminal."""

    def called(*arguments: object) -> tuple[int, str, str]:
        code = run([str(argument) for argument in arguments])
        out, err = (text.decode() for text in capfdbinary.readouterr())
        acts = {c for c in out + err if unicodedata.category(c) in HIDDEN} - set("\n\t")
        assert not acts, (arguments, acts)
        return code, out, err

    return called


@pytest.fixture
def place(tmp_path: Path) -> Path:
    folder = tmp_path / f"place{NASTY}"
    folder.mkdir()
    return folder


def nasty_faces(root: Path) -> Path:
    """Six faces whose names, frames and unknown keys are hostile."""
    folder = loose(root) / "data_src" / "aligned"
    for path in folder.iterdir():
        metadata = read_metadata(path)
        assert metadata is not None
        hostile = replace(metadata, source_filename=f"{NASTY}{path.stem}.png", extra={NASTY: NASTY})
        write_metadata(path, hostile)
        path.rename(path.with_name(NASTY + path.name))
    return folder


COMMANDS: list[tuple[int, tuple[str, ...]]] = [
    (0, ("faceset", "status", "FACES")),
    (0, ("faceset", "status", "FACES", "--json")),
    (0, ("faceset", "verify", "FACES")),
    (0, ("faceset", "save-metadata", "FACES")),
    (0, ("faceset", "restore-metadata", "FACES")),
    (0, ("xseg", "status", "FACES")),
    (0, ("xseg", "fetch", "FACES", "--output", "PLACE/fetched")),
    (0, ("xseg", "remove", "FACES", "--yes", "--json")),
    (1, ("faceset", "status", "PLACE/missing")),
    (1, ("train", "PLACE/missing")),
    (2, ("train", "PLACE", "--name", NASTY)),
    (1, ("train", "--config", "PLACE/missing")),
    (2, ("train", "PLACE", "--set", f"{NASTY}=1")),
    (2, ("train", "PLACE", "--mode", NASTY)),
    (1, ("model", "show", "PLACE")),
    (1, ("model", "list", "PLACE/missing")),
    (1, ("model", "show", "PLACE", "--name", "x\udcff")),
    (1, ("video", "info", "PLACE/missing")),
    (2, ("options", NASTY)),
    (2, (NASTY,)),
    (2, (f"--{NASTY}",)),
]


def test_commands_show_names_with_escapes(say: Said, place: Path) -> None:
    faces = nasty_faces(place / NASTY)
    for expected, command in COMMANDS:
        words = [word.replace("FACES", str(faces)).replace("PLACE", str(place)) for word in command]
        code, _, err = say(*words)
        assert code == expected, (command, err)


def test_json_gives_names_back_to_the_byte(say: Said, place: Path) -> None:
    faces = nasty_faces(place / NASTY)
    _, out, _ = say("faceset", "status", faces, "--json")
    assert out.isascii()
    assert os.fsencode(json.loads(out)["source"]) == os.fsencode(faces)


def test_a_pak_gives_files_and_metadata_back_to_the_byte(say: Said, place: Path) -> None:
    faces = nasty_faces(place / NASTY)
    before = {os.fsencode(path.name): path.read_bytes() for path in faces.iterdir()}
    assert say("faceset", "pack", faces)[0] == 0
    for name in before:
        (faces / os.fsdecode(name)).unlink()
    assert say("faceset", "status", faces)[0] == 0
    assert say("faceset", "unpack", faces)[0] == 0
    after = {p.name: p.read_bytes() for p in faces.iterdir() if p.suffix == ".jpg"}
    assert {os.fsencode(name): data for name, data in after.items()} == before


def test_persons_of_a_pak_may_be_any_bytes(say: Said, place: Path) -> None:
    faces = nasty_faces(place / "x")
    person = place / "persons" / NASTY
    person.parent.mkdir()
    faces.rename(person)
    names = sorted(path.name for path in person.iterdir())
    assert say("faceset", "pack", person.parent)[0] == 0
    for path in person.iterdir():
        path.unlink()
    assert say("faceset", "status", person.parent)[0] == 0
    assert say("faceset", "unpack", person.parent)[0] == 0
    assert sorted(path.name for path in person.iterdir()) == names


def merge_workspace(root: Path) -> Path:
    """Three frames with hostile names, and their faces."""
    folder = root / "data_dst"
    (folder / "aligned").mkdir(parents=True)
    (root / "model").mkdir()
    rng = np.random.default_rng(5)
    points = np.stack([20 + 24 * rng.random(68), 20 + 24 * rng.random(68)], axis=1)
    for number in range(3):
        image = rng.integers(0, 255, (64, 64, 3), dtype=np.uint8)
        name = f"{number}{NASTY}.png"
        (folder / name).write_bytes(cv2.imencode(".png", image)[1].tobytes())
        face = folder / "aligned" / f"{number}{NASTY}_0.jpg"
        face.write_bytes(cv2.imencode(".jpg", np.zeros((16, 16, 3), np.uint8))[1].tobytes())
        write_metadata(
            face,
            FaceMetadata(
                face_type="whole_face",
                landmarks=points / 4,
                source_filename=name,
                source_landmarks=points,
                shape=(16, 16, 3),
            ),
        )
    return root


def test_merged_frames_keep_the_bytes_of_their_names(
    say: Said, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def swap(images: Any) -> tuple[Any, Any, Any]:
        ones = np.ones(images.shape[:3], np.float32)
        return 1 - images, ones, ones[..., None]

    def opened(*_: object, **__: object) -> MergeModel:
        face_type, networks = FaceType.WHOLE_FACE, MergeNetworks(swap, 32, None)
        return MergeModel("m\udcff", "SAEHD", 5, face_type, networks, "weights")

    monkeypatch.setattr(merge_cli, "open_model", opened)
    workspace = merge_workspace(place / NASTY)
    code, out, err = say("merge", workspace, "--workers", "1")
    assert code == 0, err
    assert "3 frames merged" in out
    frames = sorted(os.listdir(os.fsencode(workspace / "data_dst")))
    merged = workspace / "data_dst" / "merged"
    assert sorted(os.listdir(os.fsencode(merged))) == [f for f in frames if f.endswith(b".png")]
    assert "3 were finished" in say("merge", workspace, "--resume")[1]
    next(merged.glob("1*")).unlink()
    assert "1 frames merged" in say("merge", workspace, "--resume")[1]
    assert say("merge", workspace, "--sheet", place / f"sheet{NASTY}.png")[0] == 0
    assert say("merge", workspace)[0] == 2
    assert say("video", "merge", merged, "-o", place / f"v{NASTY}.mp4", "--fps", "5")[0] == 0
    assert say("video", "info", place / f"v{NASTY}.mp4")[0] == 0


def test_options_and_names_of_a_model_do_not_act(say: Said, place: Path) -> None:
    options = {"resolution": 64, NASTY: NASTY, "line": "a\n== forged: row =="}
    name = "m\udcff"
    tensors = {"encoder": {"w:0": np.zeros((2, 2), np.float32)}}
    state = ModelState(
        model_class="SAEHD", iteration=3, options=options, loss_history=[], tensors=tensors
    )
    write_model(place, name, state, summary=summary_text(f"{name}_SAEHD", 3, options))
    summary = (place / f"{name}_SAEHD_summary.txt").read_text("utf-8")
    assert not {c for c in summary if unicodedata.category(c) in HIDDEN} - {"\n"}
    assert "\\x1b]0;owned\\x07" in summary
    assert "\n== forged" not in summary
    assert len({len(line) for line in summary.splitlines()}) == 1
    assert read_model(place, name, "SAEHD").options == options
    for command in ("list", "show", "scan"):
        code, _, err = say("model", command, place)
        assert code == 0, err
    _, out, _ = say("model", "show", place, "--json")
    assert json.loads(out)["options"][NASTY] == NASTY

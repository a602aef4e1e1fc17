"""`dfl-tf extract` as users call it, with the open models."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from dfl_tf.cli.main import run
from dfl_tf.extract.journal import read_journal
from dfl_tf.formats import read_metadata
from dfl_tf.formats.weights import open_models

FRAMES = Path(__file__).resolve().parents[1] / "golden" / "faces" / "workspace_s" / "data_src"


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    shutil.copytree(FRAMES, tmp_path / "ws" / "data_src")
    return tmp_path / "ws"


def extract(*arguments: object) -> int:
    return run(["extract", *map(str, arguments)])


def test_a_workspace_is_extracted_resumed_and_corrected(workspace, capsys):
    out = workspace / "data_src" / "aligned"
    assert extract(workspace, "--side", "src", "--frames", "1:2", "--image-size", 128) == 0
    assert "2 faces of 2 frames" in capsys.readouterr().out
    faces, look = workspace / "faces.json", workspace / "look.json"
    line = (workspace, "--side", "src", "--image-size", 128, "--json")
    assert extract(*line, "--write-faces", faces, "--write-coverage", look) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["frames"], facts["done_before"], facts["faces"]) == (2, 2, 2)
    assert sorted(path.name for path in out.glob("*.jpg")) == [
        f"{number}_0.jpg" for number in ("00003", "00005", "00010", "00014")
    ]
    run_settings = read_journal(out).last_run["settings"]
    assert (run_settings["detector"], run_settings["landmarker"]) == ("mesh", "mesh")
    assert run_settings["detector_version"] == open_models.MESH.sha256[:16]
    assert json.loads(look.read_text())["frames"] == 4
    tree = json.loads(faces.read_text())
    moved = np.add(tree["frames"][1]["faces"][0]["landmarks"], (3.0, 0.0))
    tree["frames"] = [
        {"name": "00005.jpg", "faces": [{"box": [1, 2, 30, 40], "landmarks": moved.tolist()}]}
    ]
    faces.write_text(json.dumps(tree))
    assert extract(*line, "--faces", faces) == 0
    assert json.loads(capsys.readouterr().out)["frames"] == 1
    np.testing.assert_allclose(read_metadata(out / "00005_0.jpg").source_landmarks, moved)
    assert (workspace / "data_src" / "aligned_trash" / "00005_0.jpg").exists()


def test_other_options_and_missing_places_are_usage_errors(workspace, capsys):
    assert extract(workspace, "--side", "src", "--frames", "1") == 0
    assert extract(workspace, "--side", "src", "--face-type", "head") == 2
    error = capsys.readouterr().err
    assert "face_type was wf and is head" in error
    assert "--resume" in error
    assert "--overwrite" in error
    for arguments, message in {
        (): "give WORKSPACE --side src|dst",
        (workspace,): "give --side src or dst",
        (workspace / "data_src", workspace / "data_src"): "must be in different folders",
        (workspace, "--side", "src", "--rotations", "45"): "rotations=45 must be some of",
        (workspace, "--side", "src", "--redo", "x"): "there is no frame 'x'",
        (workspace, "--side", "src", "--redo-missing-debug"): "no such folder of debug images",
        (workspace, "--side", "src", "--detector", "s3fd"): "S3FD.npy of DeepFaceLab is needed",
        (workspace, "--side", "src", "--models-dir", workspace): "--get-models",
    }.items():
        assert extract(*arguments) == 2, arguments
        assert message in capsys.readouterr().err


def test_a_damaged_frame_is_named_and_leaves_with_1(workspace, capsys):
    (workspace / "data_src" / "00004.jpg").write_bytes(b"no image")
    assert extract(workspace, "--side", "src", "--rotations", "0") == 1
    streams = capsys.readouterr()
    assert "4 faces of 4 frames" in streams.out
    assert "failed: 00004.jpg: cannot be decoded as an image" in streams.err


def test_frames_whose_debug_images_were_deleted_are_looked_at_more_closely(workspace, capsys):
    out, debug = workspace / "data_src" / "aligned", workspace / "data_src" / "aligned_debug"
    line = (workspace, "--side", "src", "--image-size", 96, "--face-type", "f")
    assert extract(*line, "--debug-images") == 0
    (debug / "00010.jpg").unlink()
    assert extract(workspace, "--side", "src", "--redo-missing-debug") == 0
    assert "1 faces of 1 frames" in capsys.readouterr().out
    record = {record.name: record for record in read_journal(out).records}["00010.jpg"]
    settings = read_journal(out).runs[record.run]["settings"]
    assert settings["detector_version"].endswith("closer")
    assert (settings["tiles"], settings["face_type"], settings["image_size"]) == (2, "f", 96)
    assert (debug / "00010.jpg").exists()
    assert cv2.imread(str(out / "00010_0.jpg")).shape == (96, 96, 3)
    assert extract(*line) == 0  # the options of the folder still hold
    assert "0 faces of 0 frames" in capsys.readouterr().out


def test_turned_frames_give_the_same_face(workspace, tmp_path, capsys):
    image = cv2.imread(str(workspace / "data_src" / "00003.jpg"))
    folder = tmp_path / "turned"
    folder.mkdir()
    cv2.imwrite(str(folder / "upright.png"), image)
    cv2.imwrite(str(folder / "over.png"), cv2.rotate(image, cv2.ROTATE_180))
    assert extract(folder, tmp_path / "faces") == 0
    upright, over = (
        read_metadata(tmp_path / "faces" / f"{name}_0.jpg").source_landmarks
        for name in ("upright", "over")
    )
    height, width = image.shape[:2]
    assert np.abs((width, height) - over - upright).mean() < 3

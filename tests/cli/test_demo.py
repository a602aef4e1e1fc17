from __future__ import annotations

from collections.abc import Iterator

import cv2
import pytest
import tensorflow as tf

from dfl_tf.formats import read_model

from .support.workspaces import DEMO, call

pytestmark = pytest.mark.filterwarnings(
    "ignore:optimizer steps and convolutions run on plain:RuntimeWarning"
)


@pytest.fixture(scope="module", autouse=True)
def _eager() -> Iterator[None]:
    """For a few iterations of a tiny network that is faster than to trace it."""
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


@pytest.mark.usefixtures("drawn_loss_plots")
def test_the_demo_trains_shows_and_resumes(tmp_path, capsys):
    folder = tmp_path / "a demo"
    code, out, err = call(capsys, "demo", "--seconds=3", "--output", folder)
    assert code == 0, err
    first = read_model(folder / "model", "demo", "SAEHD").iteration
    assert first >= 1
    for name in ("SAEHD.jpg", "SAEHD masked.jpg", "loss.png"):
        path = folder / "model" / "demo_SAEHD_preview" / name
        assert str(path) in out
        assert path.stat().st_size > 5000
    assert f'dfl-tf train "{folder}"' in out
    code, out, err = call(capsys, "demo", "--seconds=2", "--output", folder)
    assert code == 0, err
    assert f"Training iteration {first}" in err
    assert read_model(folder / "model", "demo", "SAEHD").iteration > first


@pytest.mark.slow
def test_the_whole_road_is_walked_from_two_clips_to_a_video_and_again(tmp_path, capsys):
    folder = tmp_path / "a road"
    line = ("demo", "--whole-road", "--seconds=3", "--output", folder)
    code, out, err = call(capsys, *line)
    assert code == 0, err
    assert "72 faces of 72 frames" in err + out
    assert len(list((folder / "data_dst" / "aligned").glob("*.jpg"))) == 48
    assert "<html" in (folder / "report.html").read_text()
    for name, width in (("result.mp4", 480), ("side_by_side.mp4", 960)):
        assert str(folder / name) in out
        clip = cv2.VideoCapture(str(folder / name))
        assert clip.get(cv2.CAP_PROP_FRAME_COUNT) == 48
        assert clip.get(cv2.CAP_PROP_FRAME_WIDTH) == width
        clip.release()
    first = read_model(folder / "model", "demo", "SAEHD").iteration
    code, out, err = call(capsys, *line)
    assert code == 0, err
    assert "72 frames were done before" in err + out
    assert read_model(folder / "model", "demo", "SAEHD").iteration > first


def test_the_whole_road_does_not_touch_a_workspace_of_the_user(tmp_path, capsys):
    (tmp_path / "data_dst.mp4").write_bytes(b"the user's own")
    code, _, err = call(capsys, "demo", "--whole-road", "--output", tmp_path)
    assert code == 2
    assert "Name a new folder with --output" in err
    assert [path.name for path in tmp_path.iterdir()] == ["data_dst.mp4"]


def test_its_faces_and_clips_are_small():
    files = [path for path in DEMO.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 2_500_000
    assert "ICT-FaceKit" in (DEMO / "CREDITS.txt").read_text()

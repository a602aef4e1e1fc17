"""The extraction over HTTP: frames, faces, suggestions, changes, refusals."""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from dfl_tf.cli.main import run
from dfl_tf.disk.lock_file import locked_file
from dfl_tf.extract.journal import FILE, LOCK, read_journal
from dfl_tf.extract.networks import ExtractNetworks
from dfl_tf.extract.run import extract_faces
from dfl_tf.extract.video_frames import VideoFrames
from dfl_tf.formats import read_metadata
from dfl_tf.formats.models.files import find_models
from dfl_tf.options import ExtractOptions, default
from dfl_tf.web.views import extraction
from tests.cli.support.workspaces import TINY
from tests.extract.square_clip import make_clip
from tests.extract.squares import FACE, SquareDetector, SquareLandmarker

from .support.placing import extracted_workspace
from .support.served import serving

PLACING = Path(__file__).parent / "support" / "placing.py"
BOX = [60.0, 70.0, 150.0, 160.0]
POINTS = ((60, 70) + FACE * 90).round(3).tolist()


@pytest.fixture(scope="module")
def process():
    """The landmarker is that of squares."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(extraction, "place_command", lambda: [sys.executable, str(PLACING)])
        patch.setenv("PYTHONPATH", f"{Path(__file__).parents[2]}:{':'.join(sys.path)}")
        yield


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return extracted_workspace(tmp_path_factory.mktemp("extraction") / "a project")


@pytest.fixture(scope="module")
def served(root, process):
    with serving(root) as server:
        yield server


def api(served, what, number=4, side="src", **body):
    return served.post(f"/api/extraction/{what}/{side}/{number}", body)


def frame(served, number=4, side="src"):
    return served.ask(f"/api/extraction/frame/{side}/{number}").json


@pytest.fixture
def empty(served):
    """The frame without a face, as it is."""
    yield frame(served)
    while faces := (found := frame(served))["faces"]:
        assert api(served, "remove", face=len(faces) - 1, based_on=found["based_on"]).status == 200


def test_all_frames_and_how_many_faces_each_has(served):
    assert served.ask("/api/extraction/sides").json == [
        {"side": "src", "extracted": True}, {"side": "dst", "extracted": False},
    ]  # fmt: skip
    told = served.ask("/api/extraction/overview/src").json
    assert told == {
        "frames": [f"{i:05d}.png" for i in range(1, 9)], "faces": [1, 1, 1, 0, 2, 1, 1, 1],
        "by_hand": [], "kind": "frames", "notes": [],
    }  # fmt: skip
    none = served.ask("/api/extraction/overview/dst")
    assert (none.status, "no journal" in none.json["error"]) == (409, True)


def test_a_frame_is_shown_with_its_faces(served, root):
    told = frame(served, 5)
    assert (told["name"], told["width"], told["height"]) == ("00005.png", 320, 240)
    assert [face["file"] for face in told["faces"]] == ["00005_0.jpg", "00005_1.jpg"]
    assert told["faces"][0]["box"] == [115.0, 60.0, 195.0, 140.0]
    assert len(told["faces"][0]["landmarks"]) == 68
    image = served.ask("/api/extraction/image/src/5?lane=a")
    assert image.headers["Content-Type"] == "image/png"
    assert image.body == (root / "data_src" / "00005.png").read_bytes()


def test_the_landmarker_suggests_points_for_a_box(served):
    told = api(served, "suggest", box=BOX).json
    assert told["reason"] == ""
    np.testing.assert_allclose(told["landmarks"], POINTS, atol=2e-3)


def test_a_face_is_placed_moved_removed_and_brought_back(served, root, empty):
    aligned = root / "data_src" / "aligned"
    first = api(served, "place", box=BOX, landmarks=POINTS, face=None, based_on=empty["based_on"])
    told = first.json["frame"]
    assert [(face["file"], face["by_hand"]) for face in told["faces"]] == [("00004_0.jpg", True)]
    assert read_metadata(aligned / "00004_0.jpg").source_filename == "00004.png"
    assert served.ask("/api/extraction/overview/src").json["by_hand"] == [4]
    before = (aligned / "00004_0.jpg").read_bytes()
    moved = (np.array(POINTS) + 5).tolist()
    box = [side + 5 for side in BOX]
    told = api(served, "place", box=box, landmarks=moved, face=0, based_on=told["based_on"]).json[
        "frame"
    ]
    assert told["faces"][0]["box"] == box
    assert (aligned / "00004_0.jpg").read_bytes() != before
    told = api(served, "remove", face=0, based_on=told["based_on"]).json["frame"]
    assert (told["faces"], len(told["removed"])) == ([], 2)
    assert not (aligned / "00004_0.jpg").exists()
    told = api(served, "restore", face=0, based_on=told["based_on"]).json["frame"]
    assert (aligned / "00004_0.jpg").read_bytes() == before
    assert read_journal(aligned).frames["00004.png"].faces[0].by_hand


def test_a_change_of_what_is_not_there_any_more_is_refused(served, root, empty):
    api(served, "place", box=BOX, landmarks=POINTS, face=None, based_on=empty["based_on"])
    journal = (root / "data_src" / "aligned" / FILE).read_bytes()
    late = api(served, "place", box=BOX, landmarks=POINTS, face=None, based_on=empty["based_on"])
    assert (late.status, "changed meanwhile" in late.json["error"]) == (409, True)
    assert len(late.json["frame"]["faces"]) == 1
    now = late.json["frame"]["based_on"]
    with locked_file(root / "data_src" / "aligned" / LOCK, doing="extracts faces"):
        busy = api(served, "remove", face=0, based_on=now)
    assert (busy.status, "another process extracts faces" in busy.json["error"]) == (409, True)
    assert (root / "data_src" / "aligned" / FILE).read_bytes() == journal


@pytest.mark.parametrize(
    ("what", "number", "body", "status", "text"),
    [
        ("place", 4, {"box": BOX, "landmarks": POINTS[:67], "face": None}, 400, "list of 68"),
        ("place", 4, {"box": BOX[:3], "landmarks": POINTS, "face": None}, 400, "list of 4"),
        ("place", 4, {"box": BOX, "landmarks": [[1e9, 0]] * 68, "face": None}, 400, "number"),
        ("place", 4, {"box": BOX, "landmarks": [[9, 9]] * 68, "face": None}, 409, "in one place"),
        ("place", 4, {"box": [9.0] * 4, "landmarks": POINTS, "face": None}, 409, "no size"),
        ("place", 4, {"box": BOX, "landmarks": POINTS, "face": 3}, 409, "face 3"),
        ("place", 4, {"box": BOX, "landmarks": POINTS, "face": None, "file": "/x"}, 400, "file"),
        ("place", 99, {"box": BOX, "landmarks": POINTS, "face": None}, 409, "there are 8 frames"),
        ("remove", 4, {"face": 0}, 409, "face 0: the frame has 0"),
        ("restore", 1, {"face": 0}, 409, "face 0: the frame has 0"),
        ("remove", 4, {"face": -1}, 400, "face"),
    ],
)
def test_wrong_changes_are_refused(served, root, what, number, body, status, text):
    based_on = frame(served, min(number, 8))["based_on"]
    answer = api(served, what, number, based_on=based_on, **body)
    assert (answer.status, text in answer.json["error"]) == (status, True), answer.json


def test_no_address_leads_elsewhere(served, root, tmp_path):
    for path in ("image/src/..%2f1", "image/src/-1", "image/up/1", "frame/src/1e3", "image/src/"):
        assert served.ask(f"/api/extraction/{path}").status in (400, 404)
    assert served.ask("/api/extraction/image/src/99").status == 409
    there, outside = root / "data_src" / "00007.png", tmp_path / "outside.png"
    kept = there.read_bytes()
    outside.write_bytes(kept)
    there.unlink()
    there.symlink_to(outside)
    try:
        answer = served.ask("/api/extraction/image/src/7")
        assert (answer.status, "leads out" in answer.json["error"]) == (409, True)
        based_on = frame(served, 7)["based_on"]
        answer = api(served, "place", 7, box=BOX, landmarks=POINTS, face=None, based_on=based_on)
        assert (answer.status, "leads out" in answer.json["error"]) == (409, True)
    finally:
        there.unlink()
        there.write_bytes(kept)


def test_faces_that_lie_elsewhere_are_not_touched(process, tmp_path):
    root = extracted_workspace(tmp_path / "project")
    (root / "data_src" / "aligned").rename(tmp_path / "elsewhere")
    (root / "data_src" / "aligned").symlink_to(tmp_path / "elsewhere")
    with serving(root) as served:
        answer = served.ask("/api/extraction/overview/src")
        assert (answer.status, "leads out" in answer.json["error"]) == (409, True)


def test_frames_of_a_video_are_read_from_it(process, tmp_path):
    root = tmp_path / "project"
    (root / "model").mkdir(parents=True)
    aligned = root / "data_src" / "aligned"
    (root / "data_dst" / "aligned").mkdir(parents=True)
    make_clip(root / "data_src.mp4", count=6)
    video = VideoFrames(root / "data_src.mp4")
    networks = ExtractNetworks(SquareDetector(), SquareLandmarker())
    extract_faces(video, aligned, default(ExtractOptions, image_size=64), networks=networks)
    with serving(root) as served:
        told = served.ask("/api/extraction/overview/src").json
        assert (told["faces"], told["kind"]) == ([1, 1, 1, 1, 0, 1], "video")
        for number in (6, 2, 3):  # back and forth
            image = served.ask(f"/api/extraction/image/src/{number}")
            assert image.headers["Content-Type"] == "image/jpeg"
            shown = cv2.imdecode(np.frombuffer(image.body, np.uint8), cv2.IMREAD_COLOR)
            square = np.argwhere(shown.min(axis=2) > 200)
            assert abs(square.min(axis=0)[1] - (60 + 8 * (number - 1))) <= 2
        based_on = frame(served, 5)["based_on"]
        answer = api(served, "place", 5, box=BOX, landmarks=POINTS, face=None, based_on=based_on)
        assert answer.status == 200, answer.json
        faces = served.ask("/api/faces/places").json["places"][0]
        listed = served.ask(f"/api/faces/list/{faces['id']}?q={{}}").json
        face = f"{faces['id']}/{listed['run']}/{listed['order'][2]}"  # of the third frame
        facts = served.ask(f"/api/faces/facts/{face}").json
        assert (facts["source"], facts["frame"]) == ("00003.png", {"width": 320, "height": 240})
        shown = served.ask(f"/api/faces/frame/{face}")
        image = cv2.imdecode(np.frombuffer(shown.body, np.uint8), cv2.IMREAD_COLOR)
        assert image.shape == (240, 320, 3)
        assert abs(np.argwhere(image.min(axis=2) > 200).min(axis=0)[1] - 76) <= 2
        (root / "data_src.mp4").unlink()
        assert served.ask(f"/api/faces/facts/{face}").json["frame"] is None
        assert served.ask(f"/api/faces/frame/{face}").status == 404
    assert read_metadata(aligned / "00005_0.jpg").source_filename == "00005.png"
    make_clip(root / "data_src.mp4", count=6)
    again = extract_faces(video, aligned, default(ExtractOptions, image_size=64), networks=networks)
    assert (again.frames, again.done_before) == (0, 6)


def test_read_only_changes_nothing(root, process):
    with serving(root, read_only=True) as served:
        assert frame(served, 1)["extracted"]
        for what in ("suggest", "place", "remove", "restore"):
            assert api(served, what).status == 403


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:optimizer steps and convolutions run on plain:RuntimeWarning")
def test_a_training_takes_a_face_that_was_placed(process, tmp_path, capsys):
    root = extracted_workspace(tmp_path / "project", sides=("src", "dst"))
    aligned = root / "data_src" / "aligned"
    for path in aligned.glob("*.jpg"):
        path.unlink()
    with serving(root) as served:
        based_on = frame(served)["based_on"]
        api(served, "place", box=BOX, landmarks=POINTS, face=None, based_on=based_on)
    assert [path.name for path in aligned.glob("*.jpg")] == ["00004_0.jpg"]
    assert run(["train", str(root), "--name=one", "--seed=1", *TINY, "--target-iter=2"]) == 0
    assert find_models(root / "model")[0].name == "one"

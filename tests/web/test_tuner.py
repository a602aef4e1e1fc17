"""The merge tuner over HTTP: images, settings, files, and the merge that is started from it."""

from __future__ import annotations

import json
import shutil
import sys
import time
from pathlib import Path
from urllib.parse import urlencode

import cv2
import numpy as np
import pytest

from dfl_tf.options import MergeOptions, specs
from dfl_tf.web import tuning

from .support.merging import tunable_workspace
from .support.served import Served, serving

MERGING = Path(__file__).parent / "support" / "merging.py"
SESSION = Path(__file__).parents[1] / "golden" / "formats" / "sample_merger_session.dat"


@pytest.fixture(scope="module")
def program():
    """Every process of the tuner has the model that needs no TensorFlow."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tuning, "render_command", lambda: [sys.executable, str(MERGING), "render"])
        patch.setattr(tuning, "program", lambda: [sys.executable, str(MERGING)])
        patch.setenv("PYTHONPATH", f"{Path(__file__).parents[2]}:{':'.join(sys.path)}")
        yield


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tunable_workspace(tmp_path_factory.mktemp("tuner") / "a project")


@pytest.fixture(scope="module")
def served(root, program):
    with serving(root) as server:
        yield server


@pytest.fixture(scope="module")
def model(served):
    (found,) = served.ask("/api/tuner/models").json
    assert (found["title"], found["class"]) == ("new", "SAEHD")
    return found["id"]


@pytest.fixture
def clean(served: Served, root: Path, model: str):
    """A function that posts with the revision of now; no saved files are there."""
    for name in ("merge.yaml", "merge_frames.yaml"):
        (root / name).unlink(missing_ok=True)

    def post(what, **body):
        revision = served.ask(f"/api/tuner/scene/{model}").json["tuning"]["revision"]
        return served.post(f"/api/tuner/{what}/{model}", {"revision": revision, **body})

    values = {key: None for key in specs(MergeOptions)}
    own = {key: None for key in values if key != "morph"}
    assert post("change", slot="A", values=values, span=None).status == 200
    assert post("change", slot="A", values=own, span=[1, 6]).status == 200
    return post


def image(served, model, **asked):
    asked["settings"] = json.dumps(asked.get("settings", {}))
    return served.ask(f"/api/tuner/image/{model}?{urlencode(asked)}")


def test_the_scene_says_frames_faces_and_settings(served, model, clean):
    scene = served.ask(f"/api/tuner/scene/{model}").json
    assert scene["frames"] == [f"{i:05d}.png" for i in range(1, 7)]
    assert scene["faces"] == [1, 1, 1, 0, 1, 2]
    assert set(scene["lacks"]) == {"xseg", "enhancer"}
    assert any("several faces" in note for note in scene["notes"])
    assert scene["session"] is False
    assert scene["tuning"]["slots"]["A"]["base"]["mode"] == "overlay"


def test_every_setting_is_a_control_of_the_schema(served):
    told = served.ask("/api/tuner/options").json
    by_key = {each["key"]: each for each in told["options"]}
    assert list(by_key) == list(specs(MergeOptions))
    for key, spec in specs(MergeOptions).items():
        found = by_key[key]
        assert (found["default"], found["help"]) == (spec.default, spec.help)
        assert (found["minimum"], found["maximum"]) == (spec.minimum, spec.maximum)
        assert tuple(found["choices"]) == spec.choices
    assert by_key["hist_match_threshold"]["works_with"] == {
        "mode": ["hist-match", "seamless-hist-match"]
    }
    assert by_key["mode"]["works_with"] == {}
    assert told["slow"]["mode"] == ["seamless", "seamless-hist-match"]


def test_images_are_lossless_or_reduced(served, model, root):
    before = image(served, model, frame=0, view="before")
    assert before.headers["Content-Type"] == "image/png"
    shown = cv2.imdecode(np.frombuffer(before.body, np.uint8), cv2.IMREAD_COLOR)
    np.testing.assert_array_equal(shown, cv2.imread(str(root / "data_dst" / "00001.png")))
    asked = image(served, model, frame=1)
    assert asked.headers["X-Asked"] == "1"
    again = image(served, model, frame=1, settings={"mode": "hist-match"})
    assert again.headers["X-Asked"] == "0"
    assert float(again.headers["X-Milliseconds"]) >= 0
    small = image(served, model, frame=1, width=64)
    assert small.headers["Content-Type"] == "image/jpeg"


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        ({"frame": 6}, "frame 7: there are 6 frames"),
        ({"frame": "../1"}, "frame=../1: give a whole number"),
        ({"frame": 0, "width": 5000}, "at most 4096"),
        ({"frame": 0, "view": "inside"}, "one of before"),
        ({"frame": 0, "settings": {"mode": "overlaid"}}, "did you mean"),
        ({"frame": 0, "settings": {"mask_mode": "XSeg-dst"}}, "holds no XSeg model"),
        ({"frame": 0, "settings": {"super_resolution_power": 5}}, "needs an enhancer"),
        ({"frame": 0, "settings": {"blur_mask_modifier": 1e9}}, "outside 0"),
    ],
)
def test_what_cannot_be_shown_is_said(served, model, asked, text):
    asked = {"view": "after", **asked}
    answer = image(served, model, **asked)
    assert answer.status in (400, 409)
    assert text in answer.json["error"].replace("before, after", "before")


def test_settings_that_are_no_object_are_refused(served, model):
    for text in ("[]", "{", '{"a": NaN}', "[" * 5000):
        answer = served.ask(f"/api/tuner/image/{model}?frame=0&{urlencode({'settings': text})}")
        assert answer.status == 400


def test_each_change_is_on_disk_and_an_older_one_is_refused(served, model, clean, root):
    changed = clean("change", slot="A", values={"blur_mask_modifier": 30}, span=None)
    assert changed.json["tuning"]["slots"]["A"]["base"]["blur_mask_modifier"] == 30
    file = json.loads((root / "model" / "new_SAEHD_merge_tuner.json").read_text())
    assert file["slots"]["A"]["base"]["blur_mask_modifier"] == 30
    old = clean("change", slot="A", values={"mode": "original"}, span=None, revision=0)
    assert old.status == 409
    assert "in another window" in old.json["error"]
    assert old.json["tuning"]["slots"]["A"]["base"]["mode"] == "overlay"


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"slot": "C", "values": {}, "span": None}, "slot"),
        ({"slot": "A", "values": {"mode": "no"}, "span": None}, 'mode="no"'),
        ({"slot": "A", "values": {}, "span": [1]}, "first and the last"),
        ({"slot": "A", "values": {}, "span": [0, 2]}, "span"),
        ({"slot": "A", "values": {"mode": "original"}, "span": [2, 9]}, "there are 6"),
        ({"slot": "A", "values": {}, "span": None, "path": "/etc"}, "path is not known"),
    ],
)
def test_wrong_changes_are_refused(clean, body, text):
    answer = clean("change", **body)
    assert answer.status in (400, 409)
    assert text in answer.json["error"]


def test_copy_and_files_and_session(served, model, clean, root):
    clean("change", slot="A", values={"erode_mask_modifier": 9}, span=[2, 3])
    assert clean("save", slot="A", replace=False).status == 400  # its body has no revision
    saved = served.post(f"/api/tuner/save/{model}", {"slot": "A", "replace": False}).json
    names = [Path(path).name for path in saved["written"]]
    assert names == ["merge.yaml", "merge_frames.yaml"]
    assert saved["tuning"]["saved"] == names
    again = served.post(f"/api/tuner/save/{model}", {"slot": "A", "replace": False})
    assert (again.status, "there already" in again.json["error"]) == (412, True)
    line = saved["tuning"]["lines"]["A"]
    assert line.startswith("dfl-tf merge ")
    assert f"--frame-config '{root}/merge_frames.yaml'" in line
    copied = clean("copy", slot="A", to="B").json["tuning"]["slots"]
    assert copied["A"] == copied["B"]
    clean("change", slot="A", values={"erode_mask_modifier": None}, span=[1, 6])
    taken = clean("take", slot="A", source="files").json["tuning"]["slots"]["A"]
    assert taken["segments"] == [{"first": 2, "last": 3, "values": {"erode_mask_modifier": 9}}]
    assert clean("take", slot="A", source="session").status == 404
    shutil.copy(SESSION, root / "model" / "new_SAEHD_merger_session.dat")
    try:
        assert served.ask(f"/api/tuner/scene/{model}").json["session"] is True
        other = clean("take", slot="A", source="session")
        assert (other.status, "same frames" in other.json["error"]) == (409, True)
    finally:
        (root / "model" / "new_SAEHD_merger_session.dat").unlink()


def test_the_merge_runs_with_what_is_saved_and_is_watched(served, model, clean, root):
    clean("change", slot="A", values={"blur_mask_modifier": 12}, span=None)
    start = f"/api/tuner/start/{model}"
    refused = served.post(start, {"slot": "A", "how": "overwrite"})
    assert "not saved" in refused.json["error"]
    served.post(f"/api/tuner/save/{model}", {"slot": "A", "replace": True})
    clean("change", slot="A", values={"erode_mask_modifier": -5}, span=[1, 2])
    assert "not saved" in served.post(start, {"slot": "A", "how": "overwrite"}).json["error"]
    served.post(f"/api/tuner/save/{model}", {"slot": "A", "replace": True})
    assert served.post(start, {"slot": "A", "how": "overwrite"}).status == 200
    while (job := served.ask(f"/api/tuner/merge/{model}").json)["state"] == "running":
        time.sleep(0.05)
    assert (job["state"], job["code"]) == ("done", 0), job["log"]
    assert "5 frames merged" in job["log"]
    tuned = {
        1: {"blur_mask_modifier": 12, "erode_mask_modifier": -5},
        5: {"blur_mask_modifier": 12},
    }
    for frame, settings in tuned.items():
        shown = image(served, model, frame=frame, settings=settings).body
        written = cv2.imread(str(root / "data_dst" / "merged" / f"{frame + 1:05d}.png"))
        np.testing.assert_array_equal(
            cv2.imdecode(np.frombuffer(shown, np.uint8), cv2.IMREAD_COLOR), written
        )
    failed = served.post(start, {"slot": "A", "how": ""})  # what is there is not replaced
    assert failed.status == 200
    while (job := served.ask(f"/api/tuner/merge/{model}").json)["state"] == "running":
        time.sleep(0.05)
    assert job["state"] == "failed"
    assert "--overwrite" in job["log"]


def test_read_only_shows_and_changes_nothing(root, program):
    with serving(root, read_only=True) as served:
        (found,) = served.ask("/api/tuner/models").json
        model = found["id"]
        assert image(served, model, frame=0).status == 200
        before = sorted(path.name for path in (root / "model").iterdir())
        for what in ("change", "copy", "take", "save", "start", "stop"):
            assert served.post(f"/api/tuner/{what}/{model}", {}).status == 403
        assert sorted(path.name for path in (root / "model").iterdir()) == before


def test_ids_that_are_not_listed_are_not_there(served):
    for wanted in ("new_SAEHD", "..%2f..%2fetc", "0" * 18):
        assert served.ask(f"/api/tuner/scene/{wanted}").status == 404


def test_no_link_leads_out_of_the_workspace(served, model, clean, root, tmp_path):
    frame = root / "data_dst" / "00003.png"
    content = frame.read_bytes()
    outside = tmp_path / "outside.png"
    outside.write_bytes(content)
    frame.unlink()
    frame.symlink_to(outside)
    try:
        answer = image(served, model, frame=2, view="before")
        assert (answer.status, "leads out of the workspace" in answer.json["error"]) == (409, True)
    finally:
        frame.unlink()
        frame.write_bytes(content)
    secret = tmp_path / "secret"
    secret.write_text("mode: original\n")
    log = root / "model" / "new_SAEHD_merge_job.log"
    kept = log.read_bytes() if log.exists() else None
    for path, ask in (
        (root / "merge.yaml", lambda: clean("take", slot="A", source="files")),
        (log, lambda: served.ask(f"/api/tuner/merge/{model}")),
    ):
        path.unlink(missing_ok=True)
        path.symlink_to(secret)
        answer = ask()
        assert (answer.status, "leads out" in answer.json["error"]) == (409, True)
        path.unlink()
    if kept is not None:
        log.write_bytes(kept)
    assert secret.read_text() == "mode: original\n"

"""The faces over HTTP: listings, images, measures and coverage."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from urllib.parse import urlencode

import cv2
import numpy as np
import pytest

from dfl_tf.errors import FacesetError
from dfl_tf.extract.journal import Extraction, write_journal
from dfl_tf.extract.records import FrameRecord, RecordedFace
from dfl_tf.face import estimate_pitch_yaw_roll
from dfl_tf.facesets.measure_cache import MeasureCache
from dfl_tf.facesets.measures import MEASURES
from dfl_tf.facesets.report.poses import PITCH_EDGES, YAW_EDGES
from dfl_tf.facesets.sort import plan_sort
from dfl_tf.facesets.sorting import METHODS
from dfl_tf.web import faces_catalog, faces_measuring, faces_process

from .support.asking import MEASURING, Asking
from .support.facing import FACES, SIDE, landmarks_at, make_faces
from .support.served import serving
from .support.trainings import TAG

BY_COLUMN = {
    "blur", "motion-blur", "face-yaw", "face-pitch", "face-source-rect-size", "brightness", "hue",
    "black",
}  # fmt: skip
"""Ways to sort that are columns on the page."""
ELSEWHERE = {"identity"}
"""Persons have a panel of their own."""


@pytest.fixture(scope="module", autouse=True)
def measuring():
    """The process that measures is a small script."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(faces_measuring, "measure_command", lambda: MEASURING)
        yield patch


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return make_faces(tmp_path_factory.mktemp("faces") / "a project")


@pytest.fixture(scope="module")
def served(root):
    with serving(root) as server:
        yield server


@pytest.fixture
def src(served):
    return Asking(served)


@pytest.fixture
def odd(served):
    return Asking(served, f"data_src/aligned {TAG}")


def test_places_are_those_of_the_workspace_and_no_link_leads_out(served):
    places = served.ask("/api/faces/places").json["places"]
    odd = f"data_src/aligned {TAG}"
    assert [each["title"] for each in places] == ["data_src/aligned", "data_dst/aligned", odd]
    assert [each["side"] for each in places] == ["src", "dst", ""]


def test_the_catalog_is_that_of_the_library():
    scalars = {measure.name for measure in MEASURES.values() if not measure.length}
    assert {column.measured_by for column in faces_catalog.COLUMNS} == scalars
    offered = {each.name for each in faces_catalog.ARRANGEMENTS}
    assert offered | BY_COLUMN | ELSEWHERE == set(METHODS)
    titles, sorts, filters = faces_catalog.choices().values()
    assert {*filters, *(name for _, names in sorts for name in names)} == set(titles)


@pytest.mark.parametrize(
    ("names", "columns", "method"),
    [
        (["rank hist", "yaw", "labeled"], ["yaw", "labeled"], ""),
        (["rejected final"], [], "final"),
        (["track"], [], "track"),
        (["person_distance"], [], "persons"),
    ],
)
def test_what_is_not_known_is_measured(names, columns, method):
    assert faces_catalog.task_for(names) == {"columns": columns, "method": method}


def test_faces_are_listed_in_folder_order(src):
    assert src.names() == [f"{i:05d}.jpg" for i in range(FACES)]
    assert src.names(descending=True)[0] == f"{FACES - 1:05d}.jpg"
    answer = src.list()
    assert (answer["total"], answer["unknown"], answer["pak"]) == (FACES, 0, "")
    assert answer["order"] == src.list()["order"]  # numbers stay


def test_hostile_files_are_named_as_text_or_left_out(odd):
    answer = odd.list()
    assert odd.names() == sorted(
        [f"{TAG}.jpg", "damaged.jpg", "plain.jpg", "up.jpg", "linked frame.jpg"]
    )
    assert answer["left_out"] == ["links that lead out of the workspace: 1 left out (leading.jpg)"]
    named, damaged, plain = odd.numbers(f"{TAG}.jpg", "damaged.jpg", "plain.jpg")
    missing = odd.get("facts", named).json["missing"]
    assert missing == f"Its frame, ../{TAG}, is not beside the faces."
    assert "holds no face metadata" in odd.get("facts", plain).json["problem"]
    assert odd.get("facts", damaged).json["problem"] != ""
    assert odd.get("small", damaged).status == 404
    assert odd.measure(["yaw"]).status == 409  # the process would follow the link


@pytest.mark.parametrize("name", ["up.jpg", "linked frame.jpg", f"{TAG}.jpg", "plain.jpg"])
def test_no_frame_is_taken_from_elsewhere(odd, name):
    (number,) = odd.numbers(name)
    assert odd.get("facts", number).json.get("frame") is None
    assert odd.get("frame", number).status == 404


def test_small_copies_are_kept_by_browsers(src):
    (number,) = src.numbers("00003.jpg")
    answer = src.get("small", number, side=96)
    shown = cv2.imdecode(np.frombuffer(answer.body, np.uint8), cv2.IMREAD_COLOR)
    assert (answer.headers["Content-Type"], shown.shape) == ("image/jpeg", (96, 96, 3))
    assert "immutable" in answer.headers["Cache-Control"]
    path = f"/api/faces/small/{src.place}/{src.list()['run']}/{number}?side=96"
    again = src.served.ask(path, {"If-None-Match": answer.headers["ETag"]})
    assert (again.status, again.body) == (304, b"")
    for query in ({"side": 97}, {"side": "x"}, {"side": 96, "layers": "teeth"}):
        assert src.get("small", number, **query).status == 400


def test_layers_are_drawn_where_they_are(src):
    (number,) = src.numbers("00003.jpg")
    decoded = {
        layers: cv2.imdecode(
            np.frombuffer(src.get("small", number, side=128, layers=layers).body, np.uint8), 1
        ).astype(int)
        for layers in ("", "landmarks", "polygons", "mask")
    }
    changed = {k: np.abs(v - decoded[""]).max(axis=2) > 40 for k, v in decoded.items()}
    scale = 128 / SIDE
    x, y = np.rint((landmarks_at(6.0 * 3 - 33)[30] + 0.5) * scale - 0.5).astype(int)
    assert changed["landmarks"][y - 2 : y + 3, x - 2 : x + 3].any()
    assert changed["polygons"][21, 40:80].any()  # from (10, 10) to (50, 12)
    assert changed["mask"][64, 40:88].mean() > 0.5
    assert not changed["mask"][:24].any()


def test_an_enlarged_face_is_the_file_itself_with_what_is_stored(src, root):
    (number, without) = src.numbers("00003.jpg", "00002.jpg")
    file = root / "data_src" / "aligned" / "00003.jpg"
    assert src.get("image", number).body == file.read_bytes()
    facts = src.get("facts", number).json
    assert (facts["name"], facts["width"], facts["height"]) == ("00003.jpg", SIDE, SIDE)
    assert (facts["source"], facts["rect"]) == ("00003.png", [40, 20, 140, 120])
    assert facts["frame"] == {"width": 320, "height": 180}
    assert facts["told"][1:] == [
        ["Image", f"64×64 pixels, {round(file.stat().st_size / 1024)} kB"],
        ["Face type", "whole face"], ["Frame", "00003.png"],
        ["Size in the frame", "100×100 pixels"], ["Polygons", "1"], ["Mask", "applied"],
    ]  # fmt: skip
    assert facts["polygons"] == [{"include": True, "points": [[10, 10], [50, 12], [30, 55]]}]
    jaw = facts["lines"][0]
    assert (len(facts["lines"]), len(jaw["points"]), jaw["closed"]) == (8, 17, False)
    np.testing.assert_allclose(jaw["points"], landmarks_at(6.0 * 3 - 33)[:17], atol=0.006)
    np.testing.assert_allclose(
        facts["source_lines"][0]["points"],
        landmarks_at(-15.0)[:17] + np.array((60, 40)),
        atol=0.006,
    )
    mask = cv2.imdecode(np.frombuffer(src.get("mask", number).body, np.uint8), -1)
    assert (mask.shape, mask[16, 16, 3], mask[0, 0, 3]) == ((32, 32, 4), 110, 0)
    assert src.get("mask", without).status == 404
    frame = cv2.imdecode(np.frombuffer(src.get("frame", number).body, np.uint8), 1)
    assert (frame.shape, round(float(frame.mean()))) == ((180, 320, 3), 70)


@pytest.mark.parametrize(
    "question",
    [
        {"sort": "../x"}, {"ranges": [["blur", "0", 1]]}, {"cell": [99, 0]}, {"path": "/etc"},
        {"ranges": [["yaw", 0, 1]] * 21}, {"sort": 3},
    ],
)  # fmt: skip
def test_questions_that_make_no_sense_are_refused(served, src, question):
    query = urlencode({"q": json.dumps(question)})
    answer = served.ask(f"/api/faces/list/{src.place}?{query}")
    assert (answer.status, bool(answer.json["error"])) == (400, True)


@pytest.mark.parametrize(
    "path",
    [
        "list/..%2f..%2fetc", "list/%2e%2e", "small/x/y/1", "facts/{place}/0000/1",
        "facts/{place}/{run}/999999", "image/{place}/{run}/..%2f1", "rows/{place}/nope?n=1",
    ],
)  # fmt: skip
def test_only_what_is_listed_can_be_asked_for(served, src, path):
    path = path.format(place=src.place, run=src.list()["run"])
    assert served.ask(f"/api/faces/{path}").status == 404


def test_rows_are_bounded(served, src):
    run = src.list()["run"]
    for numbers in (",".join(map(str, range(500))), "1,x"):
        assert served.ask(f"/api/faces/rows/{src.place}/{run}?n={numbers}").status == 400


def test_faces_are_sorted_and_filtered_by_what_is_measured(src):
    answer = src.list(sort="blur", ranges=[["labeled", 1, 1]])
    assert answer["unknown"] == FACES
    assert answer["task"] == {"columns": ["blur", "labeled"], "method": ""}
    job = src.measure(["blur", "brightness"])
    assert (job["state"], job["notes"]) == ("done", ["as a test has it"])
    answer = src.list(sort="blur")
    assert (answer["unknown"], answer["task"]) == (0, None)
    largest = src.names(sort="blur", descending=True)
    assert largest == [f"{i:05d}.jpg" for i in (*range(FACES - 1, 1, -1), 0, 1)]  # 1 has none
    assert src.names(ranges=[["blur", 0.02, 0.04]]) == ["00002.jpg", "00003.jpg", "00004.jpg"]
    assert src.names(ranges=[["blur", None, None], ["labeled", 1, 1]])[0] == "00003.jpg"
    answer = src.list(sort="blur")
    query = f"n={answer['order'][0]}&c=blur"
    rows = src.served.ask(f"/api/faces/rows/{src.place}/{answer['run']}?{query}").json
    assert rows == [{"number": answer["order"][0], "name": "00000.jpg", "blur": 0.0}]
    told = src.get("facts", answer["order"][1]).json["measured"]
    measured = {each["title"]: each["value"] for each in told}
    assert measured["Sharpness"] == 0.02


def test_arrangements_and_persons(src):
    answer = src.list(sort="rank final")
    assert answer["task"] == {"columns": [], "method": "final"}
    assert answer["unknown"] == FACES
    assert src.measure(method="final")["state"] == "done"
    assert src.names(sort="rank final")[:2] == ["00009.jpg", "00008.jpg"]
    assert src.names(ranges=[["rejected final", 1, 1]]) == ["00010.jpg", "00011.jpg"]
    assert src.measure(method="persons")["state"] == "done"
    persons = src.served.ask(f"/api/faces/persons/{src.place}").json
    first, second = src.numbers("00000.jpg", "00001.jpg")
    assert persons == [
        {"person": 1, "faces": 6, "typical": first},
        {"person": 2, "faces": 6, "typical": second},
    ]
    assert src.names(ranges=[["person", 2, 2]])[:2] == ["00001.jpg", "00003.jpg"]


def test_coverage_counts_cells_whose_faces_can_be_shown(served, src):
    places = served.ask("/api/faces/places").json["places"]
    src.measure(["yaw", "pitch"], places=[places[0]["id"], places[1]["id"]])
    found = served.ask("/api/faces/coverage").json
    counts = np.array(found["sides"]["src"]["counts"])
    assert (counts.sum(), found["sides"]["src"]["unknown"]) == (FACES, 0)
    assert np.array(found["sides"]["dst"]["counts"]).sum() == 5
    row = int(np.searchsorted(PITCH_EDGES, 1.0, side="right")) - 1
    column = int(np.searchsorted(YAW_EDGES, -30.0, side="right")) - 1
    assert found["rows"] == [[row, *PITCH_EDGES[row : row + 2]]]  # the only pitch that there is
    assert found["columns"][-1] == [column, *YAW_EDGES[column : column + 2]]
    shown = src.names(cell=[row, column])
    assert (counts[0, -1], shown[0]) == (len(shown), "00000.jpg")
    assert set(found["sides"]["dst"]["lacking"][0]) == {None}  # src has all that dst has
    assert src.names(cell=[0, 0]) == []


def test_a_task_can_be_canceled_and_another_waits(served, src, measuring):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(faces_measuring, "measure_command", lambda: [*MEASURING, "slow"])
        body = {"places": [src.place], "columns": ["hue"], "method": "", "strictness": 0.5}
        assert served.post("/api/faces/measure", body).json["state"] == "running"
        again = served.post("/api/faces/measure", body)
        assert (again.status, "wait for it" in again.json["error"]) == (409, True)
        while not served.ask("/api/faces/job").json["done"]:
            time.sleep(0.02)
        assert served.post("/api/faces/cancel", {}).json["state"] == "canceled"
        patch.setattr(faces_measuring, "measure_command", lambda: [*MEASURING, "broken"])
        job = src.measure(["hue"])
        assert (job["state"], "cannot be measured: <b>no</b>" in job["error"]) == ("failed", True)
        patch.setattr(faces_measuring, "measure_command", lambda: [sys.executable, "-c", "1/0"])
        job = src.measure(["hue"])
        assert (job["state"], "ZeroDivisionError" in job["error"]) == ("failed", True)
    assert src.list(sort="hue")["unknown"] == FACES


@pytest.mark.parametrize(
    "body",
    [
        {"places": [], "columns": ["yaw"], "method": ""},
        {"places": ["PLACE"], "columns": [], "method": ""},
        {"places": ["PLACE"], "columns": ["yaw"], "method": "final"},
        {"places": ["PLACE"], "columns": ["identity"], "method": ""},
        {"places": ["PLACE"], "columns": [], "method": "rm -rf"},
        {"places": ["../aligned"], "columns": ["yaw"], "method": ""},
    ],
)
def test_only_what_is_offered_is_measured(served, src, body):
    places = [src.place if each == "PLACE" else each for each in body["places"]]
    answer = served.post("/api/faces/measure", {**body, "places": places, "strictness": 0.5})
    assert answer.status in (400, 404)


def test_the_real_process_measures_as_the_library_does(own, monkeypatch, tmp_path):
    monkeypatch.undo()  # the fixture of the module
    command = [sys.executable, "-m", "dfl_tf.web.faces_process"]
    monkeypatch.setattr(faces_measuring, "measure_command", lambda: command)
    monkeypatch.setenv("PYTHONPATH", f"{Path(__file__).parents[2]}:{':'.join(sys.path)}")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (own / "data_src" / "aligned" / "bad.jpg").write_bytes(b"no image")
    with serving(own) as served:
        src = Asking(served)
        job = src.measure(["yaw", "size", "blur"])
        assert (job["state"], job["error"]) == ("done", "")
        assert src.list(sort="yaw")["unknown"] == 0  # that bad.jpg has none is known
        answer = src.list(sort="name")
        query = f"n={','.join(map(str, answer['order']))}&c=yaw,size,blur"
        rows = served.ask(f"/api/faces/rows/{src.place}/{answer['run']}?{query}").json
        for number, row in enumerate(rows[:6]):
            yaw = estimate_pitch_yaw_roll(landmarks_at(6.0 * number - 33), SIDE)[1]
            assert row["yaw"] == pytest.approx(np.degrees(yaw))
            assert row["size"] == pytest.approx(100)
            assert row["blur"] is not None
        assert (rows[6]["name"], rows[6]["yaw"]) == ("bad.jpg", None)


def answered(capsys, place: Path, method: str) -> dict[str, dict[str, float | None]]:
    """What the process finds by a way to sort: columns by names of faces."""
    faces_process.measure({"place": str(place), "columns": [], "method": method, "strictness": 0.5})
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    (rows,) = [line for line in lines if "names" in line]
    stamps = {path.name: path.stat() for path in place.iterdir()}
    for name, (size, stamp) in zip(rows["names"], rows["stamps"], strict=True):
        assert (stamps[name].st_size, stamps[name].st_mtime_ns) == (size, stamp)
    columns = rows["columns"].items()
    return {key: dict(zip(rows["names"], values, strict=True)) for key, values in columns}


def test_orders_and_tracks_are_those_of_the_library(own, capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    aligned = own / "data_src" / "aligned"
    (aligned / "bad.jpg").write_bytes(b"no image")
    plan = plan_sort(aligned, "hist", cache=MeasureCache(None))
    found = answered(capsys, aligned, "hist")
    by_rank = sorted((rank, name) for name, rank in found["rank hist"].items() if rank is not None)
    assert [name for _, name in by_rank] == [plan.faces.names[i] for i in plan.order.kept]
    names = [path.name for path in aligned.glob("*.jpg")]
    assert found["rejected hist"] == {name: float(name == "bad.jpg") for name in names}
    with pytest.raises(FacesetError, match="tracks of these faces are not known"):
        answered(capsys, aligned, "track")
    frames = {}
    for number in range(4):
        face = RecordedFace((40.0, 20.0, 140.0, 120.0), 1.0, None, track=7 - number // 2)
        frames[f"{number:05d}.png"] = FrameRecord(
            f"{number:05d}.png", number + 1, 180, 320, (face,)
        )
    write_journal(aligned, Extraction(frames=frames))
    found = answered(capsys, aligned, "track")
    tracks = [found["track"][f"{number:05d}.jpg"] for number in range(6)]
    assert tracks == [7, 7, 6, 6, None, None]
    assert [found["rank track"][f"{number:05d}.jpg"] for number in range(6)] == [0, 1, 2, 3, 4, 5]

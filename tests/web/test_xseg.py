"""The XSeg editor over HTTP: faces, labels that are never lost or misplaced, and commands."""

from __future__ import annotations

import hashlib
import struct
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from dfl_tf.disk import checksums
from dfl_tf.facesets.xseg_masker import XSegMasker
from dfl_tf.facesets.xseg_store import open_store
from dfl_tf.facesets.xseg_tools import apply_masks, count
from dfl_tf.formats import read_metadata
from dfl_tf.formats.faces.jpeg_segments import APP0, JpegSegment, join_segments, split_segments
from dfl_tf.web import jobs

from .support.labeling import FACES, TRIANGLE, labeling_workspace, round_mask
from .support.served import serving

SQUARE = [[20.25, 30.5], [200, 30], [200, 180], [20, 180]]
HOLE = [[90, 90], [120, 90], [105, 130]]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return labeling_workspace(tmp_path_factory.mktemp("xseg") / "a project")


@pytest.fixture(scope="module")
def served(root):
    with serving(root) as server:
        yield server


@pytest.fixture
def folder(root, tmp_path_factory):
    """The folder of src faces, as it was, after each test."""
    src = root / "data_src" / "aligned"
    before = {path.name: path.read_bytes() for path in src.iterdir()}
    yield src
    for path in src.iterdir():
        if path.is_symlink() or path.name not in before:
            path.unlink()
    for name, data in before.items():
        (src / name).write_bytes(data)


def faces(served, side="src"):
    """Ids by name."""
    return {name: key for key, name in served.ask(f"/api/xseg/faces/{side}").json["faces"]}


def face(served, name, side="src"):
    key = faces(served, side)[name]
    return {"id": key, **served.ask(f"/api/xseg/face/{side}/{key}").json}


def write(served, shown, polygons, side="src"):
    body = {
        "hash": shown["hash"],
        "image": shown["image"],
        "polygons": [{"kind": kind, "points": points} for kind, points in polygons],
    }
    return served.post(f"/api/xseg/label/{side}/{shown['id']}", body)


def sha(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_faces_are_listed_and_looked_at(served, folder):
    (folder / "notes.txt").write_text("no face")
    assert list(faces(served)) == [f"{number:05d}.jpg" for number in range(FACES)]
    while not (told := served.ask("/api/xseg/marks/src").json)["complete"]:
        time.sleep(0.01)
    assert told["marks"] == "00120000"
    shown = face(served, "00002.jpg")
    assert shown["hash"] == sha(folder / "00002.jpg")
    assert shown["polygons"] == [{"kind": 1, "points": TRIANGLE.tolist()}]
    assert shown["masked"] is False


def test_a_label_is_what_status_sees_and_nothing_else_changes(served, folder):
    path = folder / "00000.jpg"
    before, old = read_metadata(path), path.read_bytes()
    shown = face(served, path.name)
    answer = write(served, shown, [(0, HOLE), (1, SQUARE)])
    assert answer.status == 200
    assert answer.json == {"hash": sha(path)}
    kinds, points = zip(*read_metadata(path).seg_ie_polys, strict=True)
    assert kinds == (1, 0)  # includes come first
    np.testing.assert_array_equal(points[0], np.float32(SQUARE))
    np.testing.assert_array_equal(points[1], np.float32(HOLE))
    counts = count(open_store(folder))
    assert (counts["labels"], counts["masks"], counts["faces"]) == (2, 1, FACES)
    after = read_metadata(path)
    np.testing.assert_array_equal(after.landmarks, before.landmarks)
    assert after.source_filename == before.source_filename
    images = [cv2.imdecode(np.frombuffer(d, np.uint8), 1) for d in (old, path.read_bytes())]
    np.testing.assert_array_equal(*images)
    assert served.ask("/api/xseg/marks/src").json["marks"][0] == "1"

    assert write(served, {**shown, "hash": answer.json["hash"]}, []).status == 200
    assert read_metadata(path).seg_ie_polys == []


def test_a_write_to_another_file_is_refused(served, folder):
    path = folder / "00001.jpg"
    shown = face(served, path.name)

    assert write(served, shown, [(1, HOLE)]).status == 200  # another browser
    answer = write(served, shown, [(1, SQUARE)])
    assert answer.status == 409
    assert "00001.jpg: was changed since it was drawn on" in answer.json["error"]
    assert "Nothing was written." in answer.json["error"]
    again = write(served, shown, [(1, HOLE)])  # the same: only its answer was lost
    assert (again.status, again.json) == (200, {"hash": sha(path)})

    shown = face(served, path.name)
    path.write_bytes((folder / "00002.jpg").read_bytes())  # a sort
    before = path.read_bytes()
    answer = write(served, shown, [(1, SQUARE)])
    assert answer.status == 409
    assert "was replaced by another image" in answer.json["error"]

    path.rename(folder / "renamed.jpg")
    answer = write(served, shown, [(1, SQUARE)])
    assert answer.status == 409
    assert "renamed" in answer.json["error"]
    assert not path.exists()
    assert (folder / "renamed.jpg").read_bytes() == before


def test_applied_masks_and_labels_do_not_overwrite_each_other(served, folder):
    checksums.record(folder, [path.name for path in folder.iterdir()])
    shown = face(served, "00005.jpg")

    class Meanwhile:
        """A network during whose work somebody draws."""

        drawn = None

        def mask(self, images):
            if self.drawn is None:
                self.drawn = write(served, shown, [(1, SQUARE)])
            return (images.mean(axis=-1, keepdims=True) > 0.4).astype(np.float32)

    network = Meanwhile()
    apply_masks(open_store(folder), XSegMasker(network, None, "weights 1"))
    assert network.drawn.status == 200
    metadata = read_metadata(folder / "00005.jpg")
    np.testing.assert_array_equal(metadata.seg_ie_polys[0][1], np.float32(SQUARE))
    assert metadata.xseg_mask_bytes is not None
    sums = checksums.read_sums(folder)
    assert {name: sha(folder / name) for name in sums.files} == sums.files
    answer = write(served, face(served, "00005.jpg") | {"hash": shown["hash"]}, [])
    assert answer.status == 409  # the mask has changed the file
    checksums.checksum_path(folder).unlink()


@pytest.mark.parametrize(
    ("polygons", "text"),
    [
        ([(1, [[1, 1], [2, 2]])], "polygon 1 has the shape (2, 2); a polygon has at least 3"),
        ([(1, SQUARE), (0, [])], "polygon 2 has the shape"),
        ([(1, [[1, 1], [2, 2], [1e9, 3]])], "polygon 1 has a point more than"),
        ([(2, SQUARE)], "kind"),
        ([(1, [[1, 1, 1]] * 3)], "must be a list of 2"),
        ([(1, [[1, None], [2, 2], [3, 3]])], "must be a finite number"),
        ([(1, SQUARE)] * 501, "at most 500"),
    ],
)
def test_unusable_polygons_are_refused(served, folder, polygons, text):
    path = folder / "00000.jpg"
    before = path.read_bytes()
    answer = write(served, face(served, path.name), polygons)
    assert answer.status == 400
    assert text in answer.json["error"]
    assert path.read_bytes() == before


def test_a_label_that_does_not_fit_leaves_the_file(served, folder):
    path = folder / "00000.jpg"
    before = path.read_bytes()
    many = [[float(i % 200), float(i % 131)] for i in range(3900)]
    answer = write(served, face(served, path.name), [(1, many)] * 5)
    assert answer.status == 409
    assert "00000.jpg" in answer.json["error"]
    assert path.read_bytes() == before


def test_the_image_is_what_training_sees(served, folder):
    path = folder / "00006.jpg"
    exif = struct.pack("<2sHIHHHIHxxI", b"II", 42, 8, 1, 0x0112, 3, 1, 6, 0)
    body = b"Exif\0\0" + exif
    segments = split_segments(path.read_bytes())
    turned = JpegSegment(APP0 + 1, struct.pack(">H", len(body) + 2) + body)
    segments.insert(1, turned)
    path.write_bytes(join_segments(segments))
    from dfl_tf.imaging.exif import exif_orientation

    assert exif_orientation(path.read_bytes()) == 6
    shown = face(served, path.name)
    answer = served.ask(f"/api/xseg/image/src/{shown['id']}?hash={shown['hash']}")
    assert answer.headers["X-Face-Hash"] == shown["hash"] == sha(path)
    assert exif_orientation(answer.body) == 1
    seen = cv2.imdecode(np.frombuffer(answer.body, np.uint8), cv2.IMREAD_COLOR)
    (sample,) = [s for s in _faceset(folder) if s.name == path.name]
    np.testing.assert_array_equal(seen, sample.pixels())
    assert seen.shape[:2] == (shown["height"], shown["width"])
    assert write(served, shown, [(1, SQUARE)]).status == 200
    assert exif_orientation(path.read_bytes()) == 6  # the file keeps it

    old = served.ask(f"/api/xseg/image/src/{shown['id']}?hash={shown['hash']}")
    assert old.status == 409
    same = served.ask(f"/api/xseg/image/src/{shown['id']}?image={shown['image']}")
    assert same.body == answer.body  # what was drawn changes no pixel
    other = served.ask(f"/api/xseg/image/src/{shown['id']}?image={'0' * 32}")
    assert other.status == 409


def _faceset(folder):
    from dfl_tf.data import Faceset

    return Faceset.open(folder)


def test_polygons_from_the_mask_enclose_it(served, folder):
    from dfl_tf.face import polygon_mask

    shown = face(served, "00003.jpg")
    where = f"src/{shown['id']}?hash={shown['hash']}"
    mask = served.ask(f"/api/xseg/mask/{where}")
    decoded = cv2.imdecode(np.frombuffer(mask.body, np.uint8), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(decoded, np.uint8(255) * round_mask()[:, :, 0].astype(np.uint8))
    told = served.ask(f"/api/xseg/outline/{where}").json
    assert [each["kind"] for each in told["polygons"]] == [1, 0]
    shape = (shown["height"], shown["width"])
    drawn = polygon_mask(shape, [(p["kind"], p["points"]) for p in told["polygons"]])[:, :, 0] > 0
    given = cv2.resize(round_mask()[:, :, 0], shape[::-1], interpolation=cv2.INTER_CUBIC) >= 0.5
    assert (drawn & given).sum() / (drawn | given).sum() > 0.97
    without = face(served, "00000.jpg")
    assert served.ask(f"/api/xseg/outline/src/{without['id']}").status == 404


def test_a_pak_is_shown_and_not_written(served, root):
    pak = root / "data_dst" / "aligned" / "faceset.pak"
    before = sha(pak)
    listed = served.ask("/api/xseg/faces/dst").json
    assert "dfl-tf faceset unpack" in listed["refusal"]
    key, _ = listed["faces"][0]
    shown = {"id": key, **served.ask(f"/api/xseg/face/dst/{key}").json}
    assert served.ask(f"/api/xseg/image/dst/{key}").headers["Content-Type"] == "image/jpeg"
    answer = write(served, shown, [(1, SQUARE)], "dst")
    assert answer.status == 409
    assert "dfl-tf faceset unpack" in answer.json["error"]
    assert served.post(f"/api/xseg/trash/dst/{key}", {"hash": shown["hash"]}).status == 409
    assert sha(pak) == before


def test_a_face_goes_to_the_trash_and_comes_back(served, folder):
    from dfl_tf.facesets.rearranging import take_back

    shown = face(served, "00007.jpg")
    stale = {"hash": "0" * 64}
    assert served.post(f"/api/xseg/trash/src/{shown['id']}", stale).status == 409
    answer = served.post(f"/api/xseg/trash/src/{shown['id']}", {"hash": shown["hash"]})
    assert answer.json == {"folder": "aligned_trash"}
    assert not (folder / "00007.jpg").exists()
    assert (folder.parent / "aligned_trash" / "00007.jpg").is_file()
    assert write(served, shown, [(1, SQUARE)]).status == 409
    assert take_back(folder)[1] == []
    assert sha(folder / "00007.jpg") == shown["hash"]


def test_links_that_lead_out_are_not_followed(served, folder, root):
    outside = root.parent / "outside.jpg"
    outside.write_bytes((folder / "00000.jpg").read_bytes())
    (folder / "linked.jpg").symlink_to(outside)
    key = faces(served)["linked.jpg"]
    assert served.ask(f"/api/xseg/face/src/{key}").status == 404
    assert served.ask(f"/api/xseg/image/src/{key}").status == 404
    shown = {**face(served, "00000.jpg"), "id": key}
    assert write(served, shown, [(1, SQUARE)]).status == 404
    assert (folder / "linked.jpg").is_symlink()


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/xseg/faces/other", 404),
        ("/api/xseg/face/src/..%2f..%2fdata_dst", 404),
        ("/api/xseg/face/src/00000.jpg", 409),
        ("/api/xseg/image/src/%2e%2e", 409),
    ],
)
def test_paths_are_no_ids(served, path, status):
    assert served.ask(path).status == status


def test_read_only_refuses_every_write(root, folder):
    with serving(root, read_only=True) as served:
        shown = face(served, "00000.jpg")
        before = sha(folder / "00000.jpg")
        assert write(served, shown, [(1, SQUARE)]).status == 403
        assert start(served, "xseg-remove", side="src").status == 403
        assert sha(folder / "00000.jpg") == before


@pytest.fixture
def program(monkeypatch):
    """Commands are recorded, and print what they were called with."""
    code = "import sys; print('called', sys.argv[1:]); sys.exit(3 if 'train' in sys.argv else 0)"
    monkeypatch.setattr(jobs, "program", lambda: [sys.executable, "-c", code])


def start(served, kind, values=None, **subject):
    return served.post("/api/jobs/start", {"kind": kind, "values": values or {}, **subject})


def ended(served, kind):
    while True:
        told = served.ask("/api/jobs/list").json["jobs"]
        (job,) = (each for each in told if each["kind"] == kind)
        if job["state"] != "running":
            return job
        time.sleep(0.05)


def test_the_commands_are_jobs_one_after_the_other_on_a_side(served, root, program):
    src, model = str(root / "data_src" / "aligned"), str(root / "model")
    for kind, values, words in (
        ("apply", {"cpu": True}, ["xseg", "apply", src, "--model-dir", model, "--cpu"]),
        ("apply", {"generic": True}, ["xseg", "apply", src, "--generic"]),
        ("fetch", {}, ["xseg", "fetch", src]),
        ("remove", {}, ["xseg", "remove", src, "--yes"]),
    ):
        answer = start(served, f"xseg-{kind}", values, side="src")
        assert answer.status == 200, answer.json
        job = ended(served, f"xseg-{kind}")
        assert (job["state"], job["code"], job["subject"]) == ("done", 0, "src")
        assert str(words) in job["log"]
    values = {"batch_size": 8, "target_iter": 100, "face_type": "f"}
    assert start(served, "xseg-train", values, model="new").status == 200
    job = ended(served, "xseg-train")
    assert (job["state"], job["code"], job["resumable"]) == ("failed", 3, True)
    assert job["line"].startswith("dfl-tf train ")
    for word in ("--face-type=f", "--batch-size=8", "--target-iter=100"):
        assert word in job["log"]
    asks = {each["name"]: each["asks"] for each in served.ask("/api/jobs/kinds").json["kinds"]}
    assert "removed from all faces" in asks["xseg-remove"]


@pytest.mark.parametrize(
    ("kind", "values", "subject", "status"),
    [
        ("xseg-remove-labels", {}, {"side": "src"}, 400),
        ("xseg-apply", {}, {"model": "new"}, 400),
        ("xseg-train", {}, {"side": "src"}, 404),
        ("xseg-train", {"batch_size": 1000}, {"model": "new"}, 400),
        ("xseg-train", {"face_type": "; rm -rf"}, {"model": "new"}, 400),
        ("xseg-train", {"model_dir": "/"}, {"model": "new"}, 400),
        ("xseg-apply", {}, {"side": "other"}, 400),
    ],
)
def test_other_commands_are_refused(served, kind, values, subject, status):
    assert start(served, kind, values, **subject).status == status

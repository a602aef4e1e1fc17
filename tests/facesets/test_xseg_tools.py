from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

import dfl_tf
from dfl_tf.disk.checksums import digest, read_sums
from dfl_tf.disk.temporary_names import temporary_name
from dfl_tf.errors import FacesetError, UsageError
from dfl_tf.face import FaceType
from dfl_tf.facesets import xseg_tools
from dfl_tf.facesets.xseg_masker import XSegMasker, crop, stored_mask
from dfl_tf.facesets.xseg_store import open_store
from dfl_tf.formats import read_metadata, read_pak, write_metadata, write_pak
from dfl_tf.formats.faces.faceset_sums import compare, make_list

DEMO = Path(dfl_tf.__file__).parent / "demo_data" / "data_src" / "aligned"


class FakeXSeg:
    """Masks what is bright; counts the faces it sees, and may break down."""

    def __init__(self, fails_after: int = 10**9) -> None:
        self.seen = 0
        self.fails_after = fails_after

    def mask(self, images):
        self.seen += len(images)
        if self.seen > self.fails_after:
            raise KeyboardInterrupt
        return (images.mean(axis=-1, keepdims=True) > 0.4).astype(np.float32)


def masker(model=None, face_type=None) -> XSegMasker:
    return XSegMasker(model or FakeXSeg(), face_type, "weights 1")


@pytest.fixture
def folder(tmp_path) -> Path:
    pak = read_pak(DEMO / "faceset.pak")
    for index in range(20):
        (tmp_path / pak[index].filename).write_bytes(pak.jpeg(index))
    return tmp_path


@pytest.fixture
def pak(tmp_path) -> Path:
    return Path(shutil.copy(DEMO / "faceset.pak", tmp_path / "faceset.pak"))


def jpegs(path: Path) -> list[bytes]:
    pak = read_pak(path)
    return [pak.jpeg(index) for index in range(len(pak))]


def pixels(data: bytes) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)


def test_applied_masks_read_back_exactly_and_pixels_stay(folder):
    before = {path.name: path.read_bytes() for path in folder.glob("*.jpg")}
    (folder / "plain.jpg").write_bytes(cv2.imencode(".jpg", np.zeros((8, 8, 3), np.uint8))[1])
    report = xseg_tools.apply_masks(open_store(folder), masker())
    assert (report.faces, report.changed) == (20, 20)
    assert [name for name, _ in report.skipped] == ["plain.jpg"]
    for name, data in before.items():
        old, new = read_metadata(data), read_metadata(folder / name)
        resized = cv2.resize(
            pixels(data) / np.float32(255), (256, 256), interpolation=cv2.INTER_LANCZOS4
        )
        expected = resized.mean(axis=-1) > 0.4
        np.testing.assert_array_equal(new.mask()[:, :, 0], expected.astype(np.float32))
        np.testing.assert_array_equal(pixels((folder / name).read_bytes()), pixels(data))
        np.testing.assert_array_equal(new.landmarks, old.landmarks)
        assert len(new.seg_ie_polys) == len(old.seg_ie_polys)
    assert not (folder / "xseg_apply.journal").exists()


def test_an_interrupted_run_goes_on_where_it_stopped(folder):
    with pytest.raises(KeyboardInterrupt):
        xseg_tools.apply_masks(open_store(folder), masker(FakeXSeg(fails_after=8)))
    model = FakeXSeg()
    report = xseg_tools.apply_masks(open_store(folder), masker(model))
    assert (report.resumed, report.changed, model.seen) == (8, 12, 12)
    other = masker()
    other.work = "weights 2"
    assert xseg_tools.apply_masks(open_store(folder), other).resumed == 0


def test_an_interrupted_run_on_a_pak_leaves_it_as_it_was(pak):
    before = pak.read_bytes()
    with pytest.raises(KeyboardInterrupt):
        xseg_tools.apply_masks(open_store(pak), masker(FakeXSeg(fails_after=16)))
    assert pak.read_bytes() == before
    report = xseg_tools.apply_masks(open_store(pak.parent), masker())
    assert (report.resumed, report.changed) == (16, 56)
    old, new = read_pak(DEMO / "faceset.pak"), read_pak(pak)
    for index, entry in enumerate(new.entries):
        assert entry.metadata.mask().shape == (256, 256, 1)
        inside = read_metadata(new.jpeg(index))
        assert inside.xseg_mask_bytes == entry.metadata.xseg_mask_bytes
        np.testing.assert_array_equal(pixels(new.jpeg(index)), pixels(old.jpeg(index)))
    assert sorted(path.name for path in pak.parent.iterdir()) == ["faceset.pak"]


@pytest.mark.timeout(120)
def test_the_checksums_of_a_pak_follow_what_is_applied_to_it(pak):
    make_list(pak.parent)
    assert xseg_tools.apply_masks(open_store(pak), masker()).changed == 72
    assert not compare(pak.parent)
    inside = read_sums(pak.parent).inside["faceset.pak"]
    assert list(inside.values()) == [digest(data) for data in jpegs(pak)]
    assert jpegs(pak) != jpegs(DEMO / "faceset.pak")


@pytest.mark.parametrize("place", ["folder", "pak"])
def test_remove_masks_and_labels(place, request):
    path = request.getfixturevalue(place)
    counts = xseg_tools.count(open_store(path))
    assert counts["masks"] == counts["faces"]
    assert counts["labels"] > 0
    assert xseg_tools.remove_masks(open_store(path)).changed == counts["masks"]
    assert xseg_tools.remove_labels(open_store(path)).changed == counts["labels"]
    after = xseg_tools.count(open_store(path))
    assert (after["masks"], after["labels"], after["neither"]) == (0, 0, counts["faces"])


def test_fetch_copies_the_labeled_faces(folder, tmp_path):
    labeled = xseg_tools.count(open_store(folder))["labels"]
    target = tmp_path / "fetched"
    report = xseg_tools.fetch_labeled(open_store(folder), target)
    copies = sorted(target.iterdir())
    assert report.changed == len(copies) == labeled
    assert copies[0].read_bytes() == (folder / copies[0].name).read_bytes()
    xseg_tools.fetch_labeled(open_store(folder), target, delete_originals=True)
    assert xseg_tools.count(open_store(folder))["labels"] == 0
    assert len(list(target.iterdir())) == labeled


def test_fetch_from_a_pak(pak, tmp_path):
    report = xseg_tools.fetch_labeled(open_store(pak), tmp_path / "fetched")
    assert report.changed == len(open_store(tmp_path / "fetched"))
    assert pak.exists()


def test_another_face_type_is_cut_out_and_put_back(folder):
    path = sorted(folder.glob("*.jpg"))[0]
    metadata, data = read_metadata(path), path.read_bytes()
    same = crop(metadata, data, FaceType.WHOLE_FACE, "x")
    full = crop(metadata, data, FaceType.FULL, "x")
    assert same.matrix is None
    assert full.image.shape == (256, 256, 3)
    # A full face is a smaller part of the image: its crop is a magnification.
    assert np.linalg.norm(full.matrix[:, 0]) > 1.1
    encoded = stored_mask(np.ones((256, 256, 1), np.float32), full)
    mask = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_GRAYSCALE)
    assert mask.shape == (256, 256)
    assert set(np.unique(mask)) == {0, 255}
    area = (mask > 0).mean()
    expected = 1 / abs(np.linalg.det(full.matrix[:, :2]))
    assert area == pytest.approx(expected, rel=0.05)


def test_a_pixel_belongs_to_the_mask_from_one_half_on(folder):
    path = sorted(folder.glob("*.jpg"))[0]
    same = crop(read_metadata(path), path.read_bytes(), FaceType.WHOLE_FACE, "x")
    raw = np.repeat(np.float32([0.0, 0.45, 0.499, 0.5, 0.55, 1.0]), 128 * 256 // 3)
    raw = np.resize(raw, (256, 256, 1))
    mask = cv2.imdecode(np.frombuffer(stored_mask(raw, same), np.uint8), cv2.IMREAD_GRAYSCALE)
    np.testing.assert_array_equal(mask > 0, raw[:, :, 0] >= 0.5)


def test_wrong_places_are_named(tmp_path):
    with pytest.raises(FacesetError, match="no such folder"):
        open_store(tmp_path / "absent")
    with pytest.raises(FacesetError, match="no aligned face found"):
        open_store(tmp_path)
    with pytest.raises(UsageError, match="model_generic_xseg"):
        XSegMasker.load(tmp_path)


def interrupted(path: Path, after: int) -> None:
    with pytest.raises(KeyboardInterrupt):
        xseg_tools.apply_masks(open_store(path), masker(FakeXSeg(fails_after=after)))


def test_masks_that_were_removed_after_an_interruption_are_made_again(folder):
    interrupted(folder, 8)
    xseg_tools.remove_masks(open_store(folder))
    report = xseg_tools.apply_masks(open_store(folder), masker())
    assert (report.resumed, report.changed) == (0, 20)
    assert xseg_tools.count(open_store(folder))["masks"] == 20


@pytest.mark.parametrize("place", ["folder", "pak"])
def test_other_images_under_the_same_names_get_masks_of_their_own(place, request):
    path = request.getfixturevalue(place)
    interrupted(path, 16)
    faces = read_pak(DEMO / "faceset.pak")
    order = [faces[i] for i in range(len(faces))]
    swapped = [
        (order[i].filename, None, order[-1 - i].metadata, faces.jpeg(len(faces) - 1 - i))
        for i in range(len(faces))
    ]
    if place == "pak":
        write_pak(path, swapped)
    else:
        for name, _, _, data in swapped[:20]:
            (path / name).write_bytes(data)
    model = FakeXSeg()
    report = xseg_tools.apply_masks(open_store(path), masker(model))
    assert report.resumed == 0
    assert model.seen == report.changed == report.faces


def test_a_journal_that_ends_in_half_a_line_is_continued_behind_the_last_whole_one(folder):
    interrupted(folder, 8)
    journal = folder / "xseg_apply.journal"
    journal.write_bytes(journal.read_bytes()[:-40])
    interrupted(folder, 8)
    report = xseg_tools.apply_masks(open_store(folder), masker())
    assert (report.resumed, report.changed) == (15, 5)


@pytest.mark.parametrize(
    "text", ["", "[]\n", "junk", '{"work": "weights 1"}\n[1]\n{"name": "x"}\n']
)
def test_a_damaged_journal_is_no_obstacle(folder, text):
    (folder / "xseg_apply.journal").write_text(text)
    assert xseg_tools.apply_masks(open_store(folder), masker()).changed == 20
    assert not (folder / "xseg_apply.journal").exists()


def test_a_damaged_image_in_a_pak_is_named_and_stays_as_it_is(pak):
    faces = read_pak(pak)
    jpegs = [faces.jpeg(index) for index in range(len(faces))]
    jpegs[3] = jpegs[3][:700]
    listed = [
        (entry.filename, entry.person_name, entry.metadata, jpeg)
        for entry, jpeg in zip(faces.entries, jpegs, strict=True)
    ]
    write_pak(pak, listed)
    report = xseg_tools.apply_masks(open_store(pak), masker())
    assert report.changed == len(faces) - 1
    assert [name for name, _ in report.skipped] == [faces[3].filename]
    assert read_pak(pak).jpeg(3) == jpegs[3]
    assert sorted(path.name for path in pak.parent.iterdir()) == ["faceset.pak"]


def test_what_a_killed_run_left_beside_a_pak_is_cleared_away(pak):
    left = pak.with_name(temporary_name())
    left.mkdir()
    (left / "0.jpg").write_bytes(b"half")
    xseg_tools.apply_masks(open_store(pak), masker())
    assert sorted(path.name for path in pak.parent.iterdir()) == ["faceset.pak"]


def test_metadata_that_leave_no_room_for_a_mask_are_named_and_the_file_stays(folder):
    path = sorted(folder.glob("*.jpg"))[0]
    metadata = read_metadata(path)
    points = np.random.RandomState(0).rand(7500, 2) * 255
    # 60000 bytes of polygons: they fit, but not with any mask
    write_metadata(path, replace(metadata, xseg_mask_bytes=None, seg_ie_polys=[(1, points)]))
    before = path.read_bytes()
    report = xseg_tools.apply_masks(open_store(folder), masker())
    assert report.changed == 19
    assert report.skipped[0][0] == path.name
    assert "mask does not fit" in report.skipped[0][1]
    assert path.read_bytes() == before


def test_fetch_overwrites_no_other_image(folder, tmp_path):
    target = tmp_path / "fetched"
    target.mkdir()
    name = sorted(p.name for p in folder.glob("*.jpg") if read_metadata(p).seg_ie_polys)[0]
    other = read_pak(DEMO / "faceset.pak").jpeg(60)
    (target / name).write_bytes(other)
    with pytest.raises(FacesetError, match=r"1 other images.*Nothing was copied"):
        xseg_tools.fetch_labeled(open_store(folder), target, delete_originals=True)
    assert [p.name for p in target.iterdir()] == [name]
    assert (target / name).read_bytes() == other
    assert len(list(folder.glob("*.jpg"))) == 20


def test_a_face_that_vanishes_meanwhile_is_named(folder):
    store = open_store(folder)
    (folder / store.names[2]).unlink()
    report = xseg_tools.apply_masks(store, masker())
    assert report.changed == 19
    assert report.skipped[0][0] == store.names[2]
    assert xseg_tools.count(store)["skipped"] == 1
    assert xseg_tools.remove_masks(store).changed == 19


def test_a_pak_that_another_program_wrote_meanwhile_stays(pak):
    store = open_store(pak)
    store.change(0, mask=None)
    other = pak.read_bytes()
    pak.unlink()
    pak.write_bytes(other)
    with pytest.raises(FacesetError, match="was changed by another program meanwhile"):
        store.finish()
    assert pak.read_bytes() == other
    assert [path.name for path in pak.parent.iterdir()] == [pak.name]

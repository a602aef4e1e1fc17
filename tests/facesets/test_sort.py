"""Sorting folders and paks: plans, moves, trash, undo, copies."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from dfl_tf.disk.checksums import read_sums, record
from dfl_tf.errors import FacesetError, UsageError, WorkspaceError
from dfl_tf.facesets import sort
from dfl_tf.facesets.measure_cache import MeasureCache
from dfl_tf.facesets.rearranging import copy_rearranged, free_name, numbered, rearrange, take_back
from dfl_tf.facesets.sort import plan_sort
from dfl_tf.formats import read_pak
from dfl_tf.formats.faces.faceset_files import pack_folder
from dfl_tf.formats.faces.faceset_sums import pak_sums
from tests.formats.samples import make_face, make_jpeg


def gray_face(level: int, size: int = 48) -> bytes:
    """An image without metadata, of one gray value."""
    return cv2.imencode(".png", np.full((size, size, 3), level, np.uint8))[1].tobytes()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    faces = tmp_path / "aligned.v2"
    faces.mkdir()
    for index in range(5):
        (faces / f"{index}.jpg").write_bytes(make_face(index))
    (faces / "other.png").write_bytes(gray_face(9))
    (faces / "readme.txt").write_text("of the user")
    return faces


def contents(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.iterdir() if not p.name.startswith(".")}


def planned(folder: Path, method: str = "face-yaw", **options: object) -> sort.SortPlan:
    return plan_sort(folder, method, cache=MeasureCache(None), workers=1, **options)  # type: ignore[arg-type]


def test_faces_are_numbered_the_trash_is_added_to_and_the_undo_brings_all_back(
    folder: Path,
) -> None:
    before = contents(folder)
    trash = folder.parent / "aligned.v2_trash"
    trash.mkdir()
    (trash / "other.png").write_text("of an earlier run")
    plan = planned(folder)
    names = [plan.faces.names[i] for i in plan.order.kept]
    rearrange(plan.rearrangement)
    after = {f"0000{number}.jpg": before[name] for number, name in enumerate(names)}
    assert contents(folder) == after | {"readme.txt": before["readme.txt"]}
    assert contents(trash) == {
        "other.png": b"of an earlier run",
        "other-2.png": before["other.png"],
    }
    assert take_back(folder) == ("sort by face-yaw", [])
    assert contents(folder) == before
    assert contents(trash) == {"other.png": b"of an earlier run"}


def test_equal_numbers_keep_the_order_of_the_folder(tmp_path: Path) -> None:
    for name, level in {"c": 5, "a": 5, "b": 200, "d": 5}.items():
        (tmp_path / f"{name}.png").write_bytes(gray_face(level))
    plan = planned(tmp_path, "brightness")
    assert [plan.faces.names[i] for i in plan.order.kept] == ["b.png", "a.png", "c.png", "d.png"]


def test_an_image_that_cannot_be_read_goes_to_the_trash_and_is_named(folder: Path) -> None:
    (folder / "00000.jpg").write_bytes(b"\xff\xd8\xff\xe0 damaged")
    plan = planned(folder, "brightness")
    assert plan.unreadable == ["00000.jpg"]
    assert plan.left_out.skipped[0][0] == "00000.jpg"
    rearrange(plan.rearrangement)
    assert (folder.parent / "aligned.v2_trash" / "00000.jpg").read_bytes().endswith(b"damaged")
    assert len(contents(folder)) == 7


def test_rows_hold_the_new_name_and_every_number(folder: Path) -> None:
    rows = planned(folder, "final", target=600).rows()
    assert rows[-1]["new_name"] is None
    assert rows[0]["new_name"] == "00000.jpg"
    assert set(rows[0]) == {"new_name", "name", "value", "gray_sharpness", "yaw", "pitch"}


def test_absdiff_names_images_of_other_sizes(folder: Path) -> None:
    (folder / "large.png").write_bytes(gray_face(3, size=50))
    with pytest.raises(FacesetError, match=r"48x48 pixels; others: large.png \(50x50\)"):
        planned(folder, "absdiff")
    (folder / "large.png").unlink()
    order = planned(folder, "absdiff").order.kept
    assert order[0] == 0
    assert sorted(order) == list(range(6))


def test_a_folder_without_images_and_an_unknown_method(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(FacesetError, match="nothing to sort"):
        planned(tmp_path / "empty")
    with pytest.raises(UsageError, match="no method 'sharp'"):
        planned(folder, "sharp")


def test_a_pak_is_rewritten_in_order_and_comes_back_byte_by_byte(folder: Path) -> None:
    (folder / "other.png").unlink()
    pack_folder(folder)
    pak = folder / "faceset.pak"
    record(folder, ["faceset.pak"], inside={"faceset.pak": pak_sums(pak)})
    before, jpegs = pak.read_bytes(), pak_sums(pak)
    plan = planned(folder)
    rearrange(plan.rearrangement)
    names = [plan.faces.names[i] for i in plan.order.kept]
    assert pak_sums(pak) == {f"0000{i}.jpg": jpegs[name] for i, name in enumerate(names)}
    assert read_sums(folder).inside["faceset.pak"] == pak_sums(pak)  # type: ignore[union-attr]
    assert (folder.parent / "aligned.v2_trash" / "faceset.pak").read_bytes() == before
    take_back(folder)
    assert pak.read_bytes() == before
    assert read_sums(folder).inside["faceset.pak"] == jpegs  # type: ignore[union-attr]


def test_copies_leave_the_source_alone(folder: Path, tmp_path: Path) -> None:
    before = contents(folder)
    plan = planned(folder)
    copy_rearranged(plan.rearrangement, tmp_path / "new" / "sorted")
    assert contents(folder) == before
    first = plan.faces.names[plan.order.kept[0]]
    copied = contents(tmp_path / "new" / "sorted")
    assert (len(copied), copied["00000.jpg"]) == (5, before[first])
    with pytest.raises(UsageError, match="is not empty"):
        copy_rearranged(plan.rearrangement, tmp_path / "new" / "sorted")


def test_copies_of_a_pak_are_a_pak(folder: Path, tmp_path: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()
    for index in range(3):
        (folder / f"{index}.jpg").write_bytes(make_face(index))
    pack_folder(folder)
    plan = planned(folder, "face-yaw")
    dropped = replace(plan.rearrangement, kept=plan.rearrangement.kept[:2], trash=())
    copy_rearranged(dropped, tmp_path / "copy")
    assert [e.filename for e in read_pak(tmp_path / "copy" / "faceset.pak").entries] == [
        "00000.jpg",
        "00001.jpg",
    ]


def test_names_have_as_many_digits_as_the_last_one_needs() -> None:
    many = numbered([f"{i}.jpg" for i in range(100_001)])
    assert many[3][1] == "000003.jpg"
    assert [new for _, new in many] == sorted(new for _, new in many)
    assert numbered(["p/x.jpeg"]) == [("p/x.jpeg", "p/00000.jpeg")]
    taken = {"a.jpg", "a-2.jpg"}
    assert free_name("a.jpg", taken) == "a-3.jpg"
    assert free_name("a.jpg", taken) == "a-4.jpg"


def test_something_in_the_way_stops_before_anything_is_moved(folder: Path) -> None:
    (folder / "00002.jpg").mkdir()
    before = sorted(p.name for p in folder.iterdir())
    with pytest.raises(WorkspaceError, match=r"00002\.jpg exists already.*Nothing was moved"):
        rearrange(planned(folder).rearrangement)
    assert sorted(p.name for p in folder.iterdir()) == before


def test_jpegs_without_metadata_are_trash_where_faces_are_needed(folder: Path) -> None:
    (folder / "plain.jpg").write_bytes(make_jpeg())
    plan = planned(folder, "origname")
    assert [plan.faces.names[i] for i in plan.order.trash] == ["other.png", "plain.jpg"]

"""The trash of the faces page over HTTP: what is taken out, put back, undone, or refused."""

from __future__ import annotations

import json
import os
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from dfl_tf.disk import moves
from dfl_tf.errors import WorkspaceError
from dfl_tf.formats.faces.faceset_files import pack_folder
from dfl_tf.web import faces_measuring, faces_trash

from .support.asking import MEASURING, Asking
from .support.facing import face
from .support.served import serving


@pytest.fixture(autouse=True)
def measuring(monkeypatch):
    """The process that measures is a small script."""
    monkeypatch.setattr(faces_measuring, "measure_command", lambda: MEASURING)


def files(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir() if p.suffix == ".jpg") if folder.exists() else []


def test_faces_go_to_the_trash_and_every_step_can_be_undone(own):
    aligned, trash = own / "data_src" / "aligned", own / "data_src" / "aligned_trash"
    before = {path.name: path.read_bytes() for path in aligned.iterdir()}
    with serving(own) as served:
        src = Asking(served)
        src.measure(["blur"])
        first = src.trash("00001.jpg", "00004.jpg").json
        assert (first["what"], first["faces"], first["undoable"]) == ("trash", 2, 2)
        assert files(trash) == ["00001.jpg", "00004.jpg"]
        assert files(aligned) == src.names() == ["00000.jpg", "00002.jpg", "00003.jpg", "00005.jpg"]
        second = src.trash("00002.jpg").json
        binned = Asking(served, "data_src/aligned_trash")
        assert binned.list()["left_out"] == []  # the record of the steps is no matter of the user
        assert binned.trash("00004.jpg").json["what"] == "restore"
    with serving(own) as served:  # nothing is only in memory
        src = Asking(served)
        told = served.ask(f"/api/faces/steps/{src.place}").json
        assert [step["undoable"] for step in told["steps"]] == [1, 1, 1]
        assert told["others"] == ""
        undone = src.post("undo", step=first["id"]).json  # not the last one
        assert (undone["what"], undone["faces"], undone["undoes"]) == ("restore", 1, first["id"])
        assert files(trash) == ["00002.jpg"]
        assert src.post("undo", step=first["id"]).status == 404
        assert src.post("undo", step=second["id"]).status == 200
        assert {p.name: p.read_bytes() for p in aligned.iterdir() if p.suffix == ".jpg"} == before
        again = src.post("undo", step=undone["id"]).json  # done again
        assert (again["what"], files(trash)) == ("trash", ["00001.jpg"])
        told = served.ask(f"/api/faces/steps/{src.place}").json["steps"]
        undoable = {step["id"]: step["undoable"] for step in told if step["undoable"]}
        assert undoable.pop(again["id"]) == 1
        assert first["id"] not in undoable  # the newest step has the file now


def test_a_face_that_comes_back_has_its_number_and_its_values(own):
    with serving(own) as served:
        src = Asking(served)
        src.measure(["blur"])
        order = src.list()["order"]
        step = src.trash("00003.jpg").json["id"]
        src.post("undo", step=step)
        assert src.list(sort="name")["order"] == order
        assert src.list(sort="blur")["unknown"] == 0


def test_names_that_are_taken_meanwhile_are_not_overwritten(own):
    aligned, trash = own / "data_src" / "aligned", own / "data_src" / "aligned_trash"
    with serving(own) as served:
        src = Asking(served)
        content = (aligned / "00001.jpg").read_bytes()
        step = src.trash("00001.jpg").json["id"]
        (aligned / "00001.jpg").write_bytes(face(9))
        assert src.post("undo", step=step).json["undoes"] == step
        assert (aligned / "00001-2.jpg").read_bytes() == content
        assert (aligned / "00001.jpg").read_bytes() == face(9)
        src.trash("00001.jpg")
        src.trash("00001-2.jpg")
        assert files(trash) == ["00001-2.jpg", "00001.jpg"]


def test_a_face_that_was_changed_since_it_was_shown_is_not_moved(own):
    aligned = own / "data_src" / "aligned"
    with serving(own) as served:
        src = Asking(served)
        answer = src.list()
        shown = f"/api/faces/small/{src.place}/{answer['run']}/{answer['order'][2]}"
        (aligned / "00002.jpg").write_bytes(face(7))
        assert served.ask(shown).status == 404  # it was not listed again
        body = {"run": answer["run"], "faces": answer["order"][1:4]}
        assert src.post("trash", **body).status == 404
        assert src.get("small", answer["order"][2]).status == 404
        assert len(files(aligned)) == 6
        for wrong in ([], [answer["order"][0]] * 2, ["../x"], [0]):
            assert src.post("trash", run=answer["run"], faces=wrong).status == 400
        assert src.post("trash", run="other", faces=answer["order"][:1]).status == 404
        assert src.post("restore", **body).status == 400
        assert len(files(aligned)) == 6


def test_what_a_command_moved_is_undone_too(own):
    aligned = own / "data_src" / "aligned"
    (own / "data_src" / "aligned_trash").mkdir()
    away = [moves.Move("00000.jpg", "../aligned_trash/00000.jpg")]
    moves.move_files(aligned, away, why="filter by <b>yaw</b>")
    with serving(own) as served:
        src = Asking(served)
        told = served.ask(f"/api/faces/steps/{src.place}").json
        assert told == {"steps": [], "others": "filter by <b>yaw</b>"}
        assert src.post("undo-others").json == {"undone": "filter by <b>yaw</b>", "gone": 0}
        assert len(files(aligned)) == 6
        assert src.post("undo-others").status == 404


def test_an_interrupted_move_is_completed(own, monkeypatch):
    aligned, trash = own / "data_src" / "aligned", own / "data_src" / "aligned_trash"
    with serving(own) as served:
        src = Asking(served)
        with monkeypatch.context() as patch:

            def killed(plan: object, **_: object) -> None:
                raise WorkspaceError("killed")

            patch.setattr(moves, "_place", killed)
            assert src.trash("00005.jpg").status == 409
        assert (src.list()["interrupted"], files(trash)) == (True, [])
        assert src.post("finish").json == {"finished": "page: trash 1 faces"}
        assert (src.list()["interrupted"], files(trash)) == (False, ["00005.jpg"])
        (step,) = served.ask(f"/api/faces/steps/{src.place}").json["steps"]
        assert src.post("undo", step=step["id"]).status == 200
        assert len(files(aligned)) == 6


def test_a_move_at_work_is_not_called_interrupted(own, monkeypatch):
    begun, on = threading.Event(), threading.Event()
    place = moves._place

    def slow(*plan: object, **more: object) -> None:
        begun.set()
        assert on.wait(60)
        place(*plan, **more)

    monkeypatch.setattr(moves, "_place", slow)
    with serving(own) as served, ThreadPoolExecutor() as others:
        src = Asking(served)
        moving = others.submit(src.trash, "00005.jpg")
        try:
            assert begun.wait(60)
            assert src.list()["interrupted"] is False
        finally:
            on.set()
        assert moving.result().status == 200


def test_nothing_is_moved_through_a_link_nor_by_a_planted_record(own, tmp_path):
    aligned, trash = own / "data_src" / "aligned", own / "data_src" / "aligned_trash"
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    trash.symlink_to(elsewhere)
    with serving(own) as served:
        src = Asking(served)
        assert src.trash("00001.jpg").status in (404, 409)
        assert (list(elsewhere.iterdir()), len(files(aligned))) == ([], 6)
        trash.unlink()
        trash.symlink_to(aligned.parent)
        titles = [each["title"] for each in served.ask("/api/faces/places").json["places"]]
        assert titles == ["data_src/aligned"]
        assert (src.trash("00001.jpg").status, len(files(aligned))) == (409, 6)
        trash.unlink()
        trash.mkdir()
        secret = tmp_path / "project" / "secret.jpg"
        secret.write_bytes(b"secret")
        now = secret.stat()
        planted = {
            "id": "ab", "what": "trash", "time": 1, "undoes": "",
            "files": [["x.jpg", "../../secret.jpg", now.st_size, now.st_mtime_ns]],
        }  # fmt: skip
        (trash / faces_trash.FILE).write_text("{\n" + json.dumps(planted) + "\n[]\n")
        assert served.ask(f"/api/faces/steps/{src.place}").json["steps"] == []
        assert src.post("undo", step="ab").status == 404
        (trash / faces_trash.FILE).unlink()
        (trash / faces_trash.FILE).symlink_to(secret)
        assert src.trash("00001.jpg").status == 409
        assert secret.read_bytes() == b"secret"


def test_a_pak_is_shown_and_says_how_it_is_unpacked(own):
    aligned = own / "data_src" / "aligned"
    pack_folder(aligned)
    for path in aligned.glob("*.jpg"):
        path.unlink()
    with serving(own) as served:
        src = Asking(served)
        answer = src.list()
        assert src.names() == [f"{i:05d}.jpg" for i in range(6)]
        assert answer["pak"] == f"dfl-tf faceset unpack {aligned}"
        number = answer["order"][3]
        assert src.get("image", number).body == face(3)
        facts = src.get("facts", number).json
        assert (facts["rect"], facts["frame"]) == (
            [40, 20, 140, 120],
            {"width": 320, "height": 180},
        )
        assert src.get("small", number, side=96, layers="landmarks").status == 200
        refused = src.trash("00001.jpg")
        assert (refused.status, "in a pak" in refused.json["error"]) == (409, True)
        outside = own.parent / "outside.pak"
        shutil.move(aligned / "faceset.pak", outside)
        (aligned / "faceset.pak").symlink_to(outside)
        assert served.ask(f"/api/faces/list/{src.place}").status == 404


def test_a_server_that_only_shows_moves_and_measures_nothing(own):
    with serving(own, read_only=True) as served:
        src = Asking(served)
        assert src.trash("00001.jpg").status == 403
        assert src.post("undo", step="ab").status == 403
        assert src.measure(["yaw"]).status == 403
    assert sorted(os.listdir(own / "data_src")) == sorted(
        ["aligned", *(f"{i:05d}.png" for i in range(6))]
    )

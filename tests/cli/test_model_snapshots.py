"""`dfl-tf model snapshot`, `snapshots` and `restore` as a user meets them."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from dfl_tf.disk import write_errors
from dfl_tf.errors import ModelFileError, UsageError, WorkspaceError
from dfl_tf.export import job as export_job
from dfl_tf.export.job import export_from_folder
from dfl_tf.formats import ModelLock, read_model, write_model
from dfl_tf.formats.models.report import diff_states
from dfl_tf.formats.models.restore import files_of
from dfl_tf.merge.job import MergeRequest, open_model
from tests.formats.samples import make_state

from .test_model import run, run_error, run_json


@pytest.fixture(params=["legacy", "native"])
def folder(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    place = tmp_path / "model"
    write_model(place, "my model", make_state(), format=request.param, summary="text")
    (place / "my model_SAEHD_preview").mkdir()
    (place / "my model_SAEHD_preview" / "SAEHD.jpg").write_bytes(b"jpg")
    return place


@pytest.fixture
def legacy(tmp_path: Path) -> Path:
    write_model(tmp_path / "model", "my model", make_state())
    return tmp_path / "model"


def test_a_snapshot_and_back(folder: Path) -> None:
    made = run_json("snapshot", folder, "before GAN", "--note", "looks good")
    assert (made["kind"], made["iteration"], made["note"]) == ("manual", 7, "looks good")
    assert made["options"]["gan_power"] == 0.1
    assert made["previews"] == ["preview_SAEHD.jpg"]
    write_model(folder, "my model", make_state(9))
    place = folder / "my model_SAEHD_snapshots"
    assert all(path.stat().st_nlink == 1 for path in place.rglob("*") if path.is_file())
    shown = run("restore", folder, "--from", "before GAN", "--yes").stdout
    assert "my model is back at iteration 7" in shown
    assert "what was there is the snapshot replaced-9" in shown
    assert diff_states(read_model(folder, "my model", "SAEHD"), make_state(7))["same"]
    run("restore", folder, "--from", "replaced-9", "--yes")
    assert diff_states(read_model(folder, "my model", "SAEHD"), make_state(9))["same"]


def test_snapshots_and_backups_are_listed(folder: Path) -> None:
    run("snapshot", folder, "one", "--note", "a note")
    run("backup", folder)
    shown = run("snapshots", folder).stdout
    assert "one       by hand            7" in shown
    assert "a note" in shown
    assert "backup 01: iteration 7" in shown
    assert "1 snapshots with" in shown
    assert "MiB are free on the disk" in shown
    facts = run_json("snapshots", folder)
    assert [each["name"] for each in facts["snapshots"]] == ["one"]
    assert facts["bytes"] == facts["snapshots"][0]["bytes"] + facts["backups"][0]["bytes"]
    assert "snapshots  1, " in run("show", folder).stdout
    assert run_json("show", folder)["snapshots"][0]["iteration"] == 7


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("../up", "cannot be used as the name of a folder"),
        ("a/b", "cannot be used"),
        (".hidden", "cannot be used"),
        ("tab\there", "cannot be used"),
        (" blank", "cannot be used"),
        ("é" * 60, "100 bytes at most"),
        ("", "cannot be used"),
        ("07", "numbers are backups"),
        ("best", "best the best snapshot"),
        ("previous", "means something else"),
    ],
)
def test_names_that_are_none(name: str, error: str, legacy: Path) -> None:
    assert error in run_error(UsageError, "snapshot", legacy, name)
    assert not (legacy / "my model_SAEHD_snapshots").exists()


def test_names_of_any_script(legacy: Path) -> None:
    assert run_json("snapshot", legacy, "до ГАН 1.5")["name"] == "до ГАН 1.5"


def test_a_name_that_is_taken_and_one_that_is_not_there(legacy: Path) -> None:
    run("snapshot", legacy, "one")
    assert "a snapshot one already" in run_error(UsageError, "snapshot", legacy, "one")
    text = run_error(ModelFileError, "restore", legacy, "--from", "two", "--yes")
    assert "Backups there: none; snapshots: one." in text
    text = run_error(ModelFileError, "restore", legacy, "--yes")
    assert "Name a snapshot by --from: one." in text


def test_a_model_in_use(legacy: Path) -> None:
    run("snapshot", legacy, "one")
    with ModelLock(legacy, "my model", "SAEHD"):
        assert "in use by process" in run_error(WorkspaceError, "snapshot", legacy, "two")
        text = run_error(WorkspaceError, "restore", legacy, "--from", "one", "--yes")
    assert "in use by process" in text
    assert [each["name"] for each in run_json("snapshots", legacy)["snapshots"]] == ["one"]


def test_a_disk_without_space_loses_nothing(legacy: Path, monkeypatch) -> None:
    run("snapshot", legacy, "one")
    usage = SimpleNamespace(free=1 << 20)
    with monkeypatch.context() as patch:
        patch.setattr(write_errors.shutil, "disk_usage", lambda path: usage)
        assert "MiB are free" in run_error(WorkspaceError, "snapshot", legacy, "two")
        run_error(WorkspaceError, "restore", legacy, "--from", "one", "--yes")
    assert [each["name"] for each in run_json("snapshots", legacy)["snapshots"]] == ["one"]
    assert diff_states(read_model(legacy, "my model", "SAEHD"), make_state(7))["same"]


def test_a_limit_that_is_too_small(legacy: Path) -> None:
    text = run_error(UsageError, "snapshot", legacy, "two", "--snapshots-max-gb", "1e-6")
    assert "more than the limit of 1e-06 GB" in text
    assert not run_json("snapshots", legacy)["snapshots"]


def test_a_damaged_snapshot_is_refused(legacy: Path) -> None:
    run("snapshot", legacy, "one")
    write_model(legacy, "my model", make_state(9))
    file = legacy / "my model_SAEHD_snapshots" / "one" / "my model_SAEHD_encoder.npy"
    shutil.copy(legacy / file.name, file)  # it can be read, but is of another iteration
    text = run_error(ModelFileError, "restore", legacy, "--from", "one", "--yes")
    assert "The snapshot one is damaged" in text
    assert "encoder.npy is not the one that was saved" in text
    assert read_model(legacy, "my model", "SAEHD").iteration == 9
    assert [each["name"] for each in run_json("snapshots", legacy)["snapshots"]] == ["one"]


def test_a_model_that_is_not_whole(legacy: Path) -> None:
    run("snapshot", legacy, "one")
    (legacy / "my model_SAEHD_encoder.npy").write_bytes(b"damage")
    run_error(ModelFileError, "snapshot", legacy, "two")
    shown = run("restore", legacy, "--from", "one", "--yes").stdout
    assert "no snapshot was made of what was there" in shown
    aside = legacy / ".my model_SAEHD.replaced" / "01"
    assert f"the files that were there are in {aside}" in shown
    assert (aside / "my model_SAEHD_encoder.npy").read_bytes() == b"damage"
    assert diff_states(read_model(legacy, "my model", "SAEHD"), make_state(7))["same"]


def test_parts_that_the_snapshot_does_not_have_are_no_part_of_the_model(folder: Path) -> None:
    run("snapshot", folder, "before GAN")
    state = make_state(9)
    gan = {"GAN": {"x/weight:0": state.tensors["encoder"]["down1/downs_0/conv1/bias:0"]}}
    write_model(folder, "my model", replace(state, tensors={**state.tensors, **gan}))
    run("restore", folder, "--from", "before GAN", "--yes")
    assert "GAN" not in read_model(folder, "my model", "SAEHD").tensors
    run("restore", folder, "--from", "replaced-9", "--yes")
    assert "GAN" in read_model(folder, "my model", "SAEHD").tensors


def test_a_model_that_is_gone_comes_back_from_a_snapshot(legacy: Path) -> None:
    run("snapshot", legacy, "one")
    for path in [path for path in legacy.iterdir() if path.is_file()]:
        path.unlink()
    assert "one" in run("snapshots", legacy).stdout
    shown = run("restore", legacy, "--from", "one", "--yes").stdout
    assert "back at iteration 7" in shown
    assert "what was there" not in shown


def test_snapshots_follow_a_new_name(legacy: Path) -> None:
    run("snapshot", legacy, "one")
    run("rename", legacy, "new")
    write_model(legacy, "new", make_state(9))
    asked = run_error(UsageError, "restore", legacy, "--from", "one")
    assert "There is no terminal to ask on: give --yes." in asked
    assert "back at iteration 7" in run("restore", legacy, "--from", "one", "--yes").stdout
    assert read_model(legacy, "new", "SAEHD").iteration == 7


def test_a_record_that_cannot_be_read_and_folders_of_the_user(legacy: Path) -> None:
    run("snapshot", legacy, "one")
    place = legacy / "my model_SAEHD_snapshots"
    shutil.copytree(place / "one", place / "copied by hand")
    (place / "copied by hand" / "snapshot.json").write_text("{")
    (place / "notes").mkdir()
    (place / "notes" / "a.txt").write_text("x")
    shown = run("snapshots", legacy).stdout
    assert "copied by hand  no record          7" in shown
    assert "its record cannot be read" in shown
    assert "notes" not in shown
    write_model(legacy, "my model", make_state(9))
    run("restore", legacy, "--from", "copied by hand", "--yes")
    assert read_model(legacy, "my model", "SAEHD").iteration == 7


class Seen(Exception):
    """Ends a command when it asks for the files of a model."""


def test_merge_and_export_use_a_snapshot(legacy: Path, monkeypatch) -> None:
    run("snapshot", legacy, "one")
    run("backup", legacy)

    def load(*place: object, **more: object) -> None:
        raise Seen(*place[:2])

    monkeypatch.setattr(export_job, "load_for_export", load)
    monkeypatch.setattr("dfl_tf.export.onnx_graph.need_all", lambda: None)
    places = {
        "": legacy,
        "one": legacy / "my model_SAEHD_snapshots" / "one",
        "1": legacy / "my model_SAEHD_autobackups" / "01",
    }
    for text, place in places.items():
        request = MergeRequest(workspace=legacy, snapshot=text)
        with pytest.raises(Seen) as seen:
            open_model(request, SimpleNamespace(model=legacy), [], load)
        assert seen.value.args == (place, "my model")
        with pytest.raises(Seen) as seen:
            export_from_folder(legacy, "my model", "SAEHD", None, print, snapshot=text)
        assert seen.value.args == (place, "my model")
    with pytest.raises(ModelFileError, match="has no such snapshot"):
        files_of(legacy, "my model", "SAEHD", "two")
    with pytest.raises(UsageError, match="can be restored"):
        files_of(legacy, "my model", "SAEHD", "previous")

"""Hostile input ends with one clear error: exit code 1 or 2, the file named, nothing written."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from dfl_tf import models
from dfl_tf.data import face_index
from dfl_tf.data.faceset import Faceset
from dfl_tf.formats import read_metadata, write_metadata, write_model
from dfl_tf.options import OPTIONS, RunOptions
from tests.cli.support.workspaces import call, files, loose

CASES = Path(__file__).parent / "hostile"
PAKS = Path(__file__).parents[1] / "formats" / "paks"
FAR_FACE = Path(__file__).parents[1] / "data" / "cases" / "landmarks_1e300.jpg"
SMALL = {
    "resolution": 64, "face_type": "wf", "archi": "df", "ae_dims": 32, "e_dims": 16,
    "d_dims": 16, "d_mask_dims": 16, "batch_size": 2,
}  # fmt: skip


@pytest.fixture(scope="module")
def state():
    options = OPTIONS["SAEHD"](**SMALL)
    made = models.create("SAEHD", options, RunOptions(), name="t").state()
    return dataclasses.replace(made, options=dict(SMALL), iteration=20)


@pytest.fixture(scope="module")
def weights(state):
    options = OPTIONS["XSeg"]()
    return models.create("XSeg", options, RunOptions(), name="XSeg").state()


@pytest.fixture
def place(tmp_path: Path, state) -> Path:
    """A workspace: faces of both sides, frames of dst, the model t_SAEHD."""
    root = loose(tmp_path / "w")
    for face in (root / "data_dst" / "aligned").iterdir():
        metadata = read_metadata(face)
        frame = np.zeros((720, 1280, 3), np.uint8)
        cv2.imwrite(str(root / "data_dst" / metadata.source_filename), frame)
    write_model(root / "model", "t", state)
    return root


def copy(case: str, target: Path) -> None:
    target.write_bytes((CASES / case).read_bytes())


def data_of(case: str) -> Callable[[Path], None]:
    return lambda root: copy(f"data_dat/{case}", root / "model" / "t_SAEHD_data.dat")


def manifest_of(case: str) -> Callable[[Path], None]:
    return lambda root: copy(f"manifest/{case}", root / "model" / "t_SAEHD.manifest.json")


def newer_manifest(root: Path) -> None:
    path = root / "model" / "t_SAEHD.manifest.json"
    path.write_text(path.read_text().replace('"version": 2', '"version": 3'))


def session_of(case: str) -> Callable[[Path], None]:
    def harm(root: Path) -> None:
        for path in (CASES / "merge_session").glob(f"{case}*"):
            name = f"t_SAEHD_merge_session.json{path.name.removeprefix(case)}"
            copy(f"merge_session/{path.name}", root / "model" / name)

    return harm


def timestamps(root: Path) -> None:
    copy("timestamps/rate_zero.json", root / "data_dst" / "timestamps.json")


def far_face(root: Path) -> None:
    folder = root / "data_src" / "aligned"
    for path in folder.iterdir():
        metadata = read_metadata(path)
        corners = np.float32([[0.2, 0.2], [0.8, 0.2], [0.5, 0.8]]) * metadata.shape[0]
        write_metadata(path, dataclasses.replace(metadata, seg_ie_polys=[(1, corners)]))
    (folder / FAR_FACE.name).write_bytes(FAR_FACE.read_bytes())


def nothing(root: Path) -> None:
    pass


def pak_beside_a_link(root: Path) -> None:
    folder, other = root / "faces", root / "other"
    folder.mkdir()
    other.mkdir()
    (folder / "faceset.pak").write_bytes((PAKS / "person.pak").read_bytes())
    (folder / "p").symlink_to(other)


TRAIN = ("train", "W", "--name=t", "--no-preview")
MERGE = ("merge", "W", "--name=t", "--cpu")
TABLE = [
    ("ae_dims", data_of("ae_dims_1000000.dat"), (*TRAIN, "--plan"), "ae_dims"),
    ("ae_dims", data_of("ae_dims_1000000.dat"), (*TRAIN, "--set=target_iter=21"), "ae_dims"),
    ("ae_dims", data_of("ae_dims_1000000.dat"), MERGE, "t_SAEHD"),
    ("files", manifest_of("files_is_number.json"), ("model", "show", "W/model"), "files is 5"),
    ("files", manifest_of("files_is_number.json"), (*TRAIN, "--plan"), "--accept-changes"),
    ("files", manifest_of("files_is_number.json"), MERGE, "t_SAEHD.manifest.json"),
    ("seed", manifest_of("run_seed_text.json"), ("model", "show", "W/model"), "run.seed is "),
    ("seed", manifest_of("run_seed_text.json"), TRAIN, "t_SAEHD.manifest.json"),
    ("newer", newer_manifest, ("model", "show", "W/model"), "newer"),
    ("newer", newer_manifest, TRAIN, "newer"),
    ("journal", session_of("journal_deep.json"), (*MERGE, "--resume"), "merge_session"),
    ("journal", session_of("journal_list_key.json"), (*MERGE, "--resume"), "merge_session"),
    ("entry", session_of("entry_is_number.json"), (*MERGE, "--resume"), "frames.00001.png is 5"),
    ("bomb", nothing, (*MERGE, "--frame-config", "C/frame_config_alias_bomb.yaml"), "alias_bomb"),
    ("inf", nothing, (*MERGE, "--session", "C/legacy_merger_session_inf.dat"), "session_inf.dat"),
    ("nan", nothing, ("train", "--config", "C/run_src_nan.yaml"), "src"),
    ("onnx", nothing, ("export", "check", "C/onnx_bytes_in_shape.onnx"), "onnx_bytes_in_shape"),
    ("rate", timestamps, ("video", "merge", "W/data_dst", "-o", "W/x.mp4"), "timestamps.json"),
    ("link", pak_beside_a_link, ("faceset", "unpack", "W/faces"), "faceset.pak"),
]


@pytest.mark.parametrize(
    ("harm", "command", "says"),
    [row[1:] for row in TABLE],
    ids=[f"{name}-{row[0]}" for name, _, *row in TABLE],
)
def test_one_clear_error_and_nothing_is_written(place: Path, capsys, harm, command, says):
    harm(place)
    before = files(place)
    words = [
        str(CASES / word[2:]) if word.startswith("C/") else word.replace("W", str(place), 1)
        if word.startswith("W") else word
        for word in command
    ]  # fmt: skip
    code, out, err = call(capsys, *words)
    assert code in (1, 2), out + err
    assert says in (out if command[1] in ("check", "verify") else err)
    assert "Traceback" not in out + err
    assert files(place) == before


def test_damaged_manifest_can_be_accepted_and_is_kept(place: Path, capsys):
    manifest_of("files_is_number.json")(place)
    harmed = (place / "model" / "t_SAEHD.manifest.json").read_bytes()
    options = ("--accept-changes", "--target-iter=21", "--cpu")
    words = [place if word == "W" else word for word in (*TRAIN, *options)]
    code, out, err = call(capsys, *words)
    assert code == 0, err
    assert "used as they are, without it" in out + err
    kept = place / "model" / ".t_SAEHD.replaced" / "01" / "t_SAEHD.manifest.json"
    assert kept.read_bytes() == harmed
    assert call(capsys, "model", "show", place / "model")[0] == 0


def test_faces_that_cannot_be_used_are_left_out_and_named(place: Path, capsys):
    far_face(place)
    code, out, err = call(capsys, "faceset", "verify", place / "data_src" / "aligned")
    assert code == 0, err
    assert f"1 left out ({FAR_FACE.name}: a point is 1e+300 pixels away" in out


def test_pak_with_the_name_of_a_temporary_file_unpacks_whole(place: Path, capsys):
    folder = place / "faces"
    folder.mkdir()
    (folder / "faceset.pak").write_bytes((PAKS / "temporary_name.pak").read_bytes())
    code, out, err = call(capsys, "faceset", "unpack", folder)
    assert (code, out.split(",")[0]) == (0, "unpacked 2 faces"), err
    assert len(files(folder)) == 2


@pytest.mark.parametrize("link", [False, True])
def test_journal_of_masks_that_cannot_be_read(place: Path, capsys, weights, link):
    """Damaged: the work is done again, with a word. A link: nothing is written through it."""
    faces, victim = place / "data_src" / "aligned", place / "victim"
    write_model(place / "xseg", "XSeg", weights)
    journal = faces / "xseg_apply.journal"
    copy("xseg_apply.journal", victim)
    if link:
        journal.symlink_to(victim)
    else:
        journal.write_bytes(victim.read_bytes())
    before = victim.read_bytes()
    code, out, err = call(capsys, "xseg", "apply", faces, "--model-dir", place / "xseg", "--cpu")
    assert code == (1 if link else 0), out + err
    assert "xseg_apply.journal" in err or not link
    assert "Traceback" not in out + err
    assert victim.read_bytes() == before


def test_index_of_faces_that_cannot_be_used_is_made_again(place: Path, capsys, monkeypatch, caplog):
    monkeypatch.setenv("XDG_CACHE_HOME", str(place / "cache"))
    folder = place / "data_src" / "aligned"
    index = face_index._cache_file(folder)
    index.parent.mkdir(parents=True)
    copy("face_index/short_row.json", index)
    assert len(Faceset.open(folder, eager=1)) == 6
    assert "is made again" in caplog.text


def test_folder_that_is_named_by_a_number(place: Path, capsys, monkeypatch):
    place.rename(place.with_name("10"))
    monkeypatch.chdir(place.parent)
    line = ("train", "--config", CASES / "run_folder_number.yaml", "--name=t", "--plan")
    code, _, err = call(capsys, *line)
    assert code == 0, err


def test_escape_sequences_of_files_do_not_reach_the_terminal(place: Path, capsys):
    data_of("escape_in_option.dat")(place)
    face = "faces/escape_in_face_type.jpg"
    faces = place / "data_src" / "aligned"
    copy(face, faces / "escape.jpg")
    lines = [
        (*TRAIN, "--plan"),
        ("model", "show", place / "model"),
        ("faceset", "status", faces),
        ("faceset", "verify", faces),
        ("xseg", "status", faces),
    ]
    for line in lines:
        words = [place if word == "W" else word for word in line]
        _, out, err = call(capsys, *words)
        assert "\x1b" not in out + err, line

"""Workspaces, merger sessions, single files, manifests, audits."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfl_tf.disk import durable
from dfl_tf.errors import (
    LegacyFormatError,
    ModelFileError,
    UnsafePickleError,
    UsageError,
    WorkspaceError,
)
from dfl_tf.formats import scan, write_model
from dfl_tf.formats.models import json_tree
from dfl_tf.formats.models.manifest import FileEntry, Manifest, parse_manifest
from dfl_tf.formats.models.report import same_value
from dfl_tf.formats.sessions.merge_session import read_merge_session
from dfl_tf.formats.sessions.workspace import Workspace, user_path
from tests.formats.samples import GOLDEN, GOLDEN_DATA, make_state


def test_workspace_names_its_folders(tmp_path: Path) -> None:
    for person in ("src", "dst"):
        (tmp_path / f"data_{person}" / "aligned").mkdir(parents=True)
    found = Workspace.open(tmp_path)
    assert found.src == tmp_path / "data_src" / "aligned"
    assert found.model == tmp_path / "model"
    assert found.merged == tmp_path / "data_dst" / "merged"
    assert found.pretrain is None
    assert found.models() == []
    write_model(found.model, "x", make_state())
    assert found.models("SAEHD")[0].name == "x"


def test_release_folder_is_its_workspace_and_has_faces_for_pretraining(tmp_path: Path) -> None:
    for person in ("src", "dst"):
        (tmp_path / "workspace" / f"data_{person}" / "aligned").mkdir(parents=True)
    faces = tmp_path / "_internal" / "pretrain_faces"
    faces.mkdir(parents=True)
    (faces / "faceset.pak").touch()
    found = Workspace.open(tmp_path)
    assert (found.root, found.pretrain) == (tmp_path / "workspace", faces)


def test_everything_missing_is_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(WorkspaceError, match=r"src faces.*dst faces"):
        Workspace.open(tmp_path)
    assert Workspace.open(tmp_path, need=()).dst_frames == tmp_path / "data_dst"
    given = Workspace.open(tmp_path, src=tmp_path, dst=tmp_path, model=tmp_path / "m")
    assert (given.src, given.model) == (tmp_path, tmp_path / "m")


@pytest.mark.golden
def test_genuine_merger_session_is_read() -> None:
    found = read_merge_session(GOLDEN / "sample_merger_session.dat")
    assert (found.remaining, found.finished, found.model_iteration) == ([1, 2], [0], 12345)
    assert [f.filepath for f in found.frames] == [f"data_dst/0000{i}.png" for i in (1, 2, 3)]
    assert [len(f.landmarks) for f in found.frames] == [1, 1, 0]
    assert [f.done for f in found.frames] == [True, False, False]
    first, second, third = (f.config for f in found.frames)
    assert third is None
    assert first is not None
    assert second is not None
    assert (first["mode"], first["face_type"], first["erode_mask_modifier"]) == ("seamless", 4, 0)
    assert second["erode_mask_modifier"] == 5
    assert found.frames[0].motion_power == pytest.approx(4.47213595)


@pytest.mark.parametrize(
    "value", [b"G\x7f\xf0" + bytes(6), b"G\x40\x08" + bytes(6), b"X\x01\0\0\0a"]
)
def test_session_whose_counts_are_no_whole_numbers_is_refused(tmp_path: Path, value: bytes) -> None:
    data = (GOLDEN / "sample_merger_session.dat").read_bytes()
    count = b"M90"  # 12345 in two bytes
    assert data.count(count) == 1
    path = tmp_path / "x_merger_session.dat"
    path.write_bytes(data.replace(count, value))
    with pytest.raises(LegacyFormatError, match="not have the form of a merger session"):
        read_merge_session(path)


def test_session_may_not_ask_for_other_attributes(tmp_path: Path) -> None:
    data = (GOLDEN / "sample_merger_session.dat").read_bytes()
    path = tmp_path / "x_merger_session.dat"
    path.write_bytes(data.replace(b"X\x05\x00\x00\x00Frame", b"X\x05\x00\x00\x00Other"))
    with pytest.raises(LegacyFormatError, match="attribute"):
        read_merge_session(path)
    path.write_bytes(data.replace(b"cpathlib\nPosixPath", b"cpathlib\nPosixOath"))
    with pytest.raises(UnsafePickleError, match=r"pathlib\.PosixOath"):
        read_merge_session(path)


def test_write_file_leaves_the_old_one_when_it_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x"
    durable.write_file(path, b"old")

    def full(*args: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(WorkspaceError, match="The disk is full"):
        durable.write_file(path, b"new")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["x"]
    with pytest.raises(WorkspaceError, match="does not exist"):
        durable.write_file(tmp_path / "no" / "x", b"")


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9) | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(st.text(max_size=5) | st.integers(), inner, max_size=4)
    ),
    max_leaves=20,
)


@settings(max_examples=60, deadline=None)
@given(plain)
def test_any_plain_value_survives_the_json_of_native_models(value: object) -> None:
    arrays: dict[str, object] = {}
    stored = json_tree.encode({"v": value, "w": np.arange(3), "s": np.array("ab")}, arrays)
    found = json_tree.decode(stored, arrays, what="x")
    assert same_value(found["v"], value)
    assert same_value(found["w"], np.arange(3))
    assert found["s"] == "ab"


@settings(max_examples=40, deadline=None)
@given(
    st.dictionaries(
        st.text("abc_.", min_size=1, max_size=12).filter(lambda name: name.strip(".")),
        st.builds(FileEntry, st.integers(0, 2**60), st.text("0123456789abcdef", max_size=64)),
        max_size=5,
    ),
    st.integers(0, 10**9),
    st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5), max_size=4),
)
def test_any_manifest_survives_a_round_trip_and_notices_a_flipped_bit(
    files: dict[str, FileEntry], iteration: int, run: dict[str, object]
) -> None:
    manifest = Manifest("SAEHD", "a ü", "legacy", iteration, files, run)
    data = manifest.to_bytes()
    assert parse_manifest(data, what="x") == manifest
    damaged = bytearray(data)
    damaged[len(data) // 2] ^= 4
    with pytest.raises(ModelFileError, match=r"manifest|newer"):
        parse_manifest(bytes(damaged), what="x")


def test_scan_accepts_what_is_genuine_and_tells_the_kinds() -> None:
    found = list(scan.scan(GOLDEN))
    assert all(result.accepted for result in found), [vars(r) for r in found if not r.accepted]
    assert {result.kind for result in found} == {"pickle", "other"}
    (pak,) = [r for r in scan.scan(GOLDEN_DATA / "packed") if r.kind == "pak"][:1]
    assert pak.accepted
    assert "facelib.FaceType.FaceType" in pak.globals


def test_scan_looks_into_native_models_and_names_damage(tmp_path: Path) -> None:
    write_model(tmp_path, "x", make_state(), format="native")
    assert all(result.accepted for result in scan.scan(tmp_path))
    path = tmp_path / "x_SAEHD.dfl" / "encoder.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    (bad,) = [result for result in scan.scan(tmp_path) if not result.accepted]
    assert bad.path == path


def test_home_folder_of_nobody_is_one_clear_error() -> None:
    with pytest.raises(UsageError, match="home folder that ~ stands for is not known"):
        user_path("~no_such_user_here/workspace")
    assert user_path("~/x") == Path.home() / "x"


def test_relative_path_from_a_deleted_folder_is_one_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data_src" / "aligned").mkdir(parents=True)
    (tmp_path / "data_dst" / "aligned").mkdir(parents=True)
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    shutil.rmtree(gone)
    with pytest.raises(UsageError, match="the current folder was deleted"):
        Workspace.open("work")
    assert Workspace.open(tmp_path).root == tmp_path
    monkeypatch.chdir(tmp_path)

"""Evil model folders: pipes, devices, links and names that would harm beyond the folder."""

from __future__ import annotations

import math
import os
import struct
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from dfl_tf.data.faceset import Faceset
from dfl_tf.disk.durable import write_durably
from dfl_tf.disk.temporary_names import staged
from dfl_tf.errors import DflTfError, LegacyFormatError, ModelFileError, WorkspaceError
from dfl_tf.formats import (
    ModelLock,
    find_models,
    model_files,
    read_metadata,
    read_model,
    read_pak,
    write_model,
)
from dfl_tf.formats.faces.dfljpg import MAX_IMAGE_BYTES
from dfl_tf.formats.models import convert as model_convert
from dfl_tf.formats.models import safetensors_file
from dfl_tf.formats.models.legacy import read_part
from dfl_tf.formats.models.manifest import FileEntry, read_manifest
from dfl_tf.formats.scan import scan, scan_file
from tests.formats.samples import make_face, make_state

READERS: dict[str, Callable[[Path], object]] = {
    "x.npy": read_part,
    "x.pak": read_pak,
    "x.jpg": read_metadata,
    "x.safetensors": safetensors_file.load,
    "x.manifest.json": read_manifest,
}


def _pipe(path: Path) -> None:
    os.mkfifo(path)


def _endless(path: Path) -> None:
    path.symlink_to("/dev/zero")


@pytest.mark.parametrize("make", [_pipe, _endless])
@pytest.mark.parametrize("name", sorted(READERS))
def test_pipe_and_endless_device_are_refused_at_once(
    name: str, make: Callable[[Path], None], tmp_path: Path
) -> None:
    make(tmp_path / name)
    with pytest.raises(DflTfError, match="not a regular file"):
        READERS[name](tmp_path / name)
    result = scan_file(tmp_path / name)
    assert result.kind == "special"
    assert not result.accepted


def test_model_with_a_pipe_for_a_part_is_an_error(tmp_path: Path) -> None:
    write_model(tmp_path, "x", make_state())
    (tmp_path / "x_SAEHD.manifest.json").unlink()
    (tmp_path / "x_SAEHD_encoder.npy").unlink()
    os.mkfifo(tmp_path / "x_SAEHD_encoder.npy")
    with pytest.raises(LegacyFormatError, match="not a regular file"):
        read_model(tmp_path, "x", "SAEHD")


def test_folder_of_faces_with_a_pipe_in_it_opens(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(make_face())
    os.mkfifo(tmp_path / "b.jpg")
    faces = Faceset.open(tmp_path)
    assert [faces.name(index) for index in range(len(faces))] == ["a.jpg"]


@pytest.mark.parametrize("exists", [True, False])
def test_save_writes_through_no_link(exists: bool, tmp_path: Path) -> None:
    write_model(tmp_path / "model", "x", make_state(), summary="old")
    victim = tmp_path / "victim"
    if exists:
        victim.write_text("precious")
    for name in ("x_SAEHD_encoder.npy", "x_SAEHD_summary.txt", "x_SAEHD.commit.json"):
        staged(tmp_path / "model" / name).symlink_to(victim)
    write_model(tmp_path / "model", "x", make_state(9), summary="option_of_somebody")
    assert victim.exists() == exists
    assert not exists or victim.read_text() == "precious"
    assert read_model(tmp_path / "model", "x", "SAEHD").iteration == 9
    assert (tmp_path / "model" / "x_SAEHD_summary.txt").read_text() == "option_of_somebody"


def test_lock_is_not_taken_through_a_link(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / "x_SAEHD.lock").symlink_to(victim)
    with pytest.raises(WorkspaceError, match=r"is a link.*Remove it"):
        ModelLock(tmp_path, "x", "SAEHD").__enter__()
    assert victim.read_text() == "precious"


def test_names_that_would_write_to_the_terminal_are_no_models(tmp_path: Path) -> None:
    write_model(tmp_path, "good", make_state())
    for name in ("a\nb", "\x1b[31mred", "b\u202egpj"):
        path = os.fsencode(tmp_path) + b"/" + os.fsencode(f"{name}_SAEHD_data.dat")
        Path(os.fsdecode(path)).write_bytes(b"")
    assert [model.name for model in find_models(tmp_path)] == ["good"]


@pytest.mark.parametrize("form", ["legacy", "native"])
def test_model_names_need_not_be_utf8(tmp_path: Path, form: Literal["legacy", "native"]) -> None:
    name = os.fsdecode(b"\xff\xe3\x80\x80b")
    for _ in range(2):
        write_model(tmp_path, name, make_state(), format=form)
    assert [model.name for model in find_models(tmp_path)] == [name]
    found = read_model(tmp_path, name, "SAEHD")
    assert list(found.tensors) == list(make_state().tensors)
    assert found.notes == ()


def test_files_of_a_model_whose_name_begins_with_another_are_not_mixed(tmp_path: Path) -> None:
    """`my_AMP` of class SAEHD is `my_AMP_SAEHD_…`, beside `my` of class AMP, `my_AMP_…`."""
    models = [("my", "AMP"), ("my_AMP", "SAEHD"), ("XSeg", "XSeg"), ("XSeg_b", "Quick96")]
    for name, model_class in models:
        write_model(tmp_path, name, make_state(model_class=model_class))
    for name, model_class in models:
        found = read_model(tmp_path, name, model_class)
        assert set(found.tensors) == set(make_state(model_class=model_class).tensors)
    assert not [p for p in model_files(tmp_path, "my", "AMP") if "SAEHD" in p.name]
    model_convert.rename_model(tmp_path, "my", "other", "AMP")
    assert read_model(tmp_path, "my_AMP", "SAEHD").notes == ()


# -- native models whose checksums are right and whose content is not ------------------------------
def _signed(folder: Path, *, options: object = None, history: dict[str, Any] | None = None) -> None:
    """Save a native model, then change it as somebody would who can make checksums."""
    write_model(folder, "x", make_state(), format="native")
    place = folder / "x_SAEHD.dfl"
    found = read_manifest(place / "manifest.json")
    assert found is not None
    files, payload = dict(found.files), dict(found.payload)
    if history is not None:  # as it was stored before manifest version 2
        del files["loss_history.rows"]
    if options is not None:
        payload["options"] = options
    if history:
        path = place / "loss_history.safetensors"
        size, digest = write_durably(path, lambda write: safetensors_file.dump(history, write))
        files[path.name] = FileEntry(size, digest)
    changed = replace(found, files=files, payload=payload)
    (place / "manifest.json").write_bytes(changed.to_bytes())


@pytest.mark.parametrize(
    "history",
    [
        {},
        {"lengths": np.array([1, 2])},
        {"lengths": np.int64(3), "values": np.arange(3.0)},
        {"lengths": np.array([[1, 2]]), "values": np.arange(3.0)},
        {"lengths": np.array([1]), "values": np.float64(3)},
        {"lengths": np.array([np.nan]), "values": np.arange(3.0)},
        {"lengths": np.array([4, -1]), "values": np.arange(3.0)},
    ],
)
def test_signed_history_of_a_wrong_form_is_an_error(
    history: dict[str, Any], tmp_path: Path
) -> None:
    _signed(tmp_path, history=history)
    with pytest.raises(ModelFileError, match=r"damaged|loss_history.rows is missing"):
        read_model(tmp_path, "x", "SAEHD")


@pytest.mark.parametrize(
    "options",
    [
        [1],
        {"a": {"$enum": ["module", "name", math.inf]}},
        {"a": {"$array": "999"}},
        {"a": {"$text": ["<U99999999", [1], "AAAA"]}},
        {"a": {"$dict": [[[1], 2]]}},
        {"a": {"$bytes": "é"}},
    ],
)
def test_signed_options_of_a_wrong_form_are_an_error(options: object, tmp_path: Path) -> None:
    _signed(tmp_path, options=options)
    with pytest.raises(ModelFileError, match="damaged"):
        read_model(tmp_path, "x", "SAEHD")


# -- files that are two things at once, or far larger than what they stand for --------------------
def test_zip_archives_are_refused_and_data_after_a_pickle_is_never_read(tmp_path: Path) -> None:
    path = tmp_path / "x_SAEHD_encoder.npy"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("data.pkl", b"cos\nsystem\n.")
    with pytest.raises(LegacyFormatError, match="not a readable pickle"):
        read_part(path)
    assert not scan_file(path).accepted
    # a pickle in front of an archive: both are valid, and only the pickle is read
    archive_bytes = path.read_bytes()
    path.write_bytes(b"\x80\x04}." + archive_bytes)
    assert zipfile.is_zipfile(path)
    assert read_part(path) == {}
    assert scan_file(path).globals == []


def test_json_of_millions_of_lists_is_refused_by_its_size(tmp_path: Path) -> None:
    text = b'{"a":[' + b"[]," * (17 << 20) + b"[]]}"
    manifest = tmp_path / "x.manifest.json"
    manifest.write_bytes(text)
    with pytest.raises(ModelFileError, match="holds more values"):
        read_manifest(manifest)
    tensors = tmp_path / "x.safetensors"
    tensors.write_bytes(struct.pack("<Q", len(text)) + text)
    with pytest.raises(ModelFileError, match="declares a header"):
        safetensors_file.load(tensors)


def test_image_of_gigabytes_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "x.jpg"
    with path.open("wb") as file:
        file.write(b"\xff\xd8")
        file.truncate(MAX_IMAGE_BYTES + 1)
    with pytest.raises(DflTfError, match="at most"):
        read_metadata(path)
    assert not scan_file(path).accepted


def test_scan_tells_what_it_did_not_look_at_and_links_to_nothing(tmp_path: Path) -> None:
    (tmp_path / "read me.txt").write_text("x")
    (tmp_path / "gone.npy").symlink_to(tmp_path / "nowhere")
    kinds = {result.path.name: result.kind for result in scan(tmp_path)}
    assert kinds == {"read me.txt": "other", "gone.npy": "special"}

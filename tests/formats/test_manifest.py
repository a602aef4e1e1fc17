"""Manifest version 2, what is read of version 1, and the loss history that only grows."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from dfl_tf.errors import ModelFileError
from dfl_tf.formats import read_model, write_model
from dfl_tf.formats.models import history_rows, manifest, safetensors_file
from dfl_tf.formats.models.manifest import FileEntry, Manifest, parse_manifest
from tests.formats.samples import make_state


def version_1(entries: dict[str, dict[str, object]], **more: object) -> bytes:
    body = {
        "version": 1, "model_class": "SAEHD", "name": "x", "format": "legacy", "iteration": 50,
        "run": {"seed": 3}, "files": entries, "payload": {}, **more,
    }  # fmt: skip
    return json.dumps(body | {"checksum": manifest._checksum(body)}).encode()


def test_version_1_is_read_with_roles_by_name() -> None:
    entry = {"size": 3, "sha256": "ab", "mtime_ns": 5, "changed": True, "stale": False}
    files = {
        "x_SAEHD_encoder.npy": entry,
        "x_SAEHD_src_dst_opt.npy": entry,
        "x_SAEHD_GAN.npy": entry | {"stale": True},
        "x_SAEHD_data.dat": entry,
    }
    found = parse_manifest(version_1(files), what="x")
    assert [(e.role, e.off, e.iteration) for e in found.files.values()] == [
        ("network", False, 50), ("optimizer", False, 50), ("network", True, None),
        ("data", False, 50),
    ]  # fmt: skip
    assert found.run == {"seed": 3}


def test_a_manifest_changed_by_hand_is_damaged() -> None:
    data = version_1({})
    assert parse_manifest(data, what="x").iteration == 50
    with pytest.raises(ModelFileError, match="checksum"):
        parse_manifest(data.replace(b'"iteration": 50', b'"iteration": 51'), what="x")


@pytest.mark.slow
def test_version_1_is_read_far_beyond_sixteen_mebibytes(tmp_path: Path) -> None:
    history = np.random.default_rng(0).random((400_000, 2)).tolist()
    path = tmp_path / "manifest.json"
    path.write_bytes(version_1({}, payload={"loss_history": history}))
    assert path.stat().st_size > 16 << 20
    found = manifest.read_manifest(path)
    assert found is not None
    assert found.payload["loss_history"] == history


def test_set_of_version_1_opens_and_is_saved_as_version_2(tmp_path: Path) -> None:
    """A native model as it was saved before: one safetensors file for the history."""
    state = make_state(4)
    write_model(tmp_path, "x", state, format="native")
    folder = tmp_path / "x_SAEHD.dfl"
    (folder / "loss_history.rows").unlink()
    columns = {
        "lengths": np.full(4, 2),
        "values": np.asarray(state.loss_history, np.float64).ravel(),
    }
    with (folder / "loss_history.safetensors").open("wb") as file:
        safetensors_file.dump(columns, file.write)
    body = json.loads((folder / "manifest.json").read_text())
    for key in ("checksum", "snapshot"):
        del body[key]
    body["version"] = 1
    del body["files"]["loss_history.rows"]
    from dfl_tf.formats.models.survey import entry_of

    entry = entry_of(folder / "loss_history.safetensors")
    body["files"]["loss_history.safetensors"] = {"size": entry.size, "sha256": entry.sha256}
    for stored in body["files"].values():
        for key in ("role", "iteration", "off"):
            stored.pop(key, None)
    text = json.dumps(body | {"checksum": manifest._checksum(body)})
    (folder / "manifest.json").write_text(text)
    found = read_model(tmp_path, "x", "SAEHD")
    assert found.loss_history == state.loss_history
    assert found.notes == ()
    write_model(tmp_path, "x", make_state(5))
    again = read_model(tmp_path, "x", "SAEHD")
    assert (again.iteration, again.notes) == (5, ())
    assert json.loads((folder / "manifest.json").read_text())["version"] == 2
    assert not (folder / "loss_history.safetensors").exists()
    assert read_model(tmp_path, "x", "SAEHD", previous=True).iteration == 4


@pytest.mark.parametrize("room", [0, -1])
def test_one_limit_for_writing_and_reading(
    room: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Manifest("SAEHD", "x", "native", 5, {"a": FileEntry(1, "ab")}, {"seed": 1})
    path = tmp_path / "manifest.json"
    path.write_bytes(made.to_bytes())
    monkeypatch.setattr(manifest, "LARGEST", path.stat().st_size + room)
    if room == 0:
        assert parse_manifest(made.to_bytes(), what="x") == made
        assert manifest.read_manifest(path) == made
        return
    with pytest.raises(ModelFileError, match="at most"):
        made.to_bytes()
    with pytest.raises(ModelFileError, match="at most"):
        manifest.read_manifest(path)


@pytest.mark.parametrize("room", [0, -1])
def test_one_limit_for_the_history(
    room: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [[1.0, 2.0], [3.0]]
    path = tmp_path / "rows"
    path.write_bytes(history_rows.pack(rows))
    size = path.stat().st_size
    monkeypatch.setattr(history_rows, "LARGEST", size + room)
    if room == 0:
        assert history_rows.read(path, len(history_rows.pack(rows))) == rows
        return
    with pytest.raises(ModelFileError, match="are read"):
        history_rows.pack(rows)
    with pytest.raises(ModelFileError, match="are read"):
        history_rows.read(path, size)


@pytest.mark.parametrize(
    "rows", [[], [[1.0, 2.0]] * 300, [[1.0], [1.0, 2.0], [], [3.0]] * 90, [[]], [[0.1] * 7]]
)
def test_rows_of_any_lengths_come_back(rows: list[list[float]], tmp_path: Path) -> None:
    path = tmp_path / "rows"
    data = history_rows.pack(rows)
    path.write_bytes(data + b"of a save that was never recorded")
    assert history_rows.read(path, len(data)) == rows


def test_torn_or_absurd_rows_are_an_error(tmp_path: Path) -> None:
    path = tmp_path / "rows"
    data = history_rows.pack([[1.0, 2.0]] * 3)
    for bad in (data[:-1], data + b"\xff\xff\xff\xff"):
        path.write_bytes(bad)
        with pytest.raises(ModelFileError, match="torn row"):
            history_rows.read(path, len(bad))


def test_history_is_appended_and_stays_valid_for_the_previous_set(tmp_path: Path) -> None:
    write_model(tmp_path, "x", make_state(5), format="native")
    path = tmp_path / "x_SAEHD.dfl" / "loss_history.rows"
    first = (path.stat().st_ino, path.read_bytes())
    with path.open("ab") as file:  # an append that was never recorded
        file.write(b"leftover")
    write_model(tmp_path, "x", make_state(9), format="native")
    assert path.stat().st_ino == first[0]
    assert path.read_bytes() == history_rows.pack(make_state(9).loss_history)
    assert read_model(tmp_path, "x", "SAEHD").loss_history == make_state(9).loss_history
    previous = read_model(tmp_path, "x", "SAEHD", previous=True)
    assert previous.loss_history == make_state(5).loss_history
    # a history that does not go on where the file ends is written beside: nothing is cut off
    write_model(tmp_path, "x", make_state(2), format="native")
    assert path.stat().st_ino != first[0]
    assert len(read_model(tmp_path, "x", "SAEHD").loss_history) == 2
    assert len(read_model(tmp_path, "x", "SAEHD", previous=True).loss_history) == 9


def test_save_over_which_another_program_wrote_is_not_rolled_forward(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Our swap is interrupted at its first rename; then the old program trains on."""
    write_model(tmp_path, "x", make_state(5))
    real = os.replace

    def interrupted(source: str | Path, target: str | Path) -> None:
        if str(source).endswith(".npy.dfl_tf-new"):
            raise KeyboardInterrupt
        real(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", interrupted)
        with pytest.raises(KeyboardInterrupt):
            write_model(tmp_path, "x", make_state(6))
    assert read_model(tmp_path, "x", "SAEHD").iteration == 6
    write_model(tmp_path / "other", "x", make_state(100))
    for path in (tmp_path / "other").glob("x_SAEHD*"):
        if path.suffix in (".npy", ".dat"):
            (tmp_path / path.name).write_bytes(path.read_bytes())
    assert read_model(tmp_path, "x", "SAEHD").iteration == 100
    write_model(tmp_path, "x", make_state(101))
    assert read_model(tmp_path, "x", "SAEHD", previous=True).iteration == 100
    aside = [path.name for path in (tmp_path / ".x_SAEHD.replaced" / "01").iterdir()]
    assert "x_SAEHD_encoder.npy" in aside

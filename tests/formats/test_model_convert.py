"""Conversion with proof, renaming, restoring; the safetensors files beside the official library."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from dfl_tf.errors import ModelFileError, UsageError
from dfl_tf.formats import find_models, read_model, write_model
from dfl_tf.formats.models import convert as model_convert
from dfl_tf.formats.models import rescue as model_rescue
from dfl_tf.formats.models import safetensors_file
from dfl_tf.formats.models.report import diff_states, report
from dfl_tf.formats.models.restore import find_kept, restore
from tests.formats.samples import make_state


@pytest.mark.parametrize("to", ["native", "legacy"])
def test_conversion_proves_every_tensor_and_the_rest(to: str, tmp_path: Path) -> None:
    other = "legacy" if to == "native" else "native"
    write_model(tmp_path / "a", "x", make_state(), format=other, summary="text")
    found = model_convert.convert(tmp_path / "a", tmp_path / "b", "x", "SAEHD", to=to)
    assert found["passed"]
    assert all(a == b for part in found["tensors"].values() for a, b in part.values())
    assert found == json.loads((tmp_path / "b" / "x_SAEHD_conversion.json").read_text())
    state = read_model(tmp_path / "b", "x", "SAEHD")
    assert diff_states(state, make_state())["same"]
    assert state.run == make_state().run
    assert find_models(tmp_path / "b")[0].format == to
    assert (tmp_path / "b" / "x_SAEHD_summary.txt").read_text() == "text"


def test_conversion_in_place_makes_the_other_format_the_current_one(tmp_path: Path) -> None:
    write_model(tmp_path, "x", make_state())
    assert model_convert.convert(tmp_path, tmp_path, "x", "SAEHD", to="native")["passed"]
    write_model(tmp_path, "x", make_state(9))
    assert read_model(tmp_path, "x", "SAEHD").iteration == 9
    assert read_model(tmp_path, "x", "SAEHD", format="legacy").iteration == 7


def test_conversion_overwrites_nothing(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        write_model(tmp_path / folder, "x", make_state())
    with pytest.raises(ModelFileError, match="already has a model x_SAEHD"):
        model_convert.convert(tmp_path / "a", tmp_path / "b", "x", "SAEHD", to="native")


def test_failing_proof_of_what_is_computed_fails_the_conversion(tmp_path: Path) -> None:
    write_model(tmp_path / "a", "x", make_state())
    found = model_convert.convert(
        tmp_path / "a",
        tmp_path / "b",
        "x",
        "SAEHD",
        to="native",
        proof=lambda before, after: {"passed": False, "forward": 0.5},
    )
    assert not found["passed"]
    assert found["differences"]["same"]


@pytest.mark.parametrize("kind", ["legacy", "native"])
def test_rename_moves_one_model_with_its_folders(kind: str, tmp_path: Path) -> None:
    for name in ("old", "old_two"):
        write_model(tmp_path, name, make_state(), format=kind, summary=name)
    write_model(tmp_path, "old", make_state(8))
    write_model(tmp_path, "old", make_state(9, model_class="AMP"), format="legacy")
    (tmp_path / "old_SAEHD_history").mkdir()
    model_convert.rename_model(tmp_path, "old", "new_name", "SAEHD")
    names = {(m.name, m.model_class) for m in find_models(tmp_path)}
    assert names == {("new_name", "SAEHD"), ("old_two", "SAEHD"), ("old", "AMP")}
    found = read_model(tmp_path, "new_name", "SAEHD")
    assert diff_states(found, make_state(8))["same"]
    assert found.notes == ()
    assert (tmp_path / "new_name_SAEHD_history").is_dir()
    assert not list(tmp_path.glob("old_SAEHD*"))
    with pytest.raises(UsageError, match="already"):
        model_convert.rename_model(tmp_path, "old_two", "new_name", "SAEHD")


def test_interrupted_renaming_goes_on_when_it_is_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_model(tmp_path, "old", make_state(8))
    link, done = model_convert._link_or_copy, []

    def interrupted(source: Path, target: Path) -> None:
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(target)
        link(source, target)

    monkeypatch.setattr(model_convert, "_link_or_copy", interrupted)
    with pytest.raises(KeyboardInterrupt):
        model_convert.rename_model(tmp_path, "old", "new", "SAEHD")
    assert read_model(tmp_path, "old", "SAEHD").iteration == 8
    monkeypatch.setattr(model_convert, "_link_or_copy", link)
    write_model(tmp_path, "third", make_state(9))
    with pytest.raises(UsageError, match="already"):  # another model may not take its place
        model_convert.rename_model(tmp_path, "third", "new", "SAEHD")
    model_convert.rename_model(tmp_path, "old", "new", "SAEHD")
    assert {m.name for m in find_models(tmp_path)} == {"new", "third"}
    found = read_model(tmp_path, "new", "SAEHD")
    assert diff_states(found, make_state(8))["same"]
    assert found.notes == ()


def test_restoring_a_backup_keeps_what_was_there(tmp_path: Path) -> None:
    write_model(tmp_path, "x", make_state(7))
    backup = tmp_path / "x_SAEHD_autobackups" / "01"
    write_model(backup, "x", make_state(3))
    assert model_rescue.backups(tmp_path, "x", "SAEHD") == [backup]
    done = restore(tmp_path, "x", "SAEHD", find_kept(tmp_path, "x", "SAEHD", "1"))
    assert read_model(tmp_path, "x", "SAEHD").iteration == 3
    assert read_model(tmp_path, "x", "SAEHD", previous=True).iteration == 7
    write_model(tmp_path, "x", make_state(4))  # the previous set is another now
    assert (done.state.iteration, done.aside) == (3, None)
    assert done.kept == tmp_path / "x_SAEHD_snapshots" / "replaced-7"
    assert diff_states(read_model(done.kept, "x", "SAEHD"), make_state(7))["same"]


def test_damaged_backup_changes_nothing(tmp_path: Path) -> None:
    write_model(tmp_path, "x", make_state(7))
    backup = tmp_path / "x_SAEHD_autobackups" / "01"
    write_model(backup, "x", make_state(3))
    (backup / "x_SAEHD_encoder.npy").write_bytes(b"damage")
    with pytest.raises(ModelFileError, match="x_SAEHD_encoder"):
        restore(tmp_path, "x", "SAEHD", find_kept(tmp_path, "x", "SAEHD", "01"))
    assert read_model(tmp_path, "x", "SAEHD").iteration == 7


def test_diff_names_what_differs() -> None:
    first = make_state()
    tensors = {part: dict(values) for part, values in first.tensors.items()}
    tensors["encoder"]["down1/downs_0/conv1/bias:0"] = np.full(4, 0.5, np.float32)
    del tensors["src_dst_opt"]
    second = replace(first, tensors=tensors, options=first.options | {"resolution": 96})
    found = diff_states(first, second)
    assert not found["same"]
    assert found["options"] == {"resolution": [64, 96]}
    assert found["parts"]["encoder"] == {"down1/downs_0/conv1/bias:0": {"max": 0.5, "mean": 0.5}}
    assert found["parts"]["src_dst_opt"] == {"only_in": "first"}


def test_report_counts_and_finds_what_is_not_finite(tmp_path: Path) -> None:
    state = make_state()
    state.tensors["encoder"]["down1/downs_0/conv1/bias:0"][1] = np.nan
    write_model(tmp_path, "x", state)
    _, facts = report(tmp_path, "x", "SAEHD")
    encoder = facts["parts"]["encoder"]
    assert (encoder["tensors"], encoder["parameters"]) == (2, 304)
    assert encoder["not_finite"] == 1
    assert facts["iteration"] == 7
    assert {file["name"] for file in facts["files"]} >= {"x_SAEHD_data.dat"}
    json.dumps(facts, default=str)


def test_safetensors_files_agree_with_the_official_library(tmp_path: Path) -> None:
    tensors = {
        "z": np.arange(6, dtype=np.float32).reshape(2, 3),
        "a": np.float16([1, 2]),
        "iters:0": np.int64(5),
        "empty": np.zeros((0, 3), np.float64),
        "flag": np.array([True, False]),
    }
    path = tmp_path / "x.safetensors"
    with path.open("wb") as file:
        safetensors_file.dump(tensors, file.write)
    official = safetensors.numpy.load_file(path)
    ours = safetensors_file.load(path)
    assert list(ours) == list(tensors)
    for key, value in tensors.items():
        assert np.array_equal(official[key], value)
        assert official[key].dtype == np.asarray(value).dtype == np.asarray(ours[key]).dtype
        assert np.array_equal(ours[key], value)
    safetensors.numpy.save_file({"w": np.ones((2, 2), np.float32)}, tmp_path / "y.safetensors")
    assert np.array_equal(safetensors_file.load(tmp_path / "y.safetensors")["w"], np.ones((2, 2)))

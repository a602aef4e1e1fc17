"""`dfl-tf export`: files beside the model, verified; errors on stderr with the right exit code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import onnx
import pytest
import tensorflow as tf

from dfl_tf import models
from dfl_tf.cli.main import run
from dfl_tf.export import onnx_check, onnx_graph
from dfl_tf.formats import write_model
from dfl_tf.options import OPTIONS, RunOptions, default

DIMS = {"resolution": 64, "ae_dims": 32, "e_dims": 16, "d_dims": 16, "d_mask_dims": 16}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a SAEHD of name "ann" and an AMP of name "bob", both with optimizer files."""
    place = tmp_path_factory.mktemp("model")
    for name, model_class, more in (
        ("ann", "SAEHD", {"archi": "df-ud"}),
        ("bob", "AMP", {"inter_dims": 32}),
    ):
        options = default(OPTIONS[model_class], **DIMS, **more)
        model = models.create(model_class, options, RunOptions(seed=1, cpu=True), name=name)
        write_model(place, name, model.state())
    return place


@pytest.fixture(autouse=True)
def _eager() -> Any:
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


def test_dfm_beside_the_model(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["export", "dfm", str(folder), "--name", "ann", "--class", "SAEHD"]) == 0
    path = folder / "ann_SAEHD_model.dfm"
    assert onnx_check.lint(path, "SAEHD") == []
    printed = capsys.readouterr().out
    assert f"{path}: " in printed
    assert "bytes a parameter" in printed
    assert printed.count("largest difference") == 3


def test_json_and_output(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["export", "dfm", str(folder), "--name", "bob", "-o", str(tmp_path), "--json"]
    assert run([*command, "--precision", "float16", "--no-provenance"]) == 0
    found = json.loads(capsys.readouterr().out)
    path = tmp_path / "bob_AMP_model.dfm"
    assert found["file"] == str(path)
    assert found["bytes"] == path.stat().st_size
    assert found["class"] == "AMP"
    assert found["precision"] == "float16"
    assert found["verified"] is True
    assert found["metadata"] == {}
    assert max(found["differences"].values()) <= found["tolerance"] == 2e-3
    memory = found["memory"]
    # 0 where memory that the process had before was enough
    assert memory["peak_bytes"] >= 0
    per_parameter = memory["peak_bytes"] / found["parameters"]
    assert memory["peak_bytes_per_parameter"] == pytest.approx(per_parameter, abs=0.05)


def test_check_with_and_without_the_model(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.dfm"
    made = ["export", "dfm", str(folder), "--name", "ann", "-o", str(path), "--no-verify"]
    assert run(made) == 0
    assert "not verified" in capsys.readouterr().out
    assert run(["export", "check", str(path)]) == 0
    assert "good" in capsys.readouterr().out
    assert run(["export", "check", str(path), "--model-dir", str(folder)]) == 0
    assert "largest difference" in capsys.readouterr().out

    model = onnx.load_model(str(path), format="protobuf")
    weight = model.graph.initializer[0]
    array = onnx.numpy_helper.to_array(weight).copy()
    array.flat[0] += 1.0
    weight.raw_data = array.tobytes()
    path.write_bytes(model.SerializeToString())
    assert run(["export", "check", str(path)]) == 0
    command = ["export", "check", str(path), "--model-dir", str(folder), "--tolerance", "1e-6"]
    assert run(command) == 1
    printed = capsys.readouterr().out
    assert "differs from the model by" in printed
    assert "error: The weight encoder/" in printed


def test_check_names_errors(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.dfm").write_bytes(b"nothing of the kind")
    assert run(["export", "check", str(tmp_path / "a.dfm"), "--json"]) == 1
    assert "not an ONNX file" in json.loads(capsys.readouterr().out)["faults"][0]


def test_quick96_has_no_export(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["export", "dfm", str(folder), "--class", "Quick96"]) == 2
    assert "error: Quick96 has no export" in capsys.readouterr().err


def test_a_model_that_is_not_there(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["export", "dfm", str(folder), "--name", "eve"]) == 1
    error = capsys.readouterr().err
    assert "ann (SAEHD)" in error
    assert "bob (AMP)" in error
    assert run(["export", "xseg", str(folder)]) == 1
    assert "error: " in capsys.readouterr().err


def test_a_folder_that_is_not_there_is_told_before_the_model_is_loaded(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wanted = tmp_path / "nowhere" / "a.dfm"
    assert run(["export", "dfm", str(folder), "--name", "ann", "-o", str(wanted)]) == 1
    error = capsys.readouterr().err
    assert f"{wanted}: there is no folder {wanted.parent}. Make it first." in error


def test_the_missing_extra_is_told(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent(name: str) -> Any:
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr(onnx_graph.importlib, "import_module", absent)
    from dfl_tf.cli.export import command  # imported before: the command itself needs no extra

    with pytest.raises(onnx_graph.ExportError, match=r'pip install "onnx'):
        command.main(["dfm", str(folder), "--name", "ann"], standalone_mode=False)

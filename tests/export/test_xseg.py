"""XSeg as ONNX."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from dfl_tf.errors import UsageError
from dfl_tf.export import onnx_check
from dfl_tf.export.dfm import export_model


def test_xseg_equals_its_model(xseg: Any, tmp_path: Path) -> None:
    report = export_model(xseg, tmp_path / "XSeg_model.onnx")
    assert report.verification is not None
    assert list(report.verification.differences) == ["out_mask:0"]
    assert report.verification.worst < 5e-4
    assert report.parameters == sum(xseg.parameter_counts().values())


def test_contract(xseg: Any, tmp_path: Path) -> None:
    path = tmp_path / "XSeg_model.onnx"
    export_model(xseg, path, verify=False)
    model = onnx.load_model(str(path), format="protobuf")
    assert [o.version for o in model.opset_import] == [13]
    assert [port.name for port in model.graph.input] == ["in_face:0"]
    assert [port.name for port in model.graph.output] == ["out_mask:0"]
    assert "DigitalSourceType" not in {entry.key for entry in model.metadata_props}
    assert onnx_check.lint(path) == []
    assert onnx_check.made_for(path) == ("XSeg", "dfl")


WANTED = {
    "dfl": ("in_face:0", ["batch", 256, 256, 3], "out_mask:0", ["batch", 256, 256, 1]),
    "facefusion": ("input", ["batch", 256, 256, 3], "out_mask:0", ["batch", 256, 256, 1]),
    "visomaster": ("in_face:0", [1, 3, 256, 256], "out_mask:0", [1, 1, 256, 256]),
}


@pytest.mark.parametrize("program", WANTED)
def test_each_program_gets_its_names_and_layout_and_the_models_mask(
    xseg: Any, tmp_path: Path, program: str
) -> None:
    path = tmp_path / "a.onnx"
    report = export_model(xseg, path, program=program)
    assert report.verification is not None
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (entry,), (exit_,) = session.get_inputs(), session.get_outputs()
    assert (entry.name, entry.shape, exit_.name, exit_.shape) == WANTED[program]
    face = np.random.default_rng(3).random((1, 256, 256, 3), np.float32)
    first = program == "visomaster"
    (mask,) = session.run(None, {entry.name: face.transpose(0, 3, 1, 2) if first else face})
    logits = np.asarray(xseg.networks["XSeg_256"](face), np.float64)
    expected = 1 / (1 + np.exp(-logits))
    assert expected.std() > 0.01  # a constant would prove nothing
    np.testing.assert_allclose(mask.transpose(0, 2, 3, 1) if first else mask, expected, atol=5e-4)
    assert onnx_check.lint(path) == []
    assert onnx_check.try_out(path) == []
    assert onnx_check.made_for(path) == ("XSeg", program)
    for other in WANTED.keys() - {program}:
        assert onnx_check.lint(path, "XSeg", other) != []


def test_an_unknown_program_is_refused(xseg: Any, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Known: dfl, facefusion, visomaster"):
        export_model(xseg, tmp_path / "a.onnx", program="paint")


def test_another_class_is_refused(saehd: Any, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="SAEHD is not exported for 'visomaster'"):
        export_model(saehd, tmp_path / "a.onnx", program="visomaster")

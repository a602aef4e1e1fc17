"""XSeg as ONNX."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx
import pytest

from dfl_tf.errors import UsageError
from dfl_tf.export import onnx_check
from dfl_tf.export.xseg import export_xseg


def test_xseg_equals_its_model(xseg: Any, tmp_path: Path) -> None:
    report = export_xseg(xseg, tmp_path / "XSeg_model.onnx")
    assert report.verification is not None
    assert list(report.verification.differences) == ["out_mask:0"]
    assert report.verification.worst < 5e-4
    assert report.parameters == sum(xseg.parameter_counts().values())


def test_contract(xseg: Any, tmp_path: Path) -> None:
    path = tmp_path / "XSeg_model.onnx"
    export_xseg(xseg, path, verify=False)
    model = onnx.load_model(str(path), format="protobuf")
    assert [o.version for o in model.opset_import] == [13]
    assert [port.name for port in model.graph.input] == ["in_face:0"]
    assert [port.name for port in model.graph.output] == ["out_mask:0"]
    assert "DigitalSourceType" not in {entry.key for entry in model.metadata_props}
    assert onnx_check.lint(path) == []
    assert onnx_check.class_of(path) == "XSeg"


def test_another_class_is_refused(saehd: Any, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="SAEHD is no XSeg model"):
        export_xseg(saehd, tmp_path / "a.onnx")

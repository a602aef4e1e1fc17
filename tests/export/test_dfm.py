"""DFM files: the contract of models.md 6, and the numbers of the model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from dfl_tf.errors import ExportError, UsageError, WorkspaceError
from dfl_tf.export import onnx_graph
from dfl_tf.export.dfm import export_dfm, swapped
from dfl_tf.export.onnx_check import fixed_face, session
from dfl_tf.export.report import SOURCE_TYPE

OUTPUTS = ["out_face_mask:0", "out_celeb_face:0", "out_celeb_face_mask:0"]


def ports(values: Any) -> list[tuple[str, int, list[Any]]]:
    tensors = [(value.name, value.type.tensor_type) for value in values]
    return [(n, t.elem_type, [d.dim_value or "free" for d in t.shape.dim]) for n, t in tensors]


@pytest.mark.parametrize("archi", ["df", "df-t", "df-udc", "liae-d", "liae-ut", "liae-udtc"])
def test_saehd_equals_its_model(make: Callable[..., Any], archi: str, tmp_path: Path) -> None:
    report = export_dfm(make("SAEHD", archi=archi), tmp_path / "tiny.dfm")
    assert report.verification is not None
    assert report.verification.runs == 3
    assert list(report.verification.differences) == OUTPUTS
    assert max(report.verification.differences.values()) < 2e-5


@pytest.mark.parametrize("archi", ["df-ud", "liae-udt"])
def test_float16_equals_its_model_within_half(
    make: Callable[..., Any], archi: str, tmp_path: Path
) -> None:
    model = make("SAEHD", archi=archi, gain=1.0)
    report = export_dfm(model, tmp_path / "a.dfm", precision="float16")
    assert report.verification is not None
    assert 1e-6 < max(report.verification.differences.values()) <= 2e-3


@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_amp_equals_its_model(amp: Any, precision: Any, tmp_path: Path) -> None:
    report = export_dfm(amp, tmp_path / "tiny.dfm", precision=precision)
    assert report.verification is not None
    tolerance = {"float32": 2e-5, "float16": 2e-3}[precision]
    assert max(report.verification.differences.values()) < tolerance


def test_amp_takes_as_many_channels_as_the_truncated_float32_product(
    amp: Any, tmp_path: Path
) -> None:
    path = tmp_path / "tiny.dfm"
    export_dfm(amp, path, verify=False)
    runner, face = session(path), fixed_face(1, 64)
    edges = [np.float32(k / 20) for k in (1, 7, 13, 19, 20)]
    values = [*edges, *(np.nextafter(edge, np.float32(0)) for edge in edges), np.float32(0)]
    for morph in values:
        given = {"in_face:0": face, "morph_value:0": np.array([morph], np.float32)}
        expected = swapped(amp, face, float(morph))
        for name, got in zip(OUTPUTS, runner.run(None, given), strict=True):
            assert np.abs(got - expected[name]).max() < 2e-5, (morph, name)


def test_contract_of_saehd(saehd: Any, tmp_path: Path) -> None:
    export_dfm(saehd, tmp_path / "tiny.dfm")
    model = onnx.load_model(str(tmp_path / "tiny.dfm"), format="protobuf")
    assert [(o.domain, o.version) for o in model.opset_import] == [("", 12)]
    assert ports(model.graph.input) == [("in_face:0", 1, ["free", 64, 64, 3])]
    assert ports(model.graph.output) == [
        ("out_face_mask:0", 1, ["free", 64, 64, 1]),
        ("out_celeb_face:0", 1, ["free", 64, 64, 3]),
        ("out_celeb_face_mask:0", 1, ["free", 64, 64, 1]),
    ]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["tiny.dfm"]


def test_contract_of_amp(amp: Any, tmp_path: Path) -> None:
    export_dfm(amp, tmp_path / "tiny.dfm", verify=False)
    model = onnx.load_model(str(tmp_path / "tiny.dfm"), format="protobuf")
    assert ports(model.graph.input) == [
        ("in_face:0", 1, ["free", 64, 64, 3]),
        ("morph_value:0", 1, [1]),
    ]
    assert [name for name, _, _ in ports(model.graph.output)] == OUTPUTS


def test_float16_keeps_dense_norm_and_sigmoids_in_float32(saehd: Any, tmp_path: Path) -> None:
    path = tmp_path / "tiny.dfm"
    full = export_dfm(saehd, path, verify=False).size
    half = export_dfm(saehd, path, precision="float16", verify=False).size
    assert half < 0.6 * full
    model = onnx.shape_inference.infer_shapes(onnx.load_model(str(path), format="protobuf"))
    weights = {w.name: w.data_type for w in model.graph.initializer}
    types = weights | {v.name: v.type.tensor_type.elem_type for v in model.graph.value_info}
    types |= {v.name: v.type.tensor_type.elem_type for v in model.graph.input}
    for node in model.graph.node:
        found = {types[name] for name in node.input if name in types} - {onnx.TensorProto.INT64}
        if node.op_type == "Conv":
            assert found == {onnx.TensorProto.FLOAT16}, node.name
        if node.op_type in ("Gemm", "Sigmoid", "ReduceMean", "Sqrt", "Div"):
            assert found == {onnx.TensorProto.FLOAT}, node.name


def test_provenance_is_plain_metadata_and_can_be_left_out(saehd: Any, tmp_path: Path) -> None:
    for wanted in (True, False):
        export_dfm(saehd, tmp_path / "a.dfm", with_provenance=wanted, verify=False)
        model = onnx.load_model(str(tmp_path / "a.dfm"), format="protobuf")
        found = {entry.key: entry.value for entry in model.metadata_props}
        if wanted:
            assert found["DigitalSourceType"] == SOURCE_TYPE
            assert found["model_name"] == "tiny"
            assert found["model_class"] == "SAEHD"
            assert found["model_iteration"] == "0"
        else:
            assert found == {}


def test_a_file_that_fails_its_verification_takes_no_place(saehd: Any, tmp_path: Path) -> None:
    path = tmp_path / "tiny.dfm"
    path.write_bytes(b"the previous one")
    with pytest.raises(ExportError, match=r"Export rejected: tiny\.dfm: The output out_.* differs"):
        export_dfm(saehd, path, tolerance=1e-12)
    assert path.read_bytes() == b"the previous one"
    assert [p.name for p in tmp_path.iterdir()] == ["tiny.dfm"]


def test_a_weight_beyond_half_precision_is_named(make: Callable[..., Any], tmp_path: Path) -> None:
    model = make("SAEHD", archi="df")
    bias = model.networks["decoder_src"].out_conv.bias
    bias.assign(np.full(3, 1e5, np.float32))
    with pytest.raises(ExportError, match=r"decoder_src/out_conv/bias.* holds 1e\+05"):
        export_dfm(model, tmp_path / "tiny.dfm", precision="float16")
    assert not list(tmp_path.iterdir())


def test_a_file_beyond_the_limit_is_refused_before_it_is_written(
    saehd: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_graph, "SIZE_LIMIT", 10_000)
    with pytest.raises(ExportError, match="one ONNX file can have 10000"):
        export_dfm(saehd, tmp_path / "tiny.dfm")
    assert not list(tmp_path.iterdir())


def test_a_missing_folder_is_named(saehd: Any, tmp_path: Path) -> None:
    with pytest.raises(WorkspaceError, match=r"nowhere.tiny\.dfm"):
        export_dfm(saehd, tmp_path / "nowhere" / "tiny.dfm")


def test_other_classes_are_refused(xseg: Any, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"XSeg has no DFM export\. .* SAEHD, AMP"):
        export_dfm(xseg, tmp_path / "tiny.dfm")

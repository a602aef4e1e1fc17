"""The linter names every error; the verifier notices a single changed weight."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from dfl_tf.errors import ExportError
from dfl_tf.export import onnx_check
from dfl_tf.export.dfm import export_dfm, graph_of

FLOAT, HALF = onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16


@pytest.fixture(scope="module")
def good(saehd: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("good") / "tiny.dfm"
    export_dfm(saehd, path, verify=False)
    return path


@pytest.fixture(scope="module")
def good_amp(amp: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("good_amp") / "tiny.dfm"
    export_dfm(amp, path, verify=False)
    return path


def changed(path: Path, change: Callable[[Any], object], target: Path) -> Path:
    model = onnx.load_model(str(path), format="protobuf")
    change(model)
    target.write_bytes(model.SerializeToString())
    return target


def swap_outputs(model: Any) -> None:
    first, second = model.graph.output[0], model.graph.output[1]
    kept = onnx.ValueInfoProto()
    kept.CopyFrom(first)
    first.CopyFrom(second)
    second.CopyFrom(kept)


def rename_input(model: Any) -> None:
    for node in model.graph.node:
        node.input[:] = ["in_face" if name == "in_face:0" else name for name in node.input]
    model.graph.input[0].name = "in_face"


def size(port: str, axis: int, value: int) -> Callable[[Any], None]:
    def change(model: Any) -> None:
        ports = [*model.graph.input, *model.graph.output]
        dims = next(p for p in ports if p.name == port).type.tensor_type.shape.dim
        dims[axis].Clear()
        if value:
            dims[axis].dim_value = value

    return change


def half_output(model: Any) -> None:
    model.graph.output[1].type.tensor_type.elem_type = HALF


def opset(model: Any) -> None:
    model.opset_import[0].version = 17


def ir_version(model: Any) -> None:
    model.ir_version = 10


def outside(model: Any) -> None:
    weight = model.graph.initializer[0]
    weight.ClearField("raw_data")
    weight.data_location = onnx.TensorProto.EXTERNAL
    weight.external_data.add(key="location", value="weights.bin")


def foreign(model: Any) -> None:
    model.opset_import.add(domain="com.microsoft", version=1)
    model.graph.node[0].domain = "com.microsoft"


def no_such_operator(model: Any) -> None:
    model.graph.node[1].op_type = "Convolve"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            swap_outputs,
            "outputs are out_celeb_face:0, out_face_mask:0, out_celeb_face_mask:0; they",
        ),
        (rename_input, "inputs are in_face; they must be in_face:0"),
        (size("in_face:0", 0, 1), r"in_face:0 is declared as \[1, 64, 64, 3\]; it must be \[N, "),
        (size("in_face:0", 1, 0), r"in_face:0 is declared as \[batch, \?, 64, 3\]"),
        (size("out_face_mask:0", 3, 3), r"out_face_mask:0 is declared as \[batch, 64, 64, 3\]"),
        (size("out_celeb_face:0", 2, 32), "images are not of one square size"),
        (half_output, "output out_celeb_face:0 is float16; it must be float32"),
        (opset, "opset is 17; live programs know up to 13"),
        (ir_version, "IR version is 10"),
        (outside, "1 weights lie in other files"),
        (foreign, "operators of com.microsoft"),
        (no_such_operator, "ONNX checker says"),
    ],
)
def test_the_linter_names_an_error(
    good: Path, tmp_path: Path, change: Callable[[Any], object], message: str
) -> None:
    errors = onnx_check.lint(changed(good, change, tmp_path / "bad.dfm"), "SAEHD")
    assert errors
    assert re.search(message, " ".join(errors)), errors


def test_the_linter_accepts_our_exports(good: Path, good_amp: Path) -> None:
    for path, model_class in ((good, "SAEHD"), (good_amp, "AMP")):
        assert onnx_check.lint(path) == []
        assert onnx_check.lint(path, model_class) == []
        assert onnx_check.made_for(path)[0] == model_class
        assert onnx_check.try_out(path) == []


def test_the_morph_input_must_be_a_list_of_one(good_amp: Path, tmp_path: Path) -> None:
    bad = changed(good_amp, size("morph_value:0", 0, 0), tmp_path / "bad.dfm")
    assert onnx_check.lint(bad) == ["The input morph_value:0 is declared as [?]; it must be [1]."]


def test_all_errors_are_named_together(good: Path, tmp_path: Path) -> None:
    def several(model: Any) -> None:
        opset(model)
        half_output(model)
        size("in_face:0", 0, 1)(model)

    assert len(onnx_check.lint(changed(good, several, tmp_path / "bad.dfm"), "SAEHD")) >= 3


def unknown_type(model: Any) -> None:
    model.graph.input[0].type.tensor_type.elem_type = 999


def huge(model: Any) -> None:
    for port in (*model.graph.input, *model.graph.output):
        for axis in (1, 2):
            port.type.tensor_type.shape.dim[axis].dim_value = 100_000


@pytest.mark.parametrize(
    ("change", "message"),
    [(unknown_type, "of the unknown type 999"), (huge, "faces of 100000 pixels; at most 2048")],
)
def test_what_a_file_declares_is_not_believed(
    good: Path, tmp_path: Path, change: Callable[[Any], object], message: str
) -> None:
    bad = changed(good, change, tmp_path / "bad.dfm")
    assert message in " ".join(onnx_check.lint(bad))


def test_names_that_are_no_text_are_an_error(good: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.dfm"
    data = good.read_bytes()
    for old, new, field in (
        (b"out_celeb_face:0", b"out_celeb\xff\x00ace:0", "model.graph."),
        (b"batch", b"b\xfftch", "model.graph.input.type.tensor_type.shape.dim.dim_param"),
    ):
        assert old in data
        bad.write_bytes(data.replace(old, new))
        (error,) = onnx_check.lint(bad)
        assert error.startswith(f"Its field {field}")
        assert "UTF-8" in error
    os.mkfifo(tmp_path / "pipe.dfm")
    assert "regular file" in onnx_check.lint(tmp_path / "pipe.dfm")[0]


@pytest.mark.parametrize("data", [b"", b"no model at all", bytes(range(256))])
def test_what_is_no_onnx_file_is_an_error(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.dfm").write_bytes(data)
    assert onnx_check.lint(tmp_path / "a.dfm")


@pytest.mark.parametrize("part", ["encoder/", "inter/", "decoder_src/", "decoder_dst/"])
def test_one_changed_weight_is_caught(good: Path, saehd: Any, tmp_path: Path, part: str) -> None:
    def bend(model: Any) -> None:
        weight = next(w for w in model.graph.initializer if w.name.startswith(part))
        array = onnx.numpy_helper.to_array(weight).copy()
        array.flat[0] += 0.5
        weight.raw_data = array.tobytes()

    bad = changed(good, bend, tmp_path / "bad.dfm")
    assert onnx_check.lint(bad) == []
    errors = onnx_check.verify(bad, saehd, tolerance=1e-4).errors()
    assert re.search("The output .* differs", " ".join(errors))


@pytest.mark.parametrize("half", [False, True])
def test_one_changed_bit_of_a_weight_is_caught(half: bool, saehd: Any, tmp_path: Path) -> None:
    """No image shows it, so the weights themselves are compared."""

    def bend(model: Any) -> None:
        weight = next(w for w in model.graph.initializer if w.name.startswith("encoder/"))
        weight.raw_data = bytes([weight.raw_data[0] ^ 1]) + weight.raw_data[1:]

    path = tmp_path / "good.dfm"
    export_dfm(saehd, path, precision="float16" if half else "float32", verify=False)
    graph = graph_of(saehd, half=half)
    assert onnx_check.weight_errors(path, graph) == []
    bad = changed(path, bend, tmp_path / "bad.dfm")
    assert onnx_check.verify(bad, saehd, tolerance=0.1).errors() == []
    with pytest.raises(
        ExportError, match=r"Export rejected: bad\.dfm: The weight encoder/.* differs"
    ):
        onnx_check.check(bad, saehd, graph, tolerance=0.1)


def test_missing_and_foreign_weights_are_named(good: Path, saehd: Any, tmp_path: Path) -> None:
    def rename(model: Any) -> None:
        model.graph.initializer[0].name = "unknown"

    renamed = changed(good, rename, tmp_path / "bad.dfm")
    errors = onnx_check.weight_errors(renamed, graph_of(saehd, half=False))
    assert len(errors) == 2
    assert errors[0].endswith("is missing.")
    assert errors[1] == "The weight unknown is not of this model."


def test_a_number_that_is_none_is_an_error(good: Path, saehd: Any, tmp_path: Path) -> None:
    def spoil(model: Any) -> None:
        weight = next(w for w in model.graph.initializer if "out_convs/bias" in w.name)
        weight.raw_data = np.full(12, np.nan, np.float32).tobytes()

    bad = changed(good, spoil, tmp_path / "bad.dfm")
    assert "nan" in " ".join(onnx_check.verify(bad, saehd, tolerance=1e-4).errors())
    assert (
        onnx_check.try_out(bad) == ["The output out_celeb_face:0 has values outside of 0 … 1."] * 2
    )


def test_another_resolution_is_refused(make: Callable[..., Any], good: Path) -> None:
    with pytest.raises(ExportError, match="for faces of 64 pixels, the model tiny for 96"):
        onnx_check.verify(good, make("SAEHD", archi="df-ud", resolution=96), tolerance=1e-4)


def test_the_tolerance_follows_the_precision(good: Path, saehd: Any, tmp_path: Path) -> None:
    export_dfm(saehd, tmp_path / "half.dfm", precision="float16", verify=False)
    assert onnx_check.tolerance_of(good) == 1e-4
    assert onnx_check.tolerance_of(tmp_path / "half.dfm") == 2e-3

"""Exports of a genuine model equal the legacy program's exports, in numbers and in form."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from dfl_tf.export.dfm import export_dfm
from dfl_tf.export.onnx_check import TOLERANCES, session
from dfl_tf.formats import ModelState
from dfl_tf.formats.models.legacy import read_part
from dfl_tf.models.restore import restore
from dfl_tf.options import RunOptions

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
PARTS = GOLDEN / "models" / "legacy_parts"
EXPORT = GOLDEN / "models" / "export"

pytestmark = pytest.mark.golden


@pytest.fixture(scope="module")
def genuine() -> Any:
    parts = ("encoder", "inter", "decoder_src", "decoder_dst")
    state = ModelState(
        model_class="SAEHD",
        iteration=2,
        options=json.loads((PARTS / "options.json").read_text()),
        loss_history=[],
        tensors={part: read_part(PARTS / f"tiny_SAEHD_{part}.npy") for part in parts},
    )
    return restore(state, name="tiny", run=RunOptions(cpu=True), training=False)[0]


@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_outputs_equal_the_legacy_export(genuine: Any, precision: Any, tmp_path: Path) -> None:
    export_dfm(genuine, tmp_path / "tiny.dfm", precision=precision)
    runner = session(tmp_path / "tiny.dfm")
    with np.load(EXPORT / "tiny_SAEHD_outputs.npz") as golden:
        got = runner.run(None, {"in_face:0": golden["in_face"]})
        for port, array in zip(runner.get_outputs(), got, strict=True):
            expected = golden[f"{precision}/{port.name.removesuffix(':0')}"]
            assert array.shape == expected.shape
            assert np.abs(array - expected).max() <= TOLERANCES[precision]


@pytest.mark.parametrize("file", ["tiny_SAEHD_model", "tiny_SAEHD_model_fp16", "mini_AMP_model"])
def test_form_equals_the_legacy_export(genuine: Any, make: Any, file: str, tmp_path: Path) -> None:
    golden = json.loads((EXPORT / "dfm_forms.json").read_text())[f"{file}.dfm"]
    model = make("AMP") if "AMP" in file else genuine
    precision: Any = "float16" if "fp16" in file else "float32"
    export_dfm(model, tmp_path / "a.dfm", precision=precision, verify=False)
    ours = onnx.load_model(str(tmp_path / "a.dfm"), format="protobuf")
    assert [entry.version for entry in ours.opset_import] == [golden["opset"]]
    assert ours.ir_version == golden["ir_version"]
    for kind, values in (("inputs", ours.graph.input), ("outputs", ours.graph.output)):
        tensors = [(value.name, value.type.tensor_type) for value in values]
        found = [[n, t.elem_type, [d.dim_value or None for d in t.shape.dim]] for n, t in tensors]
        assert found == golden[kind]

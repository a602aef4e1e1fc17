"""Exports of genuine legacy folders: their outputs, and the form of the legacy exports.

`models_dfm` compares file by file; here every legacy folder that has exported outputs
(`<folder>_merge_io.npz`) is exported, whether or not its DFM file is kept, and every DFM file is
linted and laid beside ours by names, types, declared shapes and order.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from dfl_tf.export.dfm import export_dfm
from dfl_tf.export.onnx_check import TOLERANCES, lint, session
from dfl_tf.formats import find_models, read_model
from dfl_tf.models.restore import restore
from dfl_tf.options import RunOptions
from golden_kinds.check import Check
from golden_kinds.models_files import AMP_MORPH


def cases(folder: Path) -> list[str]:
    """One case a legacy folder with outputs, one a DFM file."""
    outputs = sorted((folder / "legacy").glob("*_merge_io.npz"))
    places = [path.name.removesuffix("_merge_io.npz") for path in outputs]
    files = sorted((folder / "dfm").glob("*.dfm"))
    return [f"export/{place}" for place in places] + [f"form/{path.stem}" for path in files]


def run(folder: Path, case: str) -> list[Check]:
    """Run one case."""
    kind, _, name = case.partition("/")
    with tempfile.TemporaryDirectory() as scratch:
        if kind == "export":
            return _compare_outputs(folder / "legacy", name, Path(scratch))
        return _compare_form(folder, name, Path(scratch) / "ours.dfm")


def _compare_outputs(folder: Path, name: str, scratch: Path) -> list[Check]:
    checks = []
    with np.load(folder / f"{name}_merge_io.npz") as golden:
        for precision, tolerance in TOLERANCES.items():
            path = scratch / f"{precision}.dfm"
            model_class = _export(folder / name, path, precision)
            feeds = {"in_face:0": golden["in_face"]}
            if model_class == "AMP":
                feeds["morph_value:0"] = np.array([AMP_MORPH], np.float32)
            runner = session(path)
            names = [port.name for port in runner.get_outputs()]
            for output, got in zip(names, runner.run(None, feeds), strict=True):
                error = float(np.abs(got - golden[output.removesuffix(":0")]).max())
                checks.append(Check(f"{precision} {output}", error, tolerance))
    return checks


def _compare_form(folder: Path, name: str, ours: Path) -> list[Check]:
    golden = folder / "dfm" / f"{name}.dfm"
    half = any(
        weight.data_type == onnx.TensorProto.FLOAT16
        for weight in onnx.load_model(str(golden), format="protobuf").graph.initializer
    )
    stem = name.removesuffix("_fp16").removesuffix("_model")
    place = next(
        path
        for path in sorted((folder / "legacy").iterdir())
        if path.is_dir() and any(f"{m.name}_{m.model_class}" == stem for m in find_models(path))
    )
    _export(place, ours, "float16" if half else "float32")
    theirs, mine = _form(golden), _form(ours)
    faults = lint(golden)
    return [
        Check("faults found in the legacy file", len(faults), 0, " ".join(faults)),
        *(Check(what, float(theirs[what] != mine[what]), 0, str(mine[what])) for what in theirs),
    ]


def _export(place: Path, path: Path, precision: Any) -> str:
    found = find_models(place)[0]
    state = read_model(place, found.name, found.model_class)
    model, _ = restore(state, name=found.name, run=RunOptions(cpu=True), training=False)
    export_dfm(model, path, precision=precision)
    return found.model_class


def _form(path: Path) -> dict[str, Any]:
    """Opset, and (name, type, shape) of inputs and outputs, in order; free sizes are None."""
    model = onnx.load_model(str(path), format="protobuf")

    def ports(values: Any) -> list[tuple[str, int, list[int | None]]]:
        tensors = [(value.name, value.type.tensor_type) for value in values]
        return [(n, t.elem_type, [d.dim_value or None for d in t.shape.dim]) for n, t in tensors]

    return {
        "opset": max(entry.version for entry in model.opset_import if entry.domain == ""),
        "inputs": ports(model.graph.input),
        "outputs": ports(model.graph.output),
    }

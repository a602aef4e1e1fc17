"""Exports of genuine legacy folders: outputs, and form and outputs of the legacy exports.

Every legacy folder that has exported outputs (`<folder>_merge_io.npz`) is exported in both
precisions, whether or not its DFM file is kept. Every DFM file is linted, laid beside our export
of the same model by names, types, declared shapes and order, and both are run.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from dfl_tf.export.dfm import export_dfm
from dfl_tf.export.onnx_check import TOLERANCES, lint, session
from dfl_tf.formats import FoundModel, find_models, read_model
from dfl_tf.models.restore import restore
from dfl_tf.options import RunOptions
from golden_kinds.arrays import load_arrays, near
from golden_kinds.check import Check
from golden_kinds.models_files import AMP_MORPH


def cases(folder: Path) -> list[str]:
    """One case a legacy folder with outputs, one a DFM file."""
    outputs = sorted((folder / "legacy").glob("*_merge_io.npz"))
    places = [path.name.removesuffix("_merge_io.npz") for path in outputs]
    files = sorted((folder / "dfm").glob("*.dfm"))
    return [f"export/{place}" for place in places] + [f"dfm/{path.stem}" for path in files]


def run(folder: Path, case: str) -> list[Check]:
    """Run one case."""
    kind, _, name = case.partition("/")
    with tempfile.TemporaryDirectory() as scratch:
        if kind == "export":
            return _compare_outputs(folder / "legacy", name, Path(scratch))
        return _compare_file(folder, name, Path(scratch) / "ours.dfm")


def _compare_outputs(folder: Path, name: str, scratch: Path) -> list[Check]:
    golden = load_arrays(folder / f"{name}_merge_io.npz")
    (found,) = find_models(folder / name)
    checks = []
    for precision, tolerance in TOLERANCES.items():
        path = scratch / f"{precision}.dfm"
        _export(folder / name, found, path, precision)
        outputs = _outputs(path, found.model_class, golden["in_face"])
        checks += _against(golden, outputs, tolerance, precision)
    return checks


def _compare_file(folder: Path, name: str, ours: Path) -> list[Check]:
    golden = folder / "dfm" / f"{name}.dfm"
    model = onnx.load_model(str(golden), format="protobuf")
    half = any(w.data_type == onnx.TensorProto.FLOAT16 for w in model.graph.initializer)
    precision = "float16" if half else "float32"
    stem = name.removesuffix("_fp16").removesuffix("_model")
    place, found = _legacy_of(folder / "legacy", stem)
    _export(place, found, ours, precision)
    theirs, mine = _form(golden), _form(ours)
    errors = lint(golden)
    checks = [
        Check("errors found in the legacy file", len(errors), 0, " ".join(errors)),
        *(Check(what, float(theirs[what] != mine[what]), 0, str(mine[what])) for what in theirs),
    ]
    arrays = load_arrays(
        folder / "dfm" / f"{stem}_fp16_io.npz"
        if half
        else folder / "legacy" / f"{place.name}_merge_io.npz"
    )
    face = arrays.get("in_face")
    if face is None:  # any will do for both files
        shape = (1, *theirs["inputs"][0][2][1:])
        face = np.random.default_rng(0).random(shape, np.float32)
    outputs = _outputs(ours, found.model_class, face)
    checks += _against(_outputs(golden, found.model_class, face), outputs, TOLERANCES[precision])
    return checks + _against(arrays, outputs, TOLERANCES[precision], "stored")


def _legacy_of(legacy: Path, stem: str) -> tuple[Path, FoundModel]:
    """The folder and the model of which `<stem>_model.dfm` is the export."""
    places = sorted(path for path in legacy.glob("*") if path.is_dir())
    for place in places:
        for found in find_models(place):
            if f"{found.name}_{found.model_class}" == stem:
                return place, found
    raise FileNotFoundError(f"no folder in {legacy} holds the model {stem}")


def _export(place: Path, found: FoundModel, path: Path, precision: Any) -> None:
    state = read_model(place, found.name, found.model_class)
    model, _ = restore(state, name=found.name, run=RunOptions(cpu=True), training=False)
    export_dfm(model, path, precision=precision)


def _outputs(path: Path, model_class: str, face: np.ndarray) -> dict[str, np.ndarray]:
    arrays = {"in_face:0": face}
    if model_class == "AMP":
        arrays["morph_value:0"] = np.array([AMP_MORPH], np.float32)
    runner = session(path)
    names = [port.name.removesuffix(":0") for port in runner.get_outputs()]
    return dict(zip(names, runner.run(None, arrays), strict=True))


def _against(
    golden: Mapping[str, np.ndarray],
    outputs: Mapping[str, np.ndarray],
    tolerance: float,
    title: str = "legacy file",
) -> list[Check]:
    """Our outputs beside arrays of the legacy graph (merge_*) or of its export (out_*)."""
    return [
        near(f"{title} {key}", got, golden[key], tolerance)
        for name, got in outputs.items()
        for key in (name, name.replace("out", "merge", 1))
        if key in golden
    ]


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

"""Exported files: what we export from the legacy weights against the legacy export."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from dfl_tf import models
from dfl_tf.formats import find_models, read_model
from dfl_tf.options import OPTIONS, RunOptions, from_mapping
from golden_kinds.check import Check
from golden_kinds.models_files import AMP_MORPH

# README: float32 exports 1e-4, float16 exports 2e-3.
TOLERANCES = {"float32": 1e-4, "float16": 2e-3}


def dfm_cases(folder: Path) -> list[str]:
    """One case for each exported file."""
    return [f"dfm/{path.stem}" for path in sorted((folder / "dfm").glob("*.dfm"))]


def compare_dfm(folder: Path, name: str) -> list[Check]:
    """Export the model of which `name` is the legacy export; compare contract and numbers."""
    import onnxruntime

    from dfl_tf.export.dfm import export_dfm

    half = name.endswith("_fp16")
    precision = "float16" if half else "float32"
    stem = name.removesuffix("_fp16").removesuffix("_model")
    user_name, cls = stem.rsplit("_", 1)
    place = next(
        path
        for path in sorted((folder / "legacy").iterdir())
        if path.is_dir() and any(m.name == user_name for m in find_models(path, cls))
    )
    state = read_model(place, user_name, cls)
    options, _ = from_mapping(OPTIONS[cls], state.options, origin=stem, unknown="keep")
    model = models.create(cls, options, RunOptions(seed=0), training=False, initialized=False)
    model.load_state(state)
    arrays = (
        folder / "dfm" / f"{stem}_fp16_io.npz"
        if half
        else folder / "legacy" / f"{place.name}_merge_io.npz"
    )
    with tempfile.TemporaryDirectory() as scratch, np.load(arrays) as golden:
        path = Path(scratch) / "model.dfm"
        export_dfm(model, path, precision=precision)
        ours, theirs = (
            onnxruntime.InferenceSession(str(p), providers=["CPUExecutionProvider"])
            for p in (path, folder / "dfm" / f"{name}.dfm")
        )
        checks = [
            Check(f"{what} names", float(_names(ours, what) != _names(theirs, what)), 0)
            for what in ("inputs", "outputs")
        ]
        given = {"in_face:0": golden["in_face"]}
        if cls == "AMP":
            given["morph_value:0"] = np.array([AMP_MORPH], np.float32)
        names = [output.name for output in ours.get_outputs()]
        for output, got in zip(names, ours.run(None, given), strict=True):
            for origin in ("out", "merge"):
                key = output.removesuffix(":0").replace("out", origin, 1)
                error = float(np.max(np.abs(got - golden[key])))
                checks.append(Check(f"{output} and {key}", error, TOLERANCES[precision]))
    return checks


def _names(session: object, what: str) -> list[tuple[str, str]]:
    return [(x.name, x.type) for x in getattr(session, f"get_{what}")()]

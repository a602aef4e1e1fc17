"""Names, shapes and order of weights; genuine legacy folders read, loaded, written again."""

from __future__ import annotations

import json
import pickletools
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dfl_tf import models
from dfl_tf.formats import ModelState, find_models, read_model, write_model
from dfl_tf.formats.models.files import prefix_of
from dfl_tf.formats.pickles import safe_pickle
from dfl_tf.formats.pickles.tokens import ALLOWED
from dfl_tf.models.base import FaceModel
from dfl_tf.models.state import legacy_key
from dfl_tf.options import (
    OPTIONS,
    RunOptions,
    from_mapping,
    legacy_layer,
    resolve,
    summary_text,
)
from golden_kinds.arrays import load_arrays, near
from golden_kinds.check import Check

# Names of the dims in AMP's files, which differ from the options.
AMP_FIELDS = {
    "e": "e_dims",
    "ae": "ae_dims",
    "inter": "inter_dims",
    "d": "d_dims",
    "dm": "d_mask_dims",
}
OUTPUTS = {"celeb_face": "image", "celeb_face_mask": "mask", "face_mask": "dst_mask"}
AMP_MORPH = 0.65  # of the AMP merge arrays (README)


def compare_weight_keys(path: Path) -> list[Check]:
    """Every part's keys and shapes, in order, and the optimizers' keys."""
    entry = json.loads(path.read_text())
    model = _model_of(entry)
    checks = [
        _same("parts", list(model.networks), [f.removesuffix(".npy") for f in entry["files"]])
    ]
    for file, part in entry["files"].items():
        network = model.networks[file.removesuffix(".npy")]
        got = [(legacy_key(v), list(v.shape)) for v in network.weights]
        want = [(key, list(shape)) for key, shape in part["weights"].items()]
        checks += [_same(file, got, want), _same(f"{file} scope", network.name, part["scope"])]
    for file, keys in entry.get("optimizer_files", {}).items():
        stem = file.removesuffix(".npy")
        names = [v.path + ":0" for v in model.optimizer_variables[stem]]
        arrays = model.optimizers[stem].state_arrays(names)
        got = [(key, list(np.shape(value))) for key, value in arrays.items()]
        if "count_adabelief" in keys:
            first = keys["example_first"]
            checks.append(_same(f"{file} count", len(got), keys["count_adabelief"]))
            checks.append(_same(f"{file} first", [k for k, _ in got[: len(first)]], first))
        else:
            checks.append(_same(file, got, [(k, list(shape)) for k, shape in keys.items()]))
    return checks


def _model_of(entry: Mapping[str, Any]) -> FaceModel:
    cls = entry["model_class"]
    values = {AMP_FIELDS.get(key, key): value for key, value in entry.items()}
    known = {f: values[f] for f in OPTIONS[cls].__dataclass_fields__ if f in values}
    files = [file.removesuffix(".npy") for file in entry["files"]]
    if "GAN" in files:
        known["gan_power"] = 0.1
    if "code_discriminator" in files:
        known["true_face_power"] = 0.01
    if cls == "SAEHD":
        known["adabelief"] = entry.get("optimizer", "AdaBelief") == "AdaBelief"
    options, _ = from_mapping(OPTIONS[cls], known, origin="weight_keys", unknown="keep")
    return models.create(cls, options, RunOptions(seed=0), initialized=False)


def _same(name: str, got: Any, want: Any) -> Check:
    if isinstance(got, list) and isinstance(want, list):
        pairs = zip(got, want, strict=False)
        differing = sum(a != b for a, b in pairs) + abs(len(got) - len(want))
        return Check(name, float(differing), 0, "differing entries")
    return Check(name, float(got != want), 0, "" if got == want else f"{got!r}, not {want!r}")


def compare_legacy_folder(folder: Path) -> list[Check]:
    """Read it, load it, take its state, write that, read it again; and swap a face."""
    checks = _contents(folder)
    for found in find_models(folder):
        checks += _compare_model(folder, found.name, found.model_class)
    return checks


def _compare_model(folder: Path, name: str, cls: str) -> list[Check]:
    state = read_model(folder, name, cls)
    checks = _summary(folder, state, prefix_of(name, cls))
    options, _ = from_mapping(OPTIONS[cls], state.options, origin=folder.name, unknown="keep")
    model = models.create(cls, options, RunOptions(seed=0), initialized=False)
    messages = model.load_state(state)
    checks.append(Check("parts started fresh", len(messages), 0, " ".join(messages)))
    again = model.state()
    checks.append(_same("options", again.options, state.options))
    checks.append(_same("iteration", again.iteration, state.iteration))
    checks += _same_tensors("state", again.tensors, state.tensors)
    with tempfile.TemporaryDirectory() as scratch:
        write_model(Path(scratch), name, again, format="legacy")
        checks += _same_tensors(
            "written", read_model(Path(scratch), name, cls).tensors, state.tensors
        )
        checks += _same_files(folder, Path(scratch))
    merged = folder.parent / f"{folder.name}_merge_io.npz"
    if merged.exists() and cls != "XSeg":
        checks += compare_swap(model, load_arrays(merged), 1e-4)
    return checks


def _summary(folder: Path, state: ModelState, full_name: str) -> list[Check]:
    """Byte by byte what we write beside the model."""
    path = folder / f"{full_name}_summary.txt"
    if not path.exists():
        return []
    cls = OPTIONS[state.model_class]
    options = resolve(cls, [legacy_layer(cls, state.options, origin=folder.name)]).legacy()
    text = summary_text(full_name, state.iteration, options)
    same = text == path.read_bytes().decode("utf-8")
    return [Check("summary", float(not same), 0, "" if same else text[-300:])]


def compare_swap(
    model: FaceModel, golden: Mapping[str, np.ndarray], tolerance: float
) -> list[Check]:
    """The merge-time outputs, of the legacy graph (merge_*) and of its exported file (out_*)."""
    morph = AMP_MORPH if model.model_class == "AMP" else None
    output = model.swap(golden["in_face"], morph)
    checks = []
    for key in golden:
        origin, _, what = key.partition("_")
        if origin in ("merge", "out"):
            got = getattr(output, OUTPUTS[what])
            checks.append(near(key, got, golden[key], tolerance))
    return checks


def _contents(folder: Path) -> list[Check]:
    """Python type, dtype and shape of everything in the files, as listed by the legacy side."""
    path = folder.parent / "file_contents.json"
    if not path.exists():
        return []
    checks = []
    for file, listed in json.loads(path.read_text()).get(folder.name, {}).items():
        loaded = safe_pickle.load_file(folder / file)
        got = [
            (key, [type(v).__name__, str(np.asarray(v).dtype), list(np.shape(v))])
            for key, v in loaded.items()
        ]
        checks.append(_same(f"{file} contents", got, list(listed.items())))
    return checks


def _same_tensors(what: str, got: Mapping[str, Any], want: Mapping[str, Any]) -> list[Check]:
    """Same parts, same keys in the same order, same types, same bits."""
    checks = [_same(f"{what}: parts", sorted(got), sorted(want))]
    for part, tensors in want.items():
        ours = got.get(part, {})
        wrong = [
            key
            for key, value in tensors.items()
            if key not in ours
            or np.asarray(ours[key]).dtype != np.asarray(value).dtype
            or not np.array_equal(ours[key], value)
        ]
        checks.append(_same(f"{what}: keys of {part}", list(ours), list(tensors)))
        checks.append(Check(f"{what}: values of {part}", len(wrong), 0, ", ".join(wrong[:3])))
    return checks


def _same_files(legacy: Path, ours: Path) -> list[Check]:
    """Every weight file is there again and names only what NumPy 1 knows."""
    checks = []
    for path in sorted(legacy.glob("*.npy")):
        written = ours / path.name
        if not written.exists():
            checks.append(Check(f"{path.name} written", 1, 0, "missing"))
            continue
        data = written.read_bytes()
        names = sorted(set(safe_pickle.audit(data).globals))
        before = {
            n.replace("._core.", ".core.") for n in safe_pickle.audit(path.read_bytes()).globals
        }
        checks.append(_same(f"{path.name} globals", names, sorted(before)))
        protocol = next(pickletools.genops(data))[1]
        checks.append(Check(f"{path.name} protocol", abs(int(protocol or 0) - 4), 0))
    return checks


def compare_pickle_globals(table: Mapping[str, Mapping[str, list[str]]]) -> list[Check]:
    """Every name that genuine files of any NumPy and protocol hold is one that we read."""
    allowed = {f"{module}.{name}" for module, name in ALLOWED}
    checks = []
    for version, protocols in table.items():
        for protocol, names in protocols.items():
            refused = [name for name in names if name not in allowed]
            what = f"NumPy {version}, protocol {protocol}"
            checks.append(Check(what, len(refused), 0, ", ".join(refused)))
    return checks

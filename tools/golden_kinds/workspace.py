"""Golden workspace files: data.dat, options, summaries, faces, loss graphs, merge sessions."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from dfl_tf.face import FaceType, transform_points
from dfl_tf.formats.faces import dfljpg
from dfl_tf.formats.models.legacy import plain, read_data
from dfl_tf.formats.pickles.safe_pickle import load_file
from dfl_tf.formats.sessions.merge_session import read_merge_session
from dfl_tf.imaging import decode_image
from dfl_tf.options import OPTIONS, MergeOptions, from_mapping, legacy_layer, resolve, summary_text
from dfl_tf.train.loss_graph import loss_graph
from golden_kinds.arrays import load_arrays, load_json, near, same
from golden_kinds.check import Check
from golden_kinds.texts import compare_defaults, known_settings

GRAPHS = "loss_history_preview.npz"
# `tiny_SAEHD_data.numpy2.dat`: the name of a model's file, and the dialect it was written in.
_DATA = re.compile(r"(.+?)_data(?:\.\w+)?\.dat")


def cases(folder: Path) -> list[str]:
    """All files of the folder that are of a known kind, and each loss graph."""
    found = [f"{group}:{path.relative_to(folder)}" for group, path in _files(folder)]
    names = load_arrays(folder / GRAPHS)
    return found + [f"graph:{name[4:]}" for name in names if name.startswith("img_")]


def _files(folder: Path) -> list[tuple[str, Path]]:
    patterns = {
        "data": "*_data*.dat",
        "defaults": "*_default_options*.dat",
        "session": "*_session.dat",
        "summary": "*_summary.txt",
        "face": "faceset/*/aligned/*.jpg",
    }
    return [(g, path) for g, pattern in patterns.items() for path in sorted(folder.glob(pattern))]


def run(folder: Path, case: str) -> list[Check]:
    """Run one case."""
    group, name = case.split(":", 1)
    return _GROUPS[group](folder, name)


def _full_name(file: str) -> str:
    match = _DATA.fullmatch(file)
    if match is None:
        raise ValueError(f"{file} is not a data.dat")
    return match[1]


def _run_data(folder: Path, file: str) -> list[Check]:
    """Content as listed beside it; and the same again after our own writing."""
    data, full_name = read_data(folder / file), _full_name(file)
    checks = [same(f"{key} is there", key in data, True) for key in ("iter", "options")]
    expected = load_json(folder / f"{full_name}_data.json") or {}
    options = plain(data["options"])
    facts: dict[str, Any] = {
        "iter": int(data["iter"]),
        "options": options,
        "loss_history": plain(data["loss_history"]),
        "choosed_gpu_indexes": data.get("choosed_gpu_indexes"),
    }
    checks += [same(key, facts[key], expected[key]) for key in facts if key in expected]
    if "options" in expected:
        checks.append(same("order of options", list(options), list(expected["options"])))
    stored = load_file(folder / file)["options"]
    for key, kind in expected.get("options_types", {}).items():
        checks.append(same(f"stored type of {key}", type(stored[key]).__name__, kind))
    samples = data.get("sample_for_preview") or []
    if "sample_for_preview_shapes" in expected:
        shapes = [[list(np.shape(array)) for array in group] for group in samples]
        checks.append(same("sample shapes", shapes, expected["sample_for_preview_shapes"]))
    for i, means in enumerate(expected.get("sample_for_preview_means", [])):
        got = [float(np.mean(array, dtype=np.float64)) for array in samples[i]]
        checks.append(near(f"sample means {i}", got, means, 1e-7))
    return checks


def _run_defaults(folder: Path, file: str) -> list[Check]:
    """A dictionary of plain values whose keys are options of the class."""
    return compare_defaults(folder / file)


def _run_summary(folder: Path, file: str) -> list[Check]:
    """Byte by byte what we write for the model whose data.dat lies beside it."""
    full_name = file.removesuffix("_summary.txt")
    stored = sorted(folder.glob(f"{full_name}_data*.dat"))
    if not stored:
        raise FileNotFoundError(f"{full_name}_data.dat, which {file} was made from")
    data = read_data(stored[0])
    cls = OPTIONS[full_name.rsplit("_", 1)[-1]]
    options = resolve(cls, [legacy_layer(cls, plain(data["options"]), origin=file)]).legacy()
    text = summary_text(full_name, int(data["iter"]), options)
    wanted = (folder / file).read_bytes().decode("utf-8")
    return [same("text", text, wanted)]


def _run_face(folder: Path, file: str) -> list[Check]:
    """A whole face: metadata that fit together and survive our writing."""
    data = (folder / file).read_bytes()
    metadata = dfljpg.read_metadata(data)
    if metadata is None:
        raise ValueError(f"{file} has no metadata")
    image = decode_image(data)
    with tempfile.TemporaryDirectory() as temporary:
        copy = Path(temporary) / "face.jpg"
        copy.write_bytes(data)
        dfljpg.write_metadata(copy, metadata)
        again = dfljpg.read_metadata(copy)
    assert again is not None
    checks = [
        same("shape", list(metadata.shape), list(image.shape)),
        same("68 landmarks", len(metadata.landmarks), 68),
        same("face type", FaceType.from_name(metadata.face_type).legacy, metadata.face_type),
        near("landmarks after saving", again.landmarks, metadata.landmarks, 0),
    ]
    if metadata.image_to_face_mat is not None and metadata.source_landmarks is not None:
        moved = transform_points(metadata.source_landmarks, metadata.image_to_face_mat)
        # The reference moves points in float32.
        checks.append(near("landmarks from the frame", moved, metadata.landmarks, 1e-3))
    return checks


def _run_graph(folder: Path, name: str) -> list[Check]:
    """README: exact except for pixels on rounding edges, under 0.1 %."""
    arrays = load_arrays(folder / GRAPHS)
    wanted = arrays[f"img_{name}"]
    graph = loss_graph(arrays[f"hist_{name}"], wanted.shape[1])
    if graph.shape != wanted.shape:
        return [same("shape", graph.shape, wanted.shape)]
    differing = np.abs(graph - wanted).max(axis=-1) > 0
    return [Check("share of differing pixels", float(differing.mean()), 0.001)]


def _run_session(folder: Path, file: str) -> list[Check]:
    """The frames are divided into done and remaining, and every configuration can be used."""
    session = read_merge_session(folder / file)
    indices = sorted(session.finished + session.remaining)
    checks = [
        same("every frame is done or remains", indices, list(range(len(session.frames)))),
        same(
            "frames that are done",
            [i for i, frame in enumerate(session.frames) if frame.done],
            sorted(session.finished),
        ),
    ]
    for i, frame in enumerate(session.frames):
        checks.append(same(f"{i} file name", frame.filename != "", True))
        checks += [same(f"{i} landmarks", points.shape, (68, 2)) for points in frame.landmarks]
        if frame.config is not None:
            checks.append(same(f"{i} mode", _settings(frame.config).mode, frame.config["mode"]))
    motions = load_json(folder / "motion_expected.json") or load_json(
        folder.parent / "merge" / "motion_expected.json"
    )
    for i, (frame, motion) in enumerate(zip(session.frames, motions or [], strict=False)):
        checks.append(near(f"{i} motion", frame.motion_power, motion["motion_power"], 1e-9))
        checks.append(near(f"{i} angle", frame.motion_deg, motion["motion_deg"], 1e-9))
    return checks


def _settings(config: dict[str, Any]) -> MergeOptions:
    return from_mapping(MergeOptions, known_settings(config), origin="session")[0]


_GROUPS: dict[str, Callable[[Path, str], list[Check]]] = {
    "data": _run_data,
    "defaults": _run_defaults,
    "session": _run_session,
    "summary": _run_summary,
    "face": _run_face,
    "graph": _run_graph,
}

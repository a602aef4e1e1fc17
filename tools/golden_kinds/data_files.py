"""Golden cases of face files, odd JPEGs, packed facesets and saved metadata."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from dfl_tf.errors import DflTfError, UnsafePickleError
from dfl_tf.face import FaceType
from dfl_tf.formats.faces import dfljpg
from dfl_tf.formats.faces.face_metadata import FaceMetadata
from dfl_tf.formats.faces.faceset_pak import PAK_NAME, read_pak
from dfl_tf.formats.faces.jpeg_segments import APP15, split_segments
from dfl_tf.formats.faces.metadata_file import META_NAME, restore_metadata
from dfl_tf.formats.pickles.safe_pickle import loads
from dfl_tf.imaging import decode_image, to_bgr
from golden_kinds.arrays import load_arrays, load_json, near, same
from golden_kinds.check import Check
from golden_kinds.data_samples import open_faceset

_OVERSIZE = "_oversize_save"


def face_files(folder: Path) -> list[str]:
    return list(load_json(folder / "files_expected.json") or {})


def _stored_dict(data: bytes, name: str) -> dict[str, Any]:
    payloads = [s.body[2:] for s in split_segments(data) if s.marker == APP15]
    stored = loads(payloads[-1], what=name) if payloads else {}
    return stored if isinstance(stored, dict) else {}


def run_face_file(folder: Path, case: str) -> list[Check]:
    expected = load_json(folder / "files_expected.json")[case]
    data = (folder / case).read_bytes()
    stored = {k: v for k, v in _stored_dict(data, case).items() if v is not None}
    metadata = dfljpg.read_metadata(data)
    assert metadata is not None
    rect = None if metadata.source_rect is None else list(metadata.source_rect)
    kinds = [{"type": kind, "n": len(points)} for kind, points in metadata.seg_ie_polys]
    facts: dict[str, object] = {
        "sha256": hashlib.sha256(data).hexdigest(),
        "keys": sorted(stored),
        "types": {key: type(value).__name__ for key, value in stored.items()},
        "face_type": metadata.face_type,
        "shape": list(metadata.shape),
        "eyebrows_expand_mod": metadata.eyebrows_expand_mod,
        "source_filename": metadata.source_filename,
        "source_rect": rect,
        "polys": kinds,
    }
    checks = [same(k, facts[k], expected[k]) for k in facts if k in expected]
    if "xseg" in expected:
        checks += _xseg_facts(metadata, stored, expected["xseg"])
    return checks + _face_arrays(folder, case, data, metadata)


def _xseg_facts(
    metadata: FaceMetadata, stored: dict[str, Any], expected: dict[str, Any] | None
) -> list[Check]:
    encoded, mask = metadata.xseg_mask_bytes, metadata.mask()
    if expected is None or encoded is None or mask is None:
        return [same("xseg", encoded is None, expected is None)]
    container = stored["xseg_mask"]
    facts = {
        "container": type(container).__name__,
        "array_shape": list(getattr(container, "shape", ())),
        "bytes": len(encoded),
        "codec": "png" if encoded[:4] == b"\x89PNG" else "jpeg",
        "decoded_shape": list(mask.shape),
    }
    checks = [same(f"xseg {k}", facts[k], expected[k]) for k in facts if k in expected]
    if "mean" in expected:
        checks.append(near("xseg mean", mask.mean(dtype=np.float64), expected["mean"], 1e-6))
    return checks


def _face_arrays(folder: Path, case: str, data: bytes, metadata: FaceMetadata) -> list[Check]:
    arrays = load_arrays(folder / "files_expected.npz")
    mask = metadata.mask()
    actual: dict[str, Any] = {
        "landmarks": metadata.landmarks,
        "source_landmarks": metadata.source_landmarks,
        "image_to_face_mat": metadata.image_to_face_mat,
        "pixel_sum_bgr": to_bgr(decode_image(data)).sum(axis=(0, 1), dtype=np.int64),
        "xseg_u8": None if mask is None else np.round(mask * 255).astype(np.uint8),
    }
    for number, (_, points) in enumerate(metadata.seg_ie_polys):
        actual[f"poly{number}"] = points
    checks = []
    for name in arrays:
        if name.startswith(f"{case}|"):
            expected = arrays[name]
            value = actual[name.rsplit("|", 1)[1]]
            if value is not None and value.shape != expected.shape and value.ndim == 3:
                value = value[:, :, 0] if expected.ndim == 2 else value
            checks.append(near(name.rsplit("|", 1)[1], np.asarray(value), expected, 0))
    return checks


def edge_files(folder: Path) -> list[str]:
    return list(load_json(folder / "jpeg_edge" / "expected.json") or {})


def run_edge_file(folder: Path, case: str) -> list[Check]:
    place = folder / "jpeg_edge"
    listed = load_json(place / "expected.json")
    if case == _OVERSIZE:
        return _run_oversize(place, listed)
    expected = listed[case]
    data = (place / case).read_bytes()
    if expected.get("face_type") == "(code ran)" or _hostile(data):
        return [same("refused", _refused(place / case), True)]
    repaired = _repaired(data, case)
    has_data = _has_data(data) if repaired else expected["has_data"]
    if not expected["dfl_loads"] and not repaired:
        return [same("rejected", _refused(place / case), True)]
    metadata = dfljpg.read_metadata(place / case)
    checks = [same("has data", metadata is not None, has_data)]
    if metadata is None:
        return checks
    if has_data and Path(case).suffix.lower() in (".jpg", ".jpeg"):
        names = [s.name for s in open_faceset(place)]
        checks.append(same("in the faceset", case in names, True))
    facts = {
        "face_type": metadata.face_type,
        "shape": list(metadata.shape),
        "n_landmarks": len(metadata.landmarks),
    }
    checks += [same(k, facts[k], expected[k]) for k in facts if k in expected]
    checks.append(same("68 landmarks", len(metadata.landmarks), 68))
    return checks + _resaved(data, case, metadata, expected)


def _refused(path: Path) -> bool:
    try:
        dfljpg.read_metadata(path)
    except DflTfError:
        return True
    return False


def _hostile(data: bytes) -> bool:
    """Whether the metadata name something that they may not (the legacy program runs it)."""
    payloads = [s.body[2:] for s in split_segments(data) if s.marker == APP15]
    try:
        for payload in payloads:
            loads(payload, what="metadata")
    except UnsafePickleError:
        return True
    except DflTfError:
        pass
    return False


def _has_data(data: bytes) -> bool:
    return bool(_stored_dict(data, "APP15"))


def _repaired(data: bytes, name: str) -> bool:
    """Whether the file has one of the oddities that we read and the legacy program does not."""
    segments = split_segments(data)
    foreign = any(s.marker == 0xE0 and s.body[2:6] != b"JFIF" for s in segments)
    restarts = any(s.marker == 0xDD for s in segments)
    trailing = data[data.find(b"\xff\xd9", data.find(b"\xff\xda")) + 2 :] != b""
    other_suffix = not name.endswith(".jpg") and name.lower().endswith((".jpg", ".jpeg"))
    return foreign or restarts or trailing or other_suffix


def _resaved(
    data: bytes, case: str, metadata: FaceMetadata, expected: dict[str, Any]
) -> list[Check]:
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / case
        path.write_bytes(data)
        dfljpg.write_metadata(path, metadata)
        written = path.read_bytes()
    again = dfljpg.read_metadata(written)
    checks = [
        same("landmarks after saving", again is not None and _same_points(again, metadata), True)
    ]
    if "chunks_after_resave" in expected:
        wanted: list[str] = []
        for marker in expected["chunks_after_resave"]:
            # All old APP15 segments go, not only the first (data.md 1.4).
            if not (marker == "EF" and "EF" in wanted):
                wanted.append(marker)
        markers = [f"{segment.marker:02X}" for segment in split_segments(written)]
        checks.append(same("segments", markers, wanted))
    if "resaved_sha256_body" in expected:
        body = hashlib.sha256(written[written.rfind(b"\xff\xda") :]).hexdigest()
        checks.append(same("body", body, expected["resaved_sha256_body"]))
    return checks


def _same_points(a: FaceMetadata, b: FaceMetadata) -> bool:
    return bool(np.array_equal(a.landmarks, b.landmarks))


def _run_oversize(place: Path, listed: dict[str, Any]) -> list[Check]:
    """Metadata that fit no segment must be refused, and the old file must stay whole."""
    name = next(
        n
        for n, facts in listed.items()
        if isinstance(facts, dict) and facts["has_data"] and facts.get("n_landmarks") == 68
    )
    data = (place / name).read_bytes()
    metadata = dfljpg.read_metadata(data)
    assert metadata is not None
    metadata.extra["note"] = "x" * 70000
    refused = False
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / name
        path.write_bytes(data)
        try:
            dfljpg.write_metadata(path, metadata)
        except DflTfError:
            refused = True
        whole = path.read_bytes() == data
    return [same("refused", refused, True), same("old file whole", whole, True)]


def paks(folder: Path) -> list[str]:
    return [path.parent.name for path in sorted((folder / "packed").glob("*/expected.json"))]


def run_pak(folder: Path, case: str) -> list[Check]:
    place = folder / "packed" / case
    expected = json.loads((place / "expected.json").read_text(encoding="utf-8"))
    pak = read_pak(place / PAK_NAME)
    checks = [same("number of samples", len(pak), expected["n_samples"])]
    if "file_size" in expected:
        size = (place / PAK_NAME).stat().st_size
        checks.append(same("size of the file", size, expected["file_size"]))
    for index, (entry, wanted) in enumerate(zip(pak.entries, expected["samples"], strict=True)):
        metadata = entry.metadata
        mask = metadata.xseg_mask_bytes
        jpeg = pak.jpeg(index)
        facts: dict[str, object] = {
            "filename": entry.filename,
            "person_name": entry.person_name,
            "face_type": FaceType.from_name(metadata.face_type).value,
            "shape": list(metadata.shape),
            "eyebrows_expand_mod": metadata.eyebrows_expand_mod,
            "source_filename": metadata.source_filename,
            "has_xseg": mask is not None,
            "xseg_len": None if mask is None else len(mask),
            "polys": [
                {"type": kind, "pts": points.tolist()} for kind, points in metadata.seg_ie_polys
            ],
            "offset": entry.offset,
            "raw_len": len(jpeg),
            "sha256": hashlib.sha256(jpeg).hexdigest(),
        }
        checks += [same(f"{index} {k}", facts[k], wanted[k]) for k in facts if k in wanted]
        checks.append(near(f"{index} landmarks", metadata.landmarks, wanted["landmarks"], 0))
    names = [sample.name for sample in open_faceset(place)]
    checks.append(same("faceset", names, [s["filename"] for s in expected["samples"]]))
    return checks


def metas(folder: Path) -> list[str]:
    suffix = "_edited.jpg"
    return [p.name.removesuffix(suffix) for p in sorted((folder / "meta").glob(f"*{suffix}"))]


def run_meta(folder: Path, case: str) -> list[Check]:
    place, name = folder / "meta", f"{case}.jpg"
    edited = (place / f"{case}_edited.jpg").read_bytes()
    expected_data = (place / f"{case}_restored.jpg").read_bytes()
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        for other in metas(folder):  # meta.dat goes only when all of its faces have theirs back
            (work / f"{other}.jpg").write_bytes((place / f"{other}_edited.jpg").read_bytes())
        (work / META_NAME).write_bytes((place / META_NAME).read_bytes())
        restore_metadata(work)
        restored_data = (work / name).read_bytes()
        gone = not (work / META_NAME).exists()
    restored = dfljpg.read_metadata(restored_data)
    expected = dfljpg.read_metadata(expected_data)
    assert restored is not None
    assert expected is not None
    checks = [same("meta.dat is removed", gone, True)]
    for part in dataclasses.fields(restored):
        a, b = getattr(restored, part.name), getattr(expected, part.name)
        equal = str(a) == str(b) if part.name == "seg_ie_polys" else np.array_equal(a, b)
        checks.append(Check(part.name, 0.0 if equal else 1.0, 0.0))
    pixels, wanted = decode_image(restored_data), decode_image(expected_data)
    resized = decode_image(edited).shape != wanted.shape
    checks.append(near("pixels", pixels, wanted, 3 if resized else 0))
    return checks

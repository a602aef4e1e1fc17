"""Face metadata in JPEGs: genuine files, odd files, and every promise about saving."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import struct
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfl_tf.errors import DflTfError, FacesetError, UnsafePickleError
from dfl_tf.formats.faces import dfljpg, face_metadata, jpeg_segments, stored_mask
from dfl_tf.formats.pickles import safe_pickle
from tests.formats.samples import (
    GOLDEN_DATA,
    assert_same_metadata,
    make_face,
    make_jpeg,
    make_metadata,
)

EXPECTED = json.loads((GOLDEN_DATA / "files_expected.json").read_text())
THERE = sorted(name for name in EXPECTED if (GOLDEN_DATA / name).is_file())
EDGES = json.loads((GOLDEN_DATA / "jpeg_edge" / "expected.json").read_text())
# where data.md 1.2 repairs the old reader: loads with or without data
REPAIRED = {
    "trailing_bytes.jpg": True,
    "restart_interval_dri.jpg": True,
    "upper_case_ext.JPG": True,
    "jpeg_ext.jpeg": True,
    "app0_not_jfif.jpg": False,
}


@pytest.mark.golden
@pytest.mark.parametrize("name", THERE)
def test_genuine_face_is_read_exactly(name: str) -> None:
    wanted = EXPECTED[name]
    arrays = np.load(GOLDEN_DATA / "files_expected.npz")
    found = dfljpg.read_metadata(GOLDEN_DATA / name)
    assert found is not None
    assert found.face_type == wanted["face_type"]
    assert list(found.shape) == wanted["shape"]
    assert found.eyebrows_expand_mod == wanted["eyebrows_expand_mod"]
    assert found.source_filename == wanted["source_filename"]
    assert list(found.source_rect or ()) == wanted["source_rect"]
    for key in ("landmarks", "source_landmarks"):
        assert np.array_equal(getattr(found, key), arrays[f"{name}|{key}"])
    assert [(kind, len(p)) for kind, p in found.seg_ie_polys] == [
        (polygon["type"], polygon["n"]) for polygon in wanted["polys"]
    ]
    for index, (_, points) in enumerate(found.seg_ie_polys):
        assert np.array_equal(points, arrays[f"{name}|poly{index}"])
    mask = found.mask()
    assert (mask is None) == (wanted["xseg"] is None)
    if mask is not None:
        assert list(mask.shape) == wanted["xseg"]["decoded_shape"]
        assert mask.mean() == pytest.approx(wanted["xseg"]["mean"], abs=1e-6)
        if f"{name}|xseg_u8" in arrays:  # the public subset leaves some out
            stored = arrays[f"{name}|xseg_u8"].squeeze()
            assert np.array_equal(np.rint(mask.squeeze() * 255), stored)


@pytest.mark.golden
@pytest.mark.parametrize(
    "name", sorted(n for n in EDGES if (GOLDEN_DATA / "jpeg_edge" / n).exists())
)
def test_odd_file_is_read_and_saved_as_specified(name: str) -> None:
    path, wanted = GOLDEN_DATA / "jpeg_edge" / name, EDGES[name]
    if name == "malicious_global.jpg":
        with pytest.raises(UnsafePickleError, match=r"posix\.getcwd"):
            dfljpg.read_metadata(path)
        return
    if not wanted["dfl_loads"] and name not in REPAIRED:
        with pytest.raises(DflTfError, match=name):
            dfljpg.read_metadata(path)
        return
    found = dfljpg.read_metadata(path)
    assert (found is not None) == REPAIRED.get(name, wanted["has_data"])
    if found is None:
        return
    assert found.landmarks.shape == (68, 2)
    again = dfljpg.embed_metadata(path.read_bytes(), found)
    if "chunks_after_resave" in wanted:
        codes = [f"{segment.marker:02X}" for segment in jpeg_segments.split_segments(again)]
        chunks = wanted["chunks_after_resave"]
        if chunks.count("EF") == 2:  # the old program removes the first old one only
            chunks.remove("EF")
        assert codes == chunks
        body = again[again.rfind(b"\xff\xda") :]
        assert hashlib.sha256(body).hexdigest() == wanted["resaved_sha256_body"]


def test_all_fields_survive_a_round_trip() -> None:
    metadata = make_metadata()
    found = dfljpg.read_metadata(dfljpg.embed_metadata(make_jpeg(), metadata))
    assert found is not None
    assert_same_metadata(found, metadata)


numbers = st.floats(-1e6, 1e6, width=32)


@settings(max_examples=40, deadline=None)
@given(
    landmarks=st.lists(st.tuples(numbers, numbers), min_size=68, max_size=68),
    name=st.text(max_size=40),
    rect=st.none() | st.tuples(*[st.integers(-5000, 5000)] * 4),
    brows=st.floats(0, 4),
    polygons=st.lists(
        st.tuples(st.integers(0, 1), st.lists(st.tuples(numbers, numbers), max_size=6)), max_size=4
    ),
    extra=st.dictionaries(
        st.text(min_size=1, max_size=8).filter(lambda key: key not in face_metadata._KNOWN),
        st.integers() | st.text() | st.lists(st.floats(allow_nan=False), max_size=3),
        max_size=3,
    ),
)
def test_any_metadata_survives_a_round_trip(
    landmarks: list[tuple[float, float]],
    name: str,
    rect: tuple[int, int, int, int] | None,
    brows: float,
    polygons: list[tuple[int, list[tuple[float, float]]]],
    extra: dict[str, object],
) -> None:
    metadata = face_metadata.FaceMetadata(
        landmarks=np.array(landmarks, np.float64),
        source_filename=name,
        source_rect=rect,
        eyebrows_expand_mod=brows,
        seg_ie_polys=sorted(
            [(kind, np.array(p, np.float32).reshape(-1, 2)) for kind, p in polygons],
            key=lambda polygon: -polygon[0],
        ),
        shape=(48, 48, 3),
        extra=extra,
    )
    found = dfljpg.read_metadata(dfljpg.embed_metadata(make_jpeg(), metadata))
    assert found is not None
    assert_same_metadata(found, metadata)


def test_saving_keeps_pixels_and_every_other_segment() -> None:
    plain = make_jpeg()
    face = dfljpg.embed_metadata(plain, make_metadata())
    assert dfljpg.strip_metadata(face) == plain
    assert np.array_equal(_decode(face), _decode(plain))


def _decode(data: bytes) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)


def test_written_pickle_is_readable_for_the_oldest_builds() -> None:
    segments = jpeg_segments.split_segments(make_face())
    (payload,) = [s.body[2:] for s in segments if s.marker == jpeg_segments.APP15]
    assert payload[:2] == b"\x80\x03"
    names = {
        "numpy.core.multiarray._reconstruct",
        "numpy.ndarray",
        "numpy.dtype",
    }
    assert set(safe_pickle.audit(payload).globals) == names


def test_mask_that_does_not_fit_is_encoded_smaller() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (256, 256)).astype(np.uint8)
    metadata = dataclasses.replace(
        make_metadata(), xseg_mask_bytes=cv2.imencode(".png", noise)[1].tobytes()
    )
    assert len(metadata.xseg_mask_bytes or b"") > dfljpg.MAX_PAYLOAD
    found = dfljpg.read_metadata(dfljpg.embed_metadata(make_jpeg(), metadata))
    assert found is not None
    mask = found.mask()
    assert mask is not None
    assert mask.shape == (256, 256, 1)
    assert np.abs(mask.squeeze() - noise / 255).mean() < 0.05


def test_metadata_that_cannot_fit_leaves_the_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "face.jpg"
    path.write_bytes(make_face())
    before = path.read_bytes()
    polygons = [(1, np.zeros((9000, 2), np.float32))]
    with pytest.raises(FacesetError, match=r"needs \d+ bytes, a JPEG holds 65533"):
        dfljpg.write_metadata(path, dataclasses.replace(make_metadata(), seg_ie_polys=polygons))
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["face.jpg"]


def test_write_metadata_replaces_it_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "face.jpg"
    path.write_bytes(make_face(1))
    dfljpg.write_metadata(path, make_metadata(2))
    found = dfljpg.read_metadata(path)
    assert found is not None
    assert_same_metadata(found, make_metadata(2))


def test_scan_without_end_marker_keeps_its_bytes() -> None:
    face = make_face()
    assert face.endswith(b"\xff\xd9")
    cut = face[:-2]
    found = dfljpg.read_metadata(cut)
    assert found is not None
    assert dfljpg.embed_metadata(cut, found) == face


def test_empty_segment_is_written_with_its_length() -> None:
    jpeg = make_jpeg()
    odd = jpeg[:2] + b"\xff\xfe\x00\x02" + jpeg[2:]
    again = dfljpg.embed_metadata(odd, make_metadata())
    assert b"\xff\xfe\x00\x02" in again
    assert dfljpg.read_metadata(again) is not None


@pytest.mark.parametrize("cut", [3, 30, 300, 1500])
def test_truncated_face_is_an_error_that_names_the_file(cut: int, tmp_path: Path) -> None:
    path = tmp_path / "cut.jpg"
    path.write_bytes(make_face()[:cut])
    with pytest.raises(FacesetError, match=r"cut\.jpg: .*JPEG"):
        dfljpg.read_metadata(path)


def test_all_errors_of_the_metadata_are_named_together() -> None:
    payload = safe_pickle.dumps_legacy({"landmarks": [[1, 2]], "source_rect": "x", "face_type": 5})
    jpeg = make_jpeg()
    odd = jpeg[:2] + b"\xff\xef" + struct.pack(">H", len(payload) + 2) + payload + jpeg[2:]
    with pytest.raises(FacesetError, match=r"landmarks .*face_type .*source_rect"):
        dfljpg.read_metadata(odd)


def test_image_without_metadata_and_png_are_no_faces() -> None:
    assert dfljpg.read_metadata(make_jpeg()) is None
    png = cv2.imencode(".png", np.zeros((4, 4, 3), np.uint8))[1].tobytes()
    assert dfljpg.read_metadata(png) is None


def test_mask_is_encoded_as_the_old_program_does() -> None:
    ramp = np.linspace(-0.1, 1.1, 64, dtype=np.float32).reshape(8, 8)
    stored = stored_mask.encode_mask(np.stack([ramp, ramp * 0], axis=2))
    assert stored[:4] == b"\x89PNG"
    wanted = np.trunc(np.clip(ramp * 255, 0, 255)) / 255
    assert stored_mask.decode_mask(stored).squeeze() == pytest.approx(wanted, abs=1e-6)
    noise = np.random.default_rng(0).random((256, 256))
    assert stored_mask.encode_mask(noise)[:2] == b"\xff\xd8"
    assert len(stored_mask.encode_mask(noise)) <= stored_mask.MAX_MASK_BYTES


def test_a_mask_over_50000_bytes_becomes_a_jpeg() -> None:
    """data.md 1.3: noise of 235 pixels is 55 kB as PNG, of 215 pixels 46 kB."""
    for side, magic in ((235, b"\xff\xd8"), (215, b"\x89P")):
        noise = np.random.default_rng(0).random((side, side), np.float32)
        encoded = stored_mask.encode_mask(noise)
        assert encoded[:2] == magic
        assert len(encoded) <= 50_000

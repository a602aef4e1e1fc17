"""Packed facesets: genuine ones, round trips, and the layout that old programs expect."""

from __future__ import annotations

import hashlib
import json
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfl_tf.disk.plain_file import is_safe_name
from dfl_tf.errors import FacesetError
from dfl_tf.formats import read_pak, write_pak
from dfl_tf.formats.faces.faceset_pak import FACE_TYPE_VALUES
from dfl_tf.formats.pickles import safe_pickle
from tests.formats.samples import (
    GOLDEN_DATA,
    assert_same_metadata,
    make_face,
    make_metadata,
)

PAKS = sorted((GOLDEN_DATA / "packed").glob("*/faceset.pak"))


@pytest.mark.golden
@pytest.mark.parametrize("path", PAKS, ids=lambda path: path.parent.name)
def test_genuine_pak_is_read_exactly(path: Path) -> None:
    expected = json.loads((path.parent / "expected.json").read_text())["samples"]
    found = read_pak(path)
    assert len(found) == len(expected)
    for index, (entry, wanted) in enumerate(zip(found.entries, expected, strict=True)):
        assert (entry.filename, entry.person_name) == (wanted["filename"], wanted["person_name"])
        assert (entry.offset, entry.size) == (wanted["offset"], wanted["raw_len"])
        assert hashlib.sha256(found.jpeg(index)).hexdigest() == wanted["sha256"]
        metadata = entry.metadata
        assert FACE_TYPE_VALUES[metadata.face_type] == wanted["face_type"]
        assert list(metadata.shape) == wanted["shape"]
        assert np.array_equal(metadata.landmarks, wanted["landmarks"])
        assert metadata.eyebrows_expand_mod == wanted["eyebrows_expand_mod"]
        assert metadata.source_filename == wanted["source_filename"]
        assert (metadata.xseg_mask_bytes is not None) == wanted["has_xseg"]
        if wanted["has_xseg"]:
            assert len(metadata.xseg_mask_bytes or b"") == wanted["xseg_len"]


@pytest.mark.golden
@pytest.mark.parametrize("path", PAKS, ids=lambda path: path.parent.name)
def test_genuine_pak_written_again_has_the_same_images_and_legacy_layout(
    path: Path, tmp_path: Path
) -> None:
    old = read_pak(path)
    faces = [
        (e.filename, e.person_name, e.metadata, old.jpeg(i)) for i, e in enumerate(old.entries)
    ]
    target = tmp_path / "faceset.pak"
    assert write_pak(target, faces) == len(old)
    new = read_pak(target)
    assert [new.jpeg(i) for i in range(len(new))] == [old.jpeg(i) for i in range(len(old))]
    for first, second in zip(old.entries, new.entries, strict=True):
        assert_same_metadata(first.metadata, second.metadata)
    data = target.read_bytes()
    version, size = struct.unpack("<QQ", data[:16])
    names = safe_pickle.audit(data[16 : 16 + size]).globals
    assert version == 1
    assert set(names) <= {
        "samplelib.Sample.SampleType",
        "facelib.FaceType.FaceType",
        "numpy.core.multiarray._reconstruct",
        "numpy.ndarray",
        "numpy.dtype",
    }
    table = struct.unpack(f"<{len(new) + 1}Q", data[16 + size : 16 + size + 8 * (len(new) + 1)])
    assert table[0] == 0
    assert table[-1] == len(data)  # absolute: the old slip is kept


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(sorted(FACE_TYPE_VALUES)),
            st.none() | st.just("p q"),
            st.binary(max_size=60),
        ),
        min_size=1,
        max_size=6,
    )
)
def test_any_list_of_faces_survives_a_round_trip(
    tmp_path_factory: pytest.TempPathFactory, faces: list[tuple[str, str | None, bytes]]
) -> None:
    path = tmp_path_factory.mktemp("pak") / "faceset.pak"
    listed = [
        (f"{i}.jpg", person, replace(make_metadata(i), face_type=kind, extra={}), b"\xff" + image)
        for i, (kind, person, image) in enumerate(faces)
    ]
    write_pak(path, listed)
    found = read_pak(path)
    for index, (filename, person, metadata, image) in enumerate(listed):
        entry = found[index]
        assert (entry.filename, entry.person_name) == (filename, person)
        assert entry.metadata.face_type == metadata.face_type
        assert np.array_equal(entry.metadata.landmarks, metadata.landmarks)
        assert entry.metadata.xseg_mask_bytes == metadata.xseg_mask_bytes
        assert found.jpeg(index) == image


@pytest.mark.parametrize("cut", [4, 40, 3000])
def test_truncated_pak_is_an_error_that_names_it(cut: int, tmp_path: Path) -> None:
    path = tmp_path / "faceset.pak"
    write_pak(path, [("a.jpg", None, make_metadata(), make_face())])
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(FacesetError, match=r"faceset\.pak: truncated"):
        read_pak(path)


def test_old_pak_with_a_float_mask_gets_it_encoded(tmp_path: Path) -> None:
    mask = np.zeros((16, 16, 1), np.float32)
    mask[4:8] = 1
    face = make_face()
    config = safe_pickle.dumps_legacy(
        [
            {
                "filename": "a.jpg",
                "face_type": safe_pickle.EnumValue("facelib.FaceType", "FaceType", 4),
                "shape": (48, 48, 3),
                "landmarks": [[1.0, 2.0]] * 68,
                "xseg_mask": mask,
            }
        ]
    )
    start = 16 + len(config) + 16
    path = tmp_path / "old.pak"
    path.write_bytes(
        struct.pack("<QQ", 1, len(config))
        + config
        + struct.pack("<QQ", 0, start + len(face))
        + face
    )
    found = read_pak(path)
    decoded = found[0].metadata.mask()
    assert decoded is not None
    assert np.array_equal(decoded, mask)
    assert found.jpeg(0) == face


def test_unsafe_names_are_refused_on_writing(tmp_path: Path) -> None:
    for name in ("../x.jpg", "", "a/b.jpg", "a\\b", ".."):
        assert not is_safe_name(name)
        with pytest.raises(FacesetError, match="not a plain file name"):
            write_pak(tmp_path / "x.pak", [(name, None, make_metadata(), b"x")])
    assert not (tmp_path / "x.pak").exists()

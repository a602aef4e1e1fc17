"""The pickle machine reads what is genuine in every dialect, and writes for old programs."""

from __future__ import annotations

import json
import pickle
import pickletools
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfl_tf.errors import LegacyFormatError, UnsafePickleError
from dfl_tf.formats.models.report import same_value
from dfl_tf.formats.pickles import safe_pickle
from tests.formats.samples import GOLDEN

CORE_NAMES = {
    "numpy.core.multiarray._reconstruct",
    "numpy.core.multiarray.scalar",
    "numpy.ndarray",
    "numpy.dtype",
}


@pytest.mark.golden
@pytest.mark.parametrize("name", json.loads((GOLDEN / "file_contents.json").read_text()))
def test_genuine_weight_file_has_the_listed_keys_types_and_shapes(name: str) -> None:
    expected = json.loads((GOLDEN / "file_contents.json").read_text())[name]
    found = safe_pickle.load_file(GOLDEN / name)
    assert list(found) == list(expected)
    for key, (kind, dtype, shape) in expected.items():
        assert found[key].dtype.name == dtype
        assert list(found[key].shape) == shape
        assert isinstance(found[key], np.ndarray) == (kind == "ndarray")


@pytest.mark.golden
@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.npy")) + sorted(GOLDEN.glob("*data*.dat")))
def test_genuine_file_written_again_holds_the_same_and_names_only_old_numpy(path: Path) -> None:
    value = safe_pickle.load_file(path)
    for protocol in (3, 4):
        written = safe_pickle.dumps_legacy(value, protocol=protocol)
        assert same_value(safe_pickle.loads(written, what="again"), value)
        assert set(safe_pickle.audit(written).globals) <= CORE_NAMES
        opcode, version, _ = next(pickletools.genops(written))
        assert (opcode.name, version) == ("PROTO", protocol)


@pytest.mark.golden
def test_both_dialects_of_a_data_file_hold_the_same() -> None:
    old = safe_pickle.load_file(GOLDEN / "tiny_SAEHD_data.numpy1.dat")
    new = safe_pickle.load_file(GOLDEN / "tiny_SAEHD_data.numpy2.dat")
    assert same_value(old, new)
    expected = json.loads((GOLDEN / "tiny_SAEHD_data.json").read_text())
    assert old["iter"] == expected["iter"]
    assert old["options"] == expected["options"]
    types = {key: type(value).__name__ for key, value in old["options"].items()}
    assert types == expected["options_types"]
    assert old["loss_history"] == expected["loss_history"]
    for arrays, shapes, means in zip(
        old["sample_for_preview"],
        expected["sample_for_preview_shapes"],
        expected["sample_for_preview_means"],
        strict=True,
    ):
        assert [list(array.shape) for array in arrays] == shapes
        assert [float(array.mean()) for array in arrays] == pytest.approx(means, abs=1e-6)


VALUES = {
    "array": np.arange(12.0).reshape(3, 4),
    "fortran": np.asfortranarray(np.arange(12, dtype=np.int16).reshape(3, 4)),
    "big endian": np.arange(3, dtype=">f4"),
    "half": np.float16([1, 2]),
    "empty": np.zeros((0, 4), np.uint8),
    "zero-dimensional": np.array(3),
    "bool": np.array([True, False]),
    "text": np.array(["ab", "c"]),
    "complex": np.array([1j]),
    "scalar": np.float32(2.5),
    "counter": np.int64(-3),
    "long": 2**70,
    "negative": -(2**40),
    "nan": float("nan"),
    "nested": [(1, (2, "x"), ()), {"a": None, 5: True}, b"x" * 9000, "grün"],
}


@pytest.mark.parametrize("protocol", range(6))
def test_every_protocol_of_python_is_read(protocol: int) -> None:
    found = safe_pickle.loads(pickle.dumps(VALUES, protocol), what="x")
    wanted = VALUES | {"big endian": np.arange(3, dtype="f4")}
    assert same_value(found, wanted)
    assert all(found[key].flags.writeable for key in ("array", "fortran", "bool"))


def _plain() -> st.SearchStrategy[object]:
    leaves = (
        st.none()
        | st.booleans()
        | st.integers(-(2**80), 2**80)
        | st.floats()
        | st.text(max_size=12)
        | st.binary(max_size=300)
    )
    return st.recursive(
        leaves,
        lambda inner: (
            st.lists(inner, max_size=5)
            | st.dictionaries(st.text(max_size=5) | st.integers(), inner, max_size=5)
            | st.lists(inner, max_size=5).map(tuple)
        ),
        max_leaves=25,
    )


@settings(max_examples=150, deadline=None)
@given(_plain(), st.integers(0, 5))
def test_any_plain_value_is_read_from_python_and_from_ours(value: object, protocol: int) -> None:
    assert same_value(safe_pickle.loads(pickle.dumps(value, protocol), what="x"), value)
    written = safe_pickle.dumps_legacy(value)
    assert same_value(safe_pickle.loads(written, what="x"), value)


def test_long_loss_history_is_read_and_written_fast() -> None:
    history = np.random.default_rng(0).random((100_000, 2)).tolist()
    start = time.process_time()
    written = safe_pickle.dumps_legacy({"loss_history": history})
    assert safe_pickle.loads(written, what="x")["loss_history"] == history
    from_python = pickle.dumps({"loss_history": history}, 4)
    assert safe_pickle.loads(from_python, what="x")["loss_history"] == history
    assert time.process_time() - start < 20


def test_audit_lists_every_global_and_judges_it() -> None:
    found = safe_pickle.audit(b"\x80\x03cos\nsystem\nX\x04\x00\x00\x00echo\x85R.")
    assert found.globals == ["os.system"]
    assert found.refused == ["os.system"]
    genuine = safe_pickle.audit((GOLDEN / "mini_AMP_GAN_opt.npy").read_bytes())
    assert (set(genuine.globals), genuine.refused, genuine.problem) == (CORE_NAMES, [], "")


def test_enum_keeps_the_name_of_its_class_when_written_again() -> None:
    value = safe_pickle.EnumValue("facelib.FaceType", "FaceType", 4)
    written = safe_pickle.dumps_legacy([value, value], protocol=3)
    assert safe_pickle.audit(written).globals == ["facelib.FaceType.FaceType"]
    (found, _) = safe_pickle.loads(written, what="x")
    assert (found, found.module, found.name) == (4, "facelib.FaceType", "FaceType")


def test_writer_refuses_what_old_programs_cannot_read() -> None:
    for value in ({1, 2}, object(), np.array([object()]), np.zeros(2, "V3"), 1 << 600):
        with pytest.raises(TypeError):
            safe_pickle.dumps_legacy(value)
    with pytest.raises(ValueError, match="protocol"):
        safe_pickle.dumps_legacy(1, protocol=5)


def test_missing_and_empty_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(LegacyFormatError, match="nowhere"):
        safe_pickle.load_file(tmp_path / "nowhere.dat")
    (tmp_path / "empty.dat").touch()
    with pytest.raises(LegacyFormatError, match="is empty"):
        safe_pickle.load_file(tmp_path / "empty.dat")


def test_refusal_names_file_and_global() -> None:
    with pytest.raises(UnsafePickleError, match=r"face\.jpg: names builtins\.eval"):
        safe_pickle.loads(b"\x80\x03cbuiltins\neval\n.", what="face.jpg")

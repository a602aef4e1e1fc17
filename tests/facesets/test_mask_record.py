"""Which model made the masks: recorded beside the faces, compared between src and dst."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import dfl_tf
from dfl_tf.errors import ModelFileError, WorkspaceError
from dfl_tf.facesets import xseg_tools
from dfl_tf.facesets.onnx_masker import OnnxMasker
from dfl_tf.facesets.xseg_masker import XSegMasker
from dfl_tf.facesets.xseg_store import open_store
from dfl_tf.formats import read_metadata, read_pak
from dfl_tf.formats.faces.mask_record import (
    RECORD,
    MaskRecord,
    mask_warnings,
    read_mask_record,
    write_mask_record,
)

DEMO = Path(dfl_tf.__file__).parent / "demo_data" / "data_src" / "aligned"
ONE = MaskRecord("XSeg in model", 1000, "a" * 64, "wf")


class Bright:
    def __init__(self, fails: bool = False) -> None:
        self.fails = fails

    def mask(self, images):
        if self.fails:
            raise KeyboardInterrupt
        return (images.mean(axis=-1, keepdims=True) > 0.4).astype(np.float32)


@pytest.fixture
def folder(tmp_path) -> Path:
    pak = read_pak(DEMO / "faceset.pak")
    place = tmp_path / "data_src" / "aligned"
    place.mkdir(parents=True)
    for index in range(4):
        (place / pak[index].filename).write_bytes(pak.jpeg(index))
    return place


def test_applying_notes_the_model_and_removing_takes_the_note_away(folder):
    masker = XSegMasker(Bright(), None, "w", ONE)
    xseg_tools.apply_masks(open_store(folder), masker)
    assert read_mask_record(folder) == replace(ONE, faces=4, complete=True)
    store = open_store(folder)
    assert len(store) == 4
    assert not list(store.left_out)
    xseg_tools.remove_masks(store)
    assert read_mask_record(folder) is None


def test_the_note_lies_beside_a_pak(tmp_path):
    pak = Path(shutil.copy(DEMO / "faceset.pak", tmp_path / "faceset.pak"))
    xseg_tools.apply_masks(open_store(pak), XSegMasker(Bright(), None, "w", ONE))
    assert read_mask_record(pak) == read_mask_record(tmp_path)
    assert read_mask_record(pak).complete


def test_an_interrupted_run_is_noted_as_such(folder):
    write_mask_record(folder, replace(ONE, sha256="b" * 64, complete=True))
    with pytest.raises(KeyboardInterrupt):
        xseg_tools.apply_masks(open_store(folder), XSegMasker(Bright(fails=True), None, "w", ONE))
    assert read_mask_record(folder) == ONE
    assert "interrupted" in mask_warnings(folder, folder)[0]


def test_sides_masked_by_different_models_are_said(folder, tmp_path):
    dst = tmp_path / "data_dst" / "aligned"
    dst.mkdir(parents=True)
    assert mask_warnings(folder, dst) == []
    done = replace(ONE, faces=4, complete=True)
    write_mask_record(folder, done)
    assert mask_warnings(folder, dst) == []
    write_mask_record(dst, replace(done, faces=9))
    assert mask_warnings(folder, dst) == []
    write_mask_record(dst, replace(done, sha256="b" * 64, iteration=2000))
    (line,) = mask_warnings(folder, dst)
    assert "src was masked by XSeg in model at iteration 1000" in line
    assert "dst by XSeg in model at iteration 2000" in line
    write_mask_record(dst, replace(done, face_type="f"))
    assert len(mask_warnings(folder, dst)) == 1


@pytest.mark.parametrize("content", [b"", b"[]", b'{"name": 1}', b"\xff" * 70000])
def test_a_note_that_cannot_be_read_is_named(folder, content):
    (folder / RECORD).write_bytes(content)
    with pytest.raises(WorkspaceError, match=RECORD):
        read_mask_record(folder)


def mask_network(
    path: Path, shape: list, *, name: str = "input", kind: int = TensorProto.FLOAT, scale: float = 1
) -> Path:
    """A network of another program: what is bright is face; its output has the input's layout."""
    first = shape[1] == 3
    out = [shape[0], 1, *shape[2:]] if first else [*shape[:3], 1]
    nodes = [
        helper.make_node("Cast", [name], ["float"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["float"], ["gray"], axes=[1 if first else 3], keepdims=1),
        helper.make_node("Sub", ["gray", "half"], ["above"]),
        helper.make_node("Sign", ["above"], ["sign"]),
    ]
    half = 0.4 * (255 if kind == TensorProto.UINT8 else 1)
    weights = {"half": half, "zero": 0.0, "scale": abs(scale)}
    if scale > 0:
        nodes.append(helper.make_node("Max", ["sign", "zero"], ["soft"]))
    nodes.append(helper.make_node("Mul", ["soft" if scale > 0 else "sign", "scale"], ["mask"]))
    graph = helper.make_graph(
        nodes,
        "mask",
        [helper.make_tensor_value_info(name, kind, shape)],
        [helper.make_tensor_value_info("mask", TensorProto.FLOAT, out)],
        [helper.make_tensor(k, TensorProto.FLOAT, [], [v]) for k, v in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, str(path))
    return path


@pytest.mark.parametrize(
    ("shape", "kind", "scale", "output"),
    [
        (["n", 256, 256, 3], TensorProto.FLOAT, 1, "0 to 1"),
        ([1, 3, 256, 256], TensorProto.FLOAT, 255, "0 to 255"),
        (["n", 3, "h", "w"], TensorProto.FLOAT, -8, "logits"),
        (["n", 128, 128, 3], TensorProto.UINT8, 1, "0 to 1"),
    ],
)
def test_masks_by_a_network_of_another_program(tmp_path, folder, shape, kind, scale, output):
    masker = OnnxMasker(mask_network(tmp_path / "o.onnx", shape, kind=kind, scale=scale))
    assert masker.range == output
    xseg_tools.apply_masks(open_store(folder), masker)
    assert read_mask_record(folder).name == "o.onnx"
    for path in folder.glob("*.jpg"):
        image = cv2.imread(str(path)) / np.float32(255)
        resized = cv2.resize(image, (256, 256), interpolation=cv2.INTER_LANCZOS4)
        mask = read_metadata(path).mask()[:, :, 0]
        assert np.mean(mask != (resized.mean(axis=-1) > 0.4)) < 0.02


def test_networks_that_make_no_mask_are_refused(tmp_path):
    path = mask_network(tmp_path / "big.onnx", ["n", 256, 256, 3], scale=1000)
    with pytest.raises(ModelFileError, match=r"big\.onnx: its output goes from"):
        OnnxMasker(path)
    from .test_identity import color_network

    path = color_network(tmp_path / "color.onnx", shape=["n", 256, 256, 3])
    with pytest.raises(ModelFileError, match=r"color\.onnx: its output is \(3, 3\)"):
        OnnxMasker(path)

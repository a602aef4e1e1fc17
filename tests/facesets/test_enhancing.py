"""Faces that an ONNX network of the user sharpens: layouts, ranges, sizes, and the command."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from dfl_tf.cli.main import run
from dfl_tf.errors import ModelFileError, UsageError
from dfl_tf.facesets.enhancing import find_enhancer, onnx_enhancer
from dfl_tf.formats import read_metadata
from tests.formats.samples import make_face


def network(path: Path, shape: list, factors: list[float], kind: int = TensorProto.FLOAT) -> Path:
    """Multiplies the channels of its image by some factors, and keeps its layout and type."""
    first = shape[1] == 3
    factor = np.array(factors, np.float32).reshape((1, -1, 1, 1) if first else (1, 1, 1, -1))
    channels = len(factors)
    out = [shape[0], channels, *shape[2:]] if first else [*shape[:3], channels]
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["image"], ["float"], to=TensorProto.FLOAT),
            helper.make_node("Mul", ["float", "factor"], ["product"]),
            helper.make_node("Cast", ["product"], ["better"], to=kind),
        ],
        "better",
        [helper.make_tensor_value_info("image", kind, shape)],
        [helper.make_tensor_value_info("better", kind, out)],
        [helper.make_tensor("factor", TensorProto.FLOAT, factor.shape, factor.ravel())],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, str(path))
    return path


BLUE_ONLY_LAST, BLUE_ONLY_FIRST = [1.0, 0.5, 0.5], [0.5, 0.5, 1.0]


@pytest.mark.parametrize(
    ("shape", "factors", "kind", "tolerance"),
    [
        (["n", "h", "w", 3], BLUE_ONLY_LAST, TensorProto.FLOAT, 1e-6),
        ([1, "h", "w", 3], BLUE_ONLY_LAST, TensorProto.FLOAT16, 1e-3),
        (["n", "h", "w", 3], BLUE_ONLY_LAST, TensorProto.UINT8, 1 / 255),
        (["n", 3, "h", "w"], BLUE_ONLY_FIRST, TensorProto.UINT8, 1 / 255),
    ],
)
def test_images_keep_their_size_range_and_channels(tmp_path, shape, factors, kind, tolerance):
    image = np.random.default_rng(0).random((20, 20, 3), dtype=np.float32)
    made = onnx_enhancer(network(tmp_path / "b.onnx", shape, factors, kind))(image)
    assert (made.dtype, made.shape) == (np.float32, image.shape)
    np.testing.assert_allclose(made, image * np.float32([1, 0.5, 0.5]), atol=tolerance)


def test_channels_first_are_red_green_blue_around_zero(tmp_path):
    image = np.random.default_rng(0).random((20, 20, 3), dtype=np.float32)
    path = network(tmp_path / "b.onnx", ["n", 3, "h", "w"], BLUE_ONLY_FIRST)
    expected = image.copy()
    expected[:, :, 1:] = 0.5 + (image[:, :, 1:] - 0.5) / 2
    np.testing.assert_allclose(onnx_enhancer(path)(image), expected, atol=1e-6)


def test_a_fixed_size_is_brought_back(tmp_path):
    image = np.full((20, 20, 3), 0.5, np.float32)
    made = onnx_enhancer(network(tmp_path / "b.onnx", [1, 32, 32, 3], BLUE_ONLY_LAST))(image)
    assert made.shape == (20, 20, 3)
    np.testing.assert_allclose(made[0, 0], [0.5, 0.25, 0.25], atol=1e-6)


def test_networks_that_give_no_image_and_missing_ones_are_named(tmp_path, monkeypatch):
    path = network(tmp_path / "flat.onnx", ["n", "h", "w", 3], [1.0])
    graph = onnx.load(str(path))
    graph.graph.node[1].op_type = "ReduceMean"
    del graph.graph.node[1].input[1:]
    onnx.save(graph, str(path))
    with pytest.raises(ModelFileError, match=r"flat\.onnx: its output is .* for one image"):
        onnx_enhancer(path)(np.zeros((20, 20, 3), np.float32))
    monkeypatch.delenv("DFL_HOME", raising=False)
    with pytest.raises(UsageError, match="--enhancer"):
        find_enhancer(None, None)


def test_the_command_keeps_metadata_and_originals_and_can_be_undone(tmp_path, capsys):
    faces = tmp_path / "aligned"
    faces.mkdir()
    before = {f"{index}.jpg": make_face(index) for index in range(2)}
    for name, data in before.items():
        (faces / name).write_bytes(data)
    path = network(tmp_path / "b.onnx", ["n", "h", "w", 3], [0.5, 0.5, 0.5])
    assert run(["faceset", "enhance", str(faces), "--enhancer", str(path)]) == 0
    assert "enhanced 2 faces; the originals are in" in capsys.readouterr().out
    for name, data in before.items():
        made, old = (cv2.imdecode(np.frombuffer(d, np.uint8), 1).astype(int)
                     for d in ((faces / name).read_bytes(), data))  # fmt: skip
        assert made.mean() == pytest.approx(old.mean() / 2, abs=1)
        np.testing.assert_array_equal(
            read_metadata(faces / name).landmarks, read_metadata(data, what=name).landmarks
        )
        assert (tmp_path / "aligned_originals" / name).read_bytes() == data
    assert run(["faceset", "enhance", str(faces), "--undo"]) == 0
    assert {name: (faces / name).read_bytes() for name in before} == before

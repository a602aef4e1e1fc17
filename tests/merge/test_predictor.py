"""Models and user networks as what merging asks."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from dfl_tf.errors import ModelFileError, UsageError
from dfl_tf.merge.enhancer import load_enhancer
from dfl_tf.merge.predictor import networks_of, weights_checksum


class FakeModel:
    """Answers like a FaceModel and remembers the morph value."""

    def __init__(self, model_class="SAEHD"):
        self.takes_morph = model_class == "AMP"
        self.options = SimpleNamespace(resolution=16)
        self.morph = "never asked"

    def swap(self, face, morph=None):
        self.morph = morph
        mask = np.full((*face.shape[:3], 1), 0.5, np.float32)
        return SimpleNamespace(image=face * 0.5, mask=mask, dst_mask=mask * 2)


@pytest.mark.parametrize(("model_class", "morph"), [("AMP", 0.25), ("SAEHD", None)])
def test_predictions_have_faces_and_flat_masks(model_class, morph):
    model = FakeModel(model_class)
    networks = networks_of(model, morph=0.25)
    faces = np.ones((3, 16, 16, 3), np.float32)
    found = networks.predictions(faces)
    assert len(found) == 3
    face, mask, target_mask = found[0]
    assert face.shape == (16, 16, 3)
    assert mask.shape == target_mask.shape == (16, 16)
    assert (face.max(), mask.max(), target_mask.max()) == (0.5, 0.5, 1.0)
    assert model.morph == morph
    assert networks.segment is None


def test_xseg_masks_one_face_and_several():
    xseg = SimpleNamespace(mask=lambda images: images[..., :1])
    networks = networks_of(FakeModel(), xseg=xseg)
    assert networks.segment(np.full((256, 256, 3), 0.3, np.float32)).shape == (256, 256)
    faces = np.zeros((3, 256, 256, 3), np.float32)
    faces[1] = 0.5
    assert [mask.max() for mask in networks.segment_batch(faces)] == [0, 0.5, 0]


@pytest.mark.slow
def test_xseg_gives_a_batch_what_it_gives_each_face():
    from dfl_tf import new_model

    xseg = new_model("XSeg")
    networks = networks_of(FakeModel(), xseg=xseg)
    faces = np.random.default_rng(0).random((3, 256, 256, 3)).astype(np.float32)
    together = networks.segment_batch(faces)
    alone = np.stack([networks.segment(face) for face in faces])
    assert np.ptp(alone) > 0.01
    np.testing.assert_allclose(together, alone, atol=1e-5)  # another order of sums


def test_checksum_follows_the_weights():
    weight = SimpleNamespace(path="encoder/a", numpy=lambda: values)
    model = SimpleNamespace(networks={"encoder": SimpleNamespace(weights=[weight])})
    values = np.zeros(3, np.float32)
    before = weights_checksum(model)
    assert weights_checksum(model) == before
    values = np.array([0, 0, 1e-30], np.float32)
    assert weights_checksum(model) != before


def write_enlarger(path, factor, count="n"):
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    helper, floats = onnx.helper, onnx.TensorProto.FLOAT
    node = helper.make_node("Resize", ["x", "", "scales"], ["y"], mode="nearest")
    scales = helper.make_tensor("scales", floats, [4], [1.0, factor, factor, 1.0])
    shape = [count, None, None, 3]
    graph = helper.make_graph(
        [node],
        "enlarger",
        [helper.make_tensor_value_info("x", floats, shape)],
        [helper.make_tensor_value_info("y", floats, shape)],
        [scales],
    )
    opset = [helper.make_opsetid("", 13)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), str(path))


def test_network_of_the_user_enlarges_four_times(tmp_path):
    write_enlarger(tmp_path / "e.onnx", 4)
    enhancer = load_enhancer(tmp_path / "e.onnx")
    faces = np.random.default_rng(0).random((2, 24, 24, 3)).astype(np.float32)
    assert enhancer.takes_batches
    assert enhancer.many(faces).shape == (2, 96, 96, 3)
    large = enhancer.one(faces[0])
    assert large.shape == (96, 96, 3)
    assert np.array_equal(large[::4, ::4], faces[0])
    networks = networks_of(FakeModel(), enhancer=enhancer)
    assert np.array_equal(networks.enhance_batch(faces)[0], networks.enhance(faces[0]))


def test_a_network_for_one_face_is_asked_for_one_at_a_time(tmp_path):
    write_enlarger(tmp_path / "e.onnx", 4, count=1)
    networks = networks_of(FakeModel(), enhancer=load_enhancer(tmp_path / "e.onnx"))
    assert networks.enhance_batch is None
    assert networks.enhance(np.zeros((8, 8, 3), np.float32)).shape == (32, 32, 3)


def test_network_of_another_factor_is_refused(tmp_path):
    write_enlarger(tmp_path / "e.onnx", 2)
    with pytest.raises(ModelFileError, match=r"makes \(1, 64, 64, 3\) of .*\(1, 32, 32, 3\)"):
        load_enhancer(tmp_path / "e.onnx")


def test_file_that_is_no_network(tmp_path):
    pytest.importorskip("onnxruntime")
    (tmp_path / "e.onnx").write_bytes(b"weights only")
    with pytest.raises(ModelFileError, match="cannot be used as an enhancer"):
        load_enhancer(tmp_path / "e.onnx")


def test_missing_onnxruntime_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(UsageError, match=r'pip install "onnx'):
        load_enhancer(tmp_path / "e.onnx")

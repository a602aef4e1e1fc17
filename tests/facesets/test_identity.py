"""Identity vectors: what the networks are given, what is remembered, what is said without them."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import dfl_tf
from dfl_tf.data import identity
from dfl_tf.data.identity import DlibEmbedder, OnnxEmbedder, five_points
from dfl_tf.errors import ModelFileError, UsageError
from dfl_tf.facesets.measure_cache import MeasureCache
from dfl_tf.facesets.measures import MeasuredFace
from dfl_tf.facesets.measuring import face_files, measure_faces
from dfl_tf.formats import read_metadata
from dfl_tf.imaging import decode_image
from dfl_tf.imaging.image_network import ImageNetwork

FACES = Path(dfl_tf.__file__).parent / "demo_data/data_src/aligned"


@pytest.fixture
def face() -> MeasuredFace:
    file = face_files(FACES)[0][0]
    data = file.read()
    return MeasuredFace(decode_image(data, what=file.name), read_metadata(data, what=file.name))


def color_network(path: Path, *, shape: list, kind: int = TensorProto.FLOAT) -> Path:
    """A network whose vector is the mean color of its image."""
    axes = [2, 3] if shape[1] == 3 else [1, 2]
    nodes = [
        helper.make_node("Cast", ["image"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["float"], ["vector"], axes=axes, keepdims=0),
    ]
    graph = helper.make_graph(
        nodes,
        "color",
        [helper.make_tensor_value_info("image", kind, shape)],
        [helper.make_tensor_value_info("vector", TensorProto.FLOAT, [shape[0], 3])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, str(path))
    return path


@pytest.fixture
def fake_dlib(monkeypatch, tmp_path):
    """Dlib in the form in which it is used; remembers what it was given."""
    given: list = []

    class Network:
        def __init__(self, path: str) -> None:
            self.path = path

        def compute_face_descriptor(self, image, found):
            given.append((image, found))
            return np.arange(128.0)

    module = SimpleNamespace(
        face_recognition_model_v1=Network,
        point=lambda x, y: (x, y),
        rectangle=lambda *sides: sides,
        full_object_detection=lambda box, points: SimpleNamespace(box=box, points=points),
        given=given,
    )
    monkeypatch.setitem(sys.modules, "dlib", module)
    monkeypatch.setattr(identity, "read_model_file", lambda *_: b"")
    monkeypatch.setattr(identity, "find_model", lambda *_: tmp_path / "model.dat")
    return module


def test_dlib_gets_the_aligned_image_in_rgb_and_its_own_landmarks(fake_dlib, face):
    vector = DlibEmbedder().vector(face)
    assert vector.shape == (128,)
    image, found = fake_dlib.given[0]
    zoom = image.shape[0] // face.image.shape[0]
    assert image.shape[0] >= 256
    expected = (face.known.landmarks + 0.5) * zoom - 0.5
    assert np.abs(np.array(found.points) - expected).max() <= 0.5
    shrunk = cv2.resize(image, face.image.shape[1::-1], interpolation=cv2.INTER_AREA)
    difference = np.abs(shrunk[:, :, ::-1].astype(int) - face.image)
    assert difference.mean() < 2


def test_without_dlib_one_line_says_how_to_get_it(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "dlib", None)
    with pytest.raises(UsageError, match=r"dlib-bin.*--get-models identity.*--embedder"):
        measure_faces(FACES, ["identity"], cache=MeasureCache(None))


def test_without_the_model_file_one_line_says_how_to_get_it(tmp_path, monkeypatch, fake_dlib):
    monkeypatch.undo()
    monkeypatch.setitem(sys.modules, "dlib", fake_dlib)
    with pytest.raises(UsageError, match="--get-models identity"):
        DlibEmbedder(tmp_path).ready()


def test_vectors_are_remembered_and_not_computed_again(fake_dlib):
    cache = MeasureCache(None)
    first, _ = measure_faces(FACES, ["identity", "source_box"], cache=cache)
    asked = len(fake_dlib.given)
    second, _ = measure_faces(FACES, ["identity", "source_box"], cache=cache)
    assert asked == len(first.names)
    assert len(fake_dlib.given) == asked
    assert np.array_equal(first.columns["identity"], second.columns["identity"])
    assert first.columns["source_box"].shape == (asked, 4)


@pytest.mark.parametrize("shape", [["n", 3, 112, 112], [1, 112, 112, 3], ["n", 3, "h", "w"]])
def test_a_network_of_the_user_gets_an_aligned_rgb_image(tmp_path, face, shape):
    embedder = OnnxEmbedder(color_network(tmp_path / "mine.onnx", shape=shape))
    assert embedder.length == 3
    vector = embedder.vector(face)
    assert np.linalg.norm(vector) == pytest.approx(1)
    red_face = MeasuredFace(np.full_like(face.image, (0, 0, 255)), face.metadata)
    red, green, blue = embedder.vector(red_face)
    assert red > 0 > green
    assert green == pytest.approx(blue)


def test_two_networks_do_not_share_their_values(tmp_path):
    one = OnnxEmbedder(color_network(tmp_path / "1.onnx", shape=["n", 3, 112, 112]))
    other = OnnxEmbedder(color_network(tmp_path / "2.onnx", shape=["n", 112, 112, 3]))
    assert len({one.key, other.key, DlibEmbedder.key}) == 3


def test_a_network_of_bytes_gets_bytes(tmp_path):
    path = color_network(tmp_path / "u.onnx", shape=[1, 8, 8, 3], kind=TensorProto.UINT8)
    network = ImageNetwork.open(path, side=112)
    assert (network.side, network.channels_first, network.single) == (8, False, True)
    result = network.run(np.full((2, 8, 8, 3), 300.0, np.float32))
    assert np.array_equal(result, np.full((2, 3), 255.0))


@pytest.mark.parametrize("content", [b"", b"no onnx at all", b"\x08\x08" * 50])
def test_a_file_that_is_no_network_is_named(tmp_path, content):
    path = tmp_path / "bad.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match=r"bad\.onnx"):
        ImageNetwork.open(path, side=112)


def test_a_network_without_an_image_as_input_is_refused(tmp_path):
    for number, shape in enumerate((["n", 1, 112, 112], ["n", 3, 10, 20], ["n", 3, 9999, 9999])):
        path = color_network(tmp_path / f"{number}.onnx", shape=shape)
        with pytest.raises(ModelFileError, match=rf"{number}\.onnx: its input"):
            ImageNetwork.open(path, side=112)


def test_five_points_lie_where_the_names_say(face):
    left_eye, right_eye, nose, left_mouth, right_mouth = five_points(face.known.landmarks)
    assert left_eye[0] < nose[0] < right_eye[0]
    assert left_mouth[0] < right_mouth[0]
    assert max(left_eye[1], right_eye[1]) < nose[1] < min(left_mouth[1], right_mouth[1])

"""Small models and faces for the tests of the file formats."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from dfl_tf.formats import FaceMetadata, ModelState
from dfl_tf.formats.faces.dfljpg import embed_metadata
from dfl_tf.formats.faces.stored_mask import encode_mask

_GOLDEN = Path(__file__).resolve().parents[1] / "golden"
GOLDEN = _GOLDEN / "formats"
GOLDEN_DATA = _GOLDEN / "data"


def make_state(iteration: int = 7, *, model_class: str = "SAEHD", scale: float = 1.0) -> ModelState:
    """A model with every kind of content that model files have."""
    rng = np.random.default_rng(iteration)
    parts = {
        "encoder": {
            "down1/downs_0/conv1/weight:0": rng.random((5, 5, 3, 4)).astype(np.float32) * scale,
            "down1/downs_0/conv1/bias:0": np.zeros(4, np.float32),
        },
        "decoder": {"out_conv/weight:0": rng.random((1, 1, 8, 3)).astype(np.float16)},
        "src_dst_opt": {
            "iters:0": np.int64(iteration),
            "ms_encoder/down1/downs_0/conv1/bias_0:0": rng.random(4).astype(np.float32),
        },
    }
    if model_class == "XSeg":
        parts = {"XSeg_256_opt": parts["src_dst_opt"], "XSeg_256": parts["encoder"]}
    return ModelState(
        model_class=model_class,
        iteration=iteration,
        options={"resolution": 64, "archi": "liae-ud", "gan_power": 0.1, "fork_key": [1, (2, "x")]},
        loss_history=[[0.5 / (i + 1), 0.25] for i in range(iteration)],
        tensors=parts,
        extra={
            "sample_for_preview": [[rng.random((1, 8, 8, 3)).astype(np.float32)], []],
            "choosed_gpu_indexes": None,
            "from_a_fork": {"a": (1, 2.5, None, b"bytes"), 3: float("inf")},
        },
        run={"seed": 5, "positions": {"src": 1, "dst": 2}},
    )


def make_metadata(seed: int = 0, *, shape: tuple[int, int, int] = (48, 48, 3)) -> FaceMetadata:
    """Metadata with every field set."""
    rng = np.random.default_rng(seed)
    mask = np.zeros((32, 32), np.float32)
    mask[8:24, 6:20] = 1
    return FaceMetadata(
        face_type="whole_face",
        landmarks=rng.random((68, 2)) * 60 - 5,
        source_filename="00001.png",
        source_rect=(10, 20, 110, 130),
        source_landmarks=rng.random((68, 2)) * 400,
        image_to_face_mat=rng.random((2, 3)),
        eyebrows_expand_mod=1.25,
        seg_ie_polys=[
            (1, rng.random((5, 2)).astype(np.float32)),
            (0, rng.random((3, 2)).astype(np.float32)),
        ],
        xseg_mask_bytes=encode_mask(mask),
        shape=shape,
        extra={"of_a_fork": [1, None, "x"]},
    )


def make_jpeg(seed: int = 0, *, size: int = 48, flags: tuple[int, ...] = ()) -> bytes:
    """A plain JPEG of noise."""
    image = np.random.default_rng(seed).integers(0, 255, (size, size, 3)).astype(np.uint8)
    return cv2.imencode(".jpg", image, list(flags))[1].tobytes()


def make_face(seed: int = 0) -> bytes:
    """A JPEG with metadata."""
    return embed_metadata(make_jpeg(seed), make_metadata(seed))


def assert_same_metadata(first: FaceMetadata, second: FaceMetadata) -> None:
    """Equality of every field."""
    for name in ("face_type", "source_filename", "eyebrows_expand_mod", "xseg_mask_bytes", "extra"):
        assert getattr(first, name) == getattr(second, name), name
    assert (first.shape, first.source_rect) == (second.shape, second.source_rect)
    for name in ("landmarks", "source_landmarks", "image_to_face_mat"):
        a, b = getattr(first, name), getattr(second, name)
        assert (a is None) == (b is None), name
        assert a is None or np.array_equal(a, b), name
    assert [kind for kind, _ in first.seg_ie_polys] == [kind for kind, _ in second.seg_ie_polys]
    for (_, a), (_, b) in zip(first.seg_ie_polys, second.seg_ie_polys, strict=True):
        assert np.array_equal(a, b)

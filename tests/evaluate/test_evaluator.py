"""The evaluator: arrays in, scores out; a model that reproduces, one that fails, NaN."""

from __future__ import annotations

import math

import numpy as np
import pytest

from dfl_tf.data.identity import Embedder
from dfl_tf.evaluate.evaluator import CUT, Evaluator, FaceScore, Prediction, score_face, worst_first
from dfl_tf.evaluate.samples import MeasuredSample

SIDE = 32


def sample(name: str, image: np.ndarray, **more) -> MeasuredSample:
    mask = np.zeros((SIDE, SIDE, 1), np.float32)
    mask[4:28, 4:28] = 1
    landmarks = np.zeros((68, 2))
    return MeasuredSample(
        name, f"digest of {name}", image, more.pop("mask", mask), landmarks, **more
    )


@pytest.fixture
def face() -> np.ndarray:
    return np.random.default_rng(3).random((SIDE, SIDE, 3)).astype(np.float32)


class MeanColor(Embedder):
    name, key, length, scale = "mean color", "mean color", 3, 1.0

    def __init__(self) -> None:
        self.asked: list[np.ndarray] = []

    def vector(self, face):
        self.asked.append(face.image)
        return face.image.reshape(-1, 3).mean(axis=0) / 255


def test_a_model_that_reproduces_every_face_is_perfect(face):
    evaluator = Evaluator()
    for side in ("src", "dst"):
        one = sample("one.jpg", face)
        evaluator.add(side, one, Prediction(face, one.mask, face, one.mask))
    found = evaluator.scores()
    for side in ("src", "dst"):
        assert found.metrics[f"{side}_ssim"] == pytest.approx(1)
        assert (found.metrics[f"{side}_l1"], found.metrics[f"{side}_psnr"]) == (0, 100)
        assert found.metrics[f"{side}_iou"] == 1
    assert found.metrics["ssim"] == pytest.approx(1)
    assert [(f.side, f.name, f.digest) for f in found.faces] == [
        ("src", "one.jpg", "digest of one.jpg"), ("dst", "one.jpg", "digest of one.jpg"),
    ]  # fmt: skip
    assert "jitter" not in found.metrics
    assert "identity_src" not in found.metrics


def test_means_are_over_the_faces_of_a_side(face):
    evaluator = Evaluator()
    half = np.full_like(face, 0.5)
    for error in (0.1, 0.3):
        evaluator.add("dst", sample(f"{error}", half), Prediction(half + np.float32(error)))
    found = evaluator.scores().metrics
    assert found["dst_l1"] == pytest.approx(0.2, abs=1e-6)
    assert found["dst_psnr"] == pytest.approx((20 - 10 * math.log10(0.09)) / 2, abs=1e-4)
    assert "src_l1" not in found
    assert "ssim" not in found


def test_not_a_number_stays_none(face):
    broken = face.copy()
    broken[10, 10] = np.nan
    evaluator = Evaluator(MeanColor())
    first = sample("a", face, embedded=True)
    evaluator.add("dst", first, Prediction(broken, first.mask, broken, first.mask))
    evaluator.add(
        "dst", sample("b", face, follows=True), Prediction(face, first.mask, face, first.mask)
    )
    found = evaluator.scores().metrics
    for metric in ("dst_ssim", "dst_l1", "dst_psnr", "identity_dst", "jitter"):
        assert math.isnan(found[metric]), metric


def test_a_face_without_a_mask_has_only_an_overlap(face):
    empty = np.zeros((SIDE, SIDE, 1), np.float32)
    assert score_face(sample("a", face, mask=empty), Prediction(face, empty)) == {"iou": 1.0}
    assert score_face(sample("a", face), Prediction()) == {}


def test_jitter_is_of_consecutive_faces_of_one_shot(face):
    def shifted(by: float) -> np.ndarray:
        return np.full_like(face, 0.3 + by)

    evaluator = Evaluator()
    steps = [
        # dst, swap, follows
        (0.0, 0.00, False),
        (0.0, 0.05, True),  # 0.05
        (0.2, 0.05, False),  # another clip
        (0.21, 0.05, True),  # |0 - 0.01|
        (0.21 + CUT + 0.01, 0.5, True),  # a cut
    ]
    for number, (dst, swap, follows) in enumerate(steps):
        one = sample(str(number), shifted(dst), follows=follows)
        evaluator.add("dst", one, Prediction(swap=shifted(swap), swap_mask=one.mask))
    found = evaluator.scores()
    assert (found.pairs, found.cuts) == (2, 1)
    assert found.metrics["jitter"] == pytest.approx((0.05 + 0.01) / 2, abs=1e-6)


def test_identity_is_of_the_merged_face_and_faces_are_embedded_once(face):
    embedder = MeanColor()
    known: dict = {}
    red, blue = np.zeros_like(face), np.zeros_like(face)
    red[..., 2], blue[..., 0] = 1, 1
    whole = np.ones((SIDE, SIDE, 1), np.float32)
    for _ in range(2):
        evaluator = Evaluator(embedder, known)
        evaluator.add("src", sample("s", red, embedded=True), Prediction(red, whole))
        evaluator.add("src", sample("not this one", blue), Prediction(blue, whole))
        half = whole.copy()
        half[: SIDE // 2] = 0
        evaluator.add("dst", sample("d", blue, embedded=True), Prediction(blue, whole, red, half))
        found = evaluator.scores().metrics
    # the swap is red in its lower half, and dst in the upper one
    assert found["identity_src"] == pytest.approx(math.sqrt(0.5), abs=0.01)
    assert found["identity_dst"] == pytest.approx(math.sqrt(0.5), abs=0.01)
    assert len(embedder.asked) == 2 + 2 * 1  # both faces once, the swap twice
    assert embedder.asked[0].dtype == np.uint8


def test_the_worst_come_first_and_what_is_no_number_before_all():
    scores = [0.9, math.nan, 0.2]
    faces = [FaceScore("src", str(v), "", {"ssim": v, "l1": v}) for v in scores]
    faces.append(FaceScore("src", "unmeasured", "", {}))
    assert [f.name for f in worst_first(faces)] == ["nan", "0.2", "0.9"]
    assert [f.name for f in worst_first(faces, "l1")] == ["nan", "0.9", "0.2"]

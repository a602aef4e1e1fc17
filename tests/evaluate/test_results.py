"""Results as documents, and when they are compared."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace

import pytest

from dfl_tf.errors import UsageError
from dfl_tf.evaluate import results
from dfl_tf.evaluate.evaluator import FaceScore, Scores
from dfl_tf.evaluate.results import Evaluation
from dfl_tf.options.metrics import is_better_higher


def evaluation(ssim: float = 0.5, digest: str = "aa", **more) -> Evaluation:
    values = {"ssim": ssim, "psnr": 20.0}
    faces = (FaceScore("src", "1.jpg", digest, values), FaceScore("dst", "1.jpg", "bb", values))
    found = Evaluation(
        "new_SAEHD", "SAEHD", 100, {"resolution": 64, "archi": "df"},
        Scores({"ssim": ssim, "dst_l1": 0.1}, faces, 3, 1), True, notes=("a note",),
    )  # fmt: skip
    return replace(found, **more)


def test_a_document_is_read_as_it_was_written(tmp_path):
    written = [evaluation(), evaluation(math.nan)]
    path = tmp_path / "results.json"
    path.write_text(json.dumps(results.document(written), allow_nan=False))
    first, second = results.read_document(path)
    assert first == written[0]
    assert math.isnan(second.metrics["ssim"])
    assert math.isnan(second.scores.faces[0].values["ssim"])
    assert second.metrics["dst_l1"] == 0.1


def test_a_document_of_another_kind_is_refused(tmp_path):
    path = tmp_path / "other.json"
    for text in ("{}", "[1]", json.dumps({"schema": 99, "results": []}), "{"):
        path.write_text(text)
        with pytest.raises(UsageError, match=r"other\.json"):
            results.read_document(path)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"metrics_version": 99}, "the metrics are of version 1 and 99"),
        ({"code_version": "9.9"}, "made by dfl_tf .* and 9.9"),
        ({"architecture": {"resolution": 128, "archi": "df"}}, "resolution is 64 and 128"),
        ({"architecture": {"archi": "df"}}, "resolution is 64 and not there"),
        ({"model_class": "AMP"}, "the models are SAEHD and AMP"),
        ({"scores": evaluation(digest="cc").scores}, r"other faces \(1 in the first only, 1 in"),
    ],
)
def test_what_differs_is_not_compared_and_the_reason_is_said(change, reason):
    (said,) = results.incomparable(evaluation(), evaluation(**change))
    assert re.search(reason, said), said
    assert results.best_of([evaluation(0.1), evaluation(**change)]) is None


def test_names_iterations_and_numbers_may_differ():
    other = evaluation(0.9, model="old_SAEHD", iteration=5, notes=(), held_out=False)
    assert results.incomparable(evaluation(), other) == []


def test_the_best_is_never_one_without_a_number():
    low, high, none = evaluation(0.4), evaluation(0.6), evaluation(math.nan)
    assert results.best_of([none, low, high]) is high
    assert results.best_of([none]) is None
    assert results.best_of([low, high], "dst_l1") in (low, high)
    assert not is_better_higher("dst_l1")
    assert not is_better_higher("identity_src")
    assert is_better_higher("src_psnr")
    with pytest.raises(UsageError, match="no metric"):
        is_better_higher("dst_beauty")


def test_the_key_of_samples_is_that_of_the_faces():
    assert results.samples_key(evaluation(0.1).scores) == results.samples_key(evaluation().scores)
    assert results.samples_key(evaluation(digest="x").scores) != results.samples_key(
        evaluation().scores
    )

"""Masks: sources, softening on the small grid, guards."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from dfl_tf.merge.masks import (
    _ellipse_filter,
    combine_masks,
    mask_is_large_enough,
    seamless_mask,
    soften_mask,
)


def padded_reference(mask, margin, erode, blur):
    """The legacy way: pad by the network size, work, cut off (merge.md 3, step 7)."""
    w = np.pad(mask, margin)
    if erode:
        kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (abs(erode), abs(erode)))
        w = cv2.erode(w, kernel) if erode > 0 else cv2.dilate(w, kernel)
    clear = margin + blur // 2
    w[:clear] = w[-clear:] = 0
    w[:, :clear] = w[:, -clear:] = 0
    if blur:
        side = blur + 1 - blur % 2
        w = cv2.GaussianBlur(w, (side, side), 0)
    return np.clip(w[margin:-margin, margin:-margin], 0, 1)


@pytest.mark.parametrize("erode", [0, 1, 10, -7, 90, -90])
@pytest.mark.parametrize("blur", [0, 1, 12, 33, 200])
def test_softening_equals_the_padded_way(erode, blur):
    rng = np.random.default_rng(3)
    mask = cv2.resize(rng.random((9, 9)).astype(np.float32), (128, 128))
    mask[40:80, 60:] = 0
    wanted = padded_reference(mask, 32, erode, blur)
    assert np.abs(soften_mask(mask, erode, blur) - wanted).max() <= 1e-6


@pytest.mark.parametrize("side", [1, 2, 9, 48, 49, 100, 131, 400])
@pytest.mark.parametrize("extreme", [np.minimum, np.maximum])
def test_large_ellipses_equal_those_of_opencv(side, extreme):
    mask = np.random.default_rng(2).random((61, 50)).astype(np.float32)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    operation = cv2.MORPH_ERODE if extreme is np.minimum else cv2.MORPH_DILATE
    wanted = cv2.morphologyEx(
        mask, operation, kernel, borderType=cv2.BORDER_CONSTANT, borderValue=0
    )
    assert np.array_equal(_ellipse_filter(mask, side, extreme), wanted)


def test_products_and_sums_of_masks():
    asked = []

    def source(name, value):
        def give():
            asked.append(name)
            return np.full((2, 2), value, np.float32)

        return give

    sources = {
        "a": source("a", 0.5),
        "b": source("b", 0.8),
        "tiny": source("tiny", 0.003),
    }
    assert combine_masks("a*b", sources)[0, 0] == np.float32(0.4)
    assert combine_masks("a+b", sources)[0, 0] == 1
    assert asked == ["a", "b", "a", "b"]
    assert not combine_masks("tiny", sources).any()


def test_a_mask_must_span_four_rows_and_columns():
    mask = np.zeros((20, 20, 1), np.float32)
    assert not mask_is_large_enough(mask)
    mask[3:8, 2:6] = 0.1
    assert not mask_is_large_enough(mask)
    mask[3:8, 2:7] = 0.1
    assert mask_is_large_enough(mask)
    assert not mask_is_large_enough(mask * np.float32(0.9))


def test_seamless_mask_takes_the_lowest_tenth_that_is_reached():
    mask = np.array([[0.05, 0.15, 0.95]], np.float32)
    assert seamless_mask(mask).tolist() == [[0, 1, 1]]
    assert seamless_mask(mask * 0) is None

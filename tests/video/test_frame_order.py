"""Frames follow by the numbers in their names; faces keep the order of their paths."""

from __future__ import annotations

from pathlib import Path

import pytest

from dfl_tf.disk.frame_order import in_frame_order, natural_key
from dfl_tf.imaging import write_image
from dfl_tf.merge.plan import list_frames


@pytest.mark.parametrize(
    "ordered",
    [
        ["99998", "99999", "100000", "100001"],
        ["1", "2", "10", "10_a", "11"],
        ["a1b2", "a1b10", "a2b1"],
        ["01", "1", "02"],
        ["frame-9", "frame-10", "scene-1"],
    ],
)
def test_numbers_decide(ordered, caplog):
    paths = [Path(f"f/{name}.png") for name in ordered]
    assert in_frame_order(reversed(paths)) == paths
    assert len(caplog.records) == (sorted(ordered) != ordered)


def test_equal_numbers_have_one_order():
    assert natural_key("1") != natural_key("01")


def test_merging_takes_frames_by_their_numbers(tmp_path):
    import numpy as np

    for name in ("99999", "100000"):
        write_image(tmp_path / f"{name}.png", np.zeros((4, 4, 3), np.uint8))
    assert [path.stem for path in list_frames(tmp_path)] == ["99999", "100000"]

"""Labels that are written to one file, and polygons around masks."""

from __future__ import annotations

import threading

import cv2
import numpy as np
import pytest

from dfl_tf.disk.checksums import digest
from dfl_tf.disk.folder_lock import only_writer
from dfl_tf.disk.moves import Move, move_files
from dfl_tf.face import polygon_mask
from dfl_tf.facesets.labels import same_polygons, usable_polygons, write_label
from dfl_tf.facesets.mask_outline import mask_outline
from dfl_tf.facesets.xseg_store import image_digest
from dfl_tf.formats import read_metadata
from tests.web.support.labeling import labeling_workspace

SQUARE = [(1, [[20, 30], [90, 30], [90, 80]])]


@pytest.fixture
def folder(tmp_path):
    return labeling_workspace(tmp_path) / "data_src" / "aligned"


def test_polygons_are_the_same_whatever_encloses_nothing():
    square = usable_polygons(SQUARE)
    assert same_polygons(square, [*square, (0, np.zeros((2, 2), np.float32))])
    assert not same_polygons(square, [(0, square[0][1])])
    assert not same_polygons(square, [(1, square[0][1] + 1)])
    with pytest.raises(ValueError, match="more than"):
        usable_polygons([(1, [[0, 0], [1, float("nan")], [2, 2]])])


def test_files_are_not_moved_while_one_is_rewritten(folder):
    path = folder / "00000.jpg"
    data = path.read_bytes()
    asked = {"drawn_on": digest(data), "image": image_digest(data)}
    with only_writer(folder):
        other = threading.Thread(
            target=lambda: move_files(folder, [Move("00001.jpg", "moved.jpg")], why="sort")
        )
        drawing = threading.Thread(
            target=lambda: write_label(path, usable_polygons(SQUARE), **asked)
        )
        for each in (other, drawing):
            each.start()
            each.join(0.1)
        assert (folder / "00001.jpg").exists()
        assert path.read_bytes() == data
    for each in (other, drawing):
        each.join()
    assert (folder / "moved.jpg").exists()
    assert len(read_metadata(path).seg_ie_polys) == 1


def test_an_outline_of_two_spots_with_a_hole_fits_at_another_size():
    mask = np.zeros((256, 256), np.uint8)
    cv2.ellipse(mask, (90, 128), (70, 100), 10, 0, 360, 1, -1)
    cv2.circle(mask, (210, 60), 30, 1, -1)
    cv2.rectangle(mask, (60, 100), (110, 140), 0, -1)
    cv2.circle(mask, (250, 250), 2, 1, -1)  # dust
    outline = mask_outline(mask[:, :, None].astype(np.float32), (512, 512, 3))
    assert [kind for kind, _ in outline] == [1, 1, 0]
    drawn = polygon_mask((512, 512), outline)[:, :, 0] > 0
    given = cv2.resize(mask, (512, 512), interpolation=cv2.INTER_NEAREST) > 0
    assert (drawn & given).sum() / (drawn | given).sum() > 0.98
    assert mask_outline(np.zeros((16, 16, 1), np.float32), (64, 64)) == []

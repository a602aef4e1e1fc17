from __future__ import annotations

import cv2
import numpy as np

from .support.workspaces import call, loose


def test_the_sheet_shows_pairs_and_all_modes(tmp_path, capsys):
    root = loose(tmp_path, 3)
    sides = [root / side / "aligned" for side in ("data_src", "data_dst")]
    target = tmp_path / "sheet.png"
    arguments = ("faceset", "color-transfer", *sides, "--size", 48, "--faces", 4, "-o")
    code, out, _ = call(capsys, *arguments, target)
    assert code == 0
    assert "4 pairs, rct, lct, mkl, idt, sot" in out
    image = cv2.imread(str(target))
    assert image.shape[1] == 7 * (48 + 4) + 4
    assert image.shape[0] > 4 * 48
    call(capsys, *arguments, tmp_path / "again.png")
    np.testing.assert_array_equal(image, cv2.imread(str(tmp_path / "again.png")))


def test_a_folder_without_faces_is_an_error_of_one_line(tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    code, _, err = call(capsys, "faceset", "color-transfer", tmp_path / "empty", tmp_path / "empty")
    assert code == 1
    assert err.startswith("error: ")
    assert "Traceback" not in err

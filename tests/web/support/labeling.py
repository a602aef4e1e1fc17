"""A workspace whose src faces are labeled on the page; those of dst lie in a pak."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

import dfl_tf
from dfl_tf.formats import read_metadata, read_pak, write_metadata
from dfl_tf.formats.faces.stored_mask import encode_mask

DEMO = Path(dfl_tf.__file__).parent / "demo_data" / "data_src" / "aligned" / "faceset.pak"
FACES = 8
TRIANGLE = np.array([[10, 10], [60, 12], [30, 70]], np.float32)


def round_mask(side: int = 256) -> np.ndarray:
    """A mask with a hole, shape (side, side, 1), float32."""
    mask = np.zeros((side, side), np.uint8)
    cv2.circle(mask, (side // 2, side // 2), side // 3, 1, -1)
    cv2.circle(mask, (side // 2, side // 2), side // 10, 0, -1)
    return mask[:, :, None].astype(np.float32)


def labeling_workspace(root: Path) -> Path:
    """Eight faces: the third one is labeled, the fourth masked; a pak as dst."""
    src, dst = root / "data_src" / "aligned", root / "data_dst" / "aligned"
    src.mkdir(parents=True)
    dst.mkdir(parents=True)
    shutil.copy(DEMO, dst / "faceset.pak")
    pak = read_pak(DEMO)
    for number in range(FACES):
        path = src / f"{number:05d}.jpg"
        path.write_bytes(pak.jpeg(number))
        metadata = replace(read_metadata(path), seg_ie_polys=[], xseg_mask_bytes=None)
        if number == 2:
            metadata.seg_ie_polys = [(1, TRIANGLE)]
        if number == 3:
            metadata.xseg_mask_bytes = encode_mask(round_mask())
        write_metadata(path, metadata)
    return root

"""S3FD, the detector of the legacy program, with the user's own weight file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from dfl_tf.extract.found import Detection, Image

Floats = npt.NDArray[np.floating]
Maps = Sequence[tuple[Floats, Floats]]
"""Probabilities (h, w, 2) and offsets (h, w, 4) for strides 4 to 128."""

_CANDIDATE = 0.05
_SCORE = 0.5
_OVERLAP = 0.3
_SMALLEST_SIDE = 40  # pixels of the frame


def reduced_size(height: int, width: int) -> tuple[int, int, float]:
    """Height and width of what the network is given, and the factor back to the frame."""
    longest = max(width, height)
    target = max(640 if longest >= 1280 else longest / 2, 64)
    factor = longest / target
    return int(height / factor), int(width / factor), factor


def decode(maps: Maps) -> npt.NDArray[np.float64]:
    """Turn the six maps of the network into boxes.

    Parameters
    ----------
    maps : sequence of (scores, places)
        Of one image, each of half the sides of the one before: ndarrays, shapes (h, w, 2) and
        (h, w, 4), any floating dtype.

    Returns
    -------
    ndarray, shape (n, 5), float64
        Left, top, right, bottom (whole pixels of the reduced image) and score, best first.

    References
    ----------
    extract.md 2.3.
    """
    found = []
    for level, (scores, places) in enumerate(maps):
        stride = 2 ** (level + 2)
        side = 4 * stride
        rows, columns = np.nonzero(scores[..., 1] > _CANDIDATE)
        offsets = places[rows, columns].astype(np.float32)
        shift = (np.float32(0.1) * offsets[:, :2] * np.float32(side)).astype(np.float64)
        scale = np.exp(np.float32(0.2) * offsets[:, 2:]).astype(np.float64)
        center = np.stack((columns, rows), 1) * float(stride) + stride / 2 + shift
        size = side * scale
        start = center - size / 2
        score = scores[rows, columns, 1].astype(np.float64)
        found.append(np.column_stack((start, start + size, score)))
    candidates = np.concatenate(found)
    boxes = candidates[suppress(candidates)]
    boxes = boxes[boxes[:, 4] >= _SCORE]
    boxes[:, :4] = np.trunc(boxes[:, :4])
    return boxes


def suppress(boxes: npt.NDArray[np.float64], overlap: float = _OVERLAP) -> list[int]:
    """Drop boxes that overlap a better one (non-maximum suppression).

    Parameters
    ----------
    boxes : ndarray, shape (n, 5), float64
        Left, top, right, bottom, score; sides are inclusive.
    overlap : float
        Intersection over union above which the worse box is dropped.

    Returns
    -------
    list of int
        Positions of the boxes that stay, best first.
    """
    left, top, right, bottom, score = boxes.T
    areas = (right - left + 1) * (bottom - top + 1)
    order = score.argsort()[::-1]
    kept = []
    while len(order):
        best, rest = order[0], order[1:]
        kept.append(int(best))
        width = np.minimum(right[best], right[rest]) - np.maximum(left[best], left[rest]) + 1
        height = np.minimum(bottom[best], bottom[rest]) - np.maximum(top[best], top[rest]) + 1
        common = np.maximum(width, 0.0) * np.maximum(height, 0.0)
        order = rest[common / (areas[best] + areas[rest] - common) <= overlap]
    return kept


class S3FD:
    """Detects faces as the legacy program does.

    Parameters
    ----------
    network : callable
        Takes an image (h, w, 3) float32 RGB, 0 to 255; returns its six maps.
    version : str
        Which weights these are.

    References
    ----------
    extract.md 2.2, 2.3.
    """

    name = "s3fd"

    def __init__(self, network: Callable[[Floats], Maps], version: str = "") -> None:
        self._network = network
        self.version = version

    @classmethod
    def from_file(cls, path: Path) -> S3FD:
        """Load the network with the weights of ``S3FD.npy``.

        Raises
        ------
        ModelFileError
            It is no such file.
        """
        from dfl_tf.disk.durable import sha256_of
        from dfl_tf.extract.detectors.s3fd_network import S3FDNetwork
        from dfl_tf.formats.models.legacy import read_part
        from dfl_tf.nn.filling import fill_network

        network = S3FDNetwork()
        fill_network(network, read_part(path), what=str(path))

        def run(image: Floats) -> Maps:
            outputs = network(image[None])
            return [(scores[0].numpy(), places[0].numpy()) for scores, places in outputs]

        return cls(run, version=sha256_of(path)[:16])

    def detect(self, image: Image) -> list[Detection]:
        """Find the faces of an image (h, w, 3) uint8 BGR; whole-number boxes, largest first."""
        height, width, factor = reduced_size(*image.shape[:2])
        rgb = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
        reduced = cv2.resize(rgb, (width, height), interpolation=cv2.INTER_LINEAR)
        found = []
        for left, top, right, bottom, score in decode(self._network(reduced.astype(np.float32))):
            left, top, right, bottom = (factor * side for side in (left, top, right, bottom))
            if min(right - left, bottom - top) < _SMALLEST_SIDE:
                continue
            bottom += 0.1 * (bottom - top)
            box = (int(left), int(top), int(right), int(bottom))
            found.append(Detection(box, float(score)))
        return sorted(found, key=lambda face: face.area, reverse=True)

    def search(self, image: Image) -> list[Detection]:
        """Find nothing more: the legacy program looks no closer; see `Detector.search`."""
        return []

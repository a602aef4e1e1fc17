"""Preview images: the loss graph on top of what the model makes of its samples, as JPEG files.

References
----------
workspace.md 7.2, 7.3.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from dfl_tf.disk.durable import make_folder, write_file
from dfl_tf.train.loss_graph import loss_graph

JPEG_QUALITY = 95


class NamedImage(Protocol):
    """What `FaceModel.preview` gives: a name and an image (h, w, 3), float32, BGR, 0..1."""

    @property
    def name(self) -> str:
        """The legacy preview name."""

    @property
    def image(self) -> NDArray[np.float32]:
        """Shape (h, w, 3), float32, BGR, 0..1."""


def with_loss_graph(
    image: NDArray[np.float32], history: NDArray[np.float64], iteration: int
) -> NDArray[np.uint8]:
    """Stack the loss graph on a preview.

    Parameters
    ----------
    image : ndarray, shape (h, w, 3), float32 in [0, 1], BGR
    history : ndarray, shape (iterations, losses), float64
    iteration : int
        Written into the graph.

    Returns
    -------
    ndarray, shape (100 + h, w, 3), uint8, BGR
        Times 255, clipped (the legacy program lets bright text wrap around), truncated.
    """
    image = np.asarray(image, np.float32)
    graph = loss_graph(history, image.shape[1], iteration)
    stacked = np.concatenate([graph, image], axis=0)
    return (np.clip(stacked, 0.0, 1.0) * 255).astype(np.uint8)


def jpeg_bytes(image: NDArray[np.uint8]) -> bytes:
    """Encode an image as JPEG of quality 95 (OpenCV's default, which the legacy program uses).

    Parameters
    ----------
    image : ndarray, shape (h, w, 3), uint8, BGR
    """
    return cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1].tobytes()


def preview_images(
    previews: Sequence[NamedImage], history: NDArray[np.float64], iteration: int
) -> dict[str, NDArray[np.uint8]]:
    """Each preview with its loss graph, by preview name; see `with_loss_graph`."""
    return {
        preview.name: with_loss_graph(preview.image, history, iteration) for preview in previews
    }


def write_previews(folder: Path, images: dict[str, NDArray[np.uint8]]) -> list[Path]:
    """Write each image as ``<folder>/<preview name>.jpg``, replacing the last one.

    Parameters
    ----------
    folder : Path
    images : dict of ndarray, shape (h, w, 3), uint8, BGR
        By preview name.

    Returns
    -------
    list of Path
    """
    make_folder(folder)
    paths = []
    for name, image in images.items():
        path = folder / f"{name}.jpg"
        write_file(path, jpeg_bytes(image))
        paths.append(path)
    return paths

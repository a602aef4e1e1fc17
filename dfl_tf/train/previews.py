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
from dfl_tf.imaging import sheet, to_uint8
from dfl_tf.train.loss_graph import loss_graph

JPEG_QUALITY = 95
_LEAST_CELL = 128
"""Pixels: faces of small models are enlarged to them, and captions are legible on them."""


class NamedImage(Protocol):
    """What `FaceModel.preview` gives; see `PreviewImage`."""

    @property
    def name(self) -> str:
        """The legacy preview name."""

    @property
    def image(self) -> NDArray[np.float32]:
        """Shape (h, w, 3), float32, BGR, 0..1."""

    @property
    def captions(self) -> tuple[tuple[str, ...], ...]:
        """What its cells show."""

    @property
    def further(self) -> bool:
        """Whether the legacy program has no such image."""


def with_captions(preview: NamedImage) -> NDArray[np.uint8]:
    """Say over each cell of a preview what it shows; small cells are enlarged.

    Parameters
    ----------
    preview : NamedImage

    Returns
    -------
    ndarray, shape (h, w, 3), uint8, BGR
        As it is where it has no captions.
    """
    image = to_uint8(preview.image)
    if not preview.captions:
        return image
    rows, columns = len(preview.captions), len(preview.captions[0])
    cells = [np.split(row, columns, axis=1) for row in np.split(image, rows, axis=0)]
    return sheet(
        cells, captions=preview.captions, cell=max(_LEAST_CELL, image.shape[1] // columns), gap=2
    )


def with_loss_graph(
    image: NDArray[np.float32] | NDArray[np.uint8], history: NDArray[np.float64], iteration: int
) -> NDArray[np.uint8]:
    """Stack the loss graph on a preview.

    Parameters
    ----------
    image : ndarray, shape (h, w, 3), float32 in [0, 1] or uint8, BGR
    history : ndarray, shape (iterations, losses), float64
    iteration : int
        Written into the graph.

    Returns
    -------
    ndarray, shape (100 + h, w, 3), uint8, BGR
        Times 255, clipped (the legacy program lets bright text wrap around), truncated.
    """
    shown = image if image.dtype == np.uint8 else to_uint8(np.asarray(image, np.float32))
    graph = to_uint8(loss_graph(history, image.shape[1], iteration))
    return np.concatenate([graph, np.asarray(shown, np.uint8)], axis=0)


def jpeg_bytes(image: NDArray[np.uint8]) -> bytes:
    """Encode an image as JPEG of quality 95 (OpenCV's default, which the legacy program uses).

    Parameters
    ----------
    image : ndarray, shape (h, w, 3), uint8, BGR
    """
    return cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1].tobytes()


def preview_images(
    previews: Sequence[NamedImage],
    history: NDArray[np.float64],
    iteration: int,
    *,
    legacy: bool = False,
) -> dict[str, NDArray[np.uint8]]:
    """Each preview with its loss graph, by preview name.

    Parameters
    ----------
    previews : sequence of NamedImage
    history, iteration
        See `with_loss_graph`.
    legacy : bool
        Only what the legacy program shows, as it shows it: no captions, no enlarged faces.

    Returns
    -------
    dict of str to ndarray, shape (h, w, 3), uint8, BGR
    """
    shown = [preview for preview in previews if not (legacy and preview.further)]
    return {
        preview.name: with_loss_graph(
            preview.image if legacy else with_captions(preview), history, iteration
        )
        for preview in shown
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

"""Sharper faces of the same size, by the user's network.

References
----------
extract.md 4; tools.md 8.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from dfl_tf.errors import ModelFileError, UsageError
from dfl_tf.facesets.rewriting import Work
from dfl_tf.formats import FaceMetadata
from dfl_tf.formats.faces.dfljpg import embed_metadata
from dfl_tf.formats.models.legacy import read_part
from dfl_tf.formats.weights.release_files import HOME_VARIABLE, find_weights
from dfl_tf.imaging import decode_image, encode_image, to_bgr
from dfl_tf.imaging.image_network import ImageNetwork

WEIGHTS = "FaceEnhancer.npy"
_QUALITY = 100
_OWN_SIZE = 1

Floats = npt.NDArray[np.float32]
Enhance = Callable[[Floats], Floats]
"""From an image (h, w, 3) float32 BGR in [0, 1] to one of the same size."""


def find_enhancer(dfl_home: Path | None, onnx: Path | None) -> Enhance:
    """Load the network that the user names.

    Parameters
    ----------
    dfl_home : Path or None
        A DeepFaceLab installation with ``FaceEnhancer.npy``; None: ``DFL_HOME``.
    onnx : Path or None
        A network of another program; goes before.

    Returns
    -------
    callable
        From an image of shape (h, w, 3), float32 BGR in [0, 1], to one of the same shape.

    Raises
    ------
    UsageError
        None is named, or it is not there.
    ModelFileError
        The file is no such network.
    """
    if onnx is not None:
        return onnx_enhancer(onnx)
    path = find_weights(WEIGHTS, dfl_home)
    if path is None:
        raise UsageError(
            f"{WEIGHTS} of DeepFaceLab is needed: name the folder of your installation with "
            f"--dfl-home or {HOME_VARIABLE}, or a network of another program with --enhancer."
        )
    return release_enhancer(path)


def release_enhancer(path: Path) -> Enhance:
    """The FaceEnhancer of DeepFaceLab with the user's weights; see `find_enhancer`."""
    from dfl_tf.models.face_enhancer import FaceEnhancerNetwork, enhance
    from dfl_tf.nn.filling import fill_network

    network = FaceEnhancerNetwork()
    fill_network(network, read_part(path), what=str(path))
    return lambda image: enhance(image, network)


def onnx_enhancer(path: Path) -> Enhance:
    """A network of another program, which gives an image of any size; see `find_enhancer`.

    Channels last, shape (n, h, w, 3): BGR in [0, 1]. Channels first, shape (n, 3, h, w), as PyTorch
    programs export them: RGB in [-1, 1]. Networks of bytes take and give 0 to 255, in the same
    order of channels. Where the file fixes the size, faces are brought to it and back.
    """
    network = ImageNetwork.open(path, side=_OWN_SIZE)
    of_bytes = network.dtype is np.uint8
    one_at_a_time = threading.Lock()

    def run(image: Floats) -> Floats:
        height, width = image.shape[:2]
        x = image
        if network.side != _OWN_SIZE:
            size = (network.side, network.side)
            x = cv2.resize(x, size, interpolation=cv2.INTER_LANCZOS4)
        if network.channels_first:
            x = x[:, :, ::-1]
        if of_bytes:
            x = x * 255
        elif network.channels_first:
            x = x * 2 - 1
        with one_at_a_time:
            y = network.run(x[None])[0]
        shape = y.shape
        if network.channels_first and y.ndim == 3:
            y = y.transpose(1, 2, 0)
        if y.ndim != 3 or y.shape[2] != 3:
            raise ModelFileError(
                f"{path}: its output is {shape} for one image; three channels are needed, laid out "
                "as those of its input."
            )
        if of_bytes:
            y = y / 255
        elif network.channels_first:
            y = y / 2 + 0.5
        if network.channels_first:
            y = y[:, :, ::-1]
        y = np.ascontiguousarray(y)
        if y.shape[:2] != (height, width):
            y = cv2.resize(y, (width, height), interpolation=cv2.INTER_LANCZOS4)
        return np.clip(y, 0, 1).astype(np.float32)

    return run


def enhancing(enhance: Enhance) -> Work:
    """What `rewrite_faces` does with each face: enhance it, quality 100, the same metadata.

    `enhance` is what `find_enhancer` returns: from an image of shape (h, w, 3), float32 BGR in
    [0, 1], to one of the same shape.
    """

    def work(jpeg: bytes, metadata: FaceMetadata) -> bytes:
        image = to_bgr(decode_image(jpeg, what="the image"))
        result = enhance(image.astype(np.float32) / np.float32(255))
        made = np.clip(result * 255, 0, 255).astype(np.uint8)
        return embed_metadata(encode_image(made, ".jpg", quality=_QUALITY), metadata)

    return work

"""Super resolution by a network that the user brings."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dfl_tf.disk.plain_file import path_or_content
from dfl_tf.errors import ModelFileError, UsageError
from dfl_tf.extras import install_command
from dfl_tf.merge.warping import Floats


@dataclass(frozen=True)
class Enhancer:
    """Enlarges faces four times.

    Attributes
    ----------
    many : callable
        Of (n, h, w, 3) float32 in [0, 1] makes (n, 4h, 4w, 3), float32.
    takes_batches : bool
        Whether n may be more than 1.
    """

    many: Callable[[Floats], Floats]
    takes_batches: bool

    def one(self, image: Floats) -> Floats:
        """Enlarge one face, float32 of shape (h, w, 3), to (4h, 4w, 3)."""
        return self.many(image[None])[0]


def load_enhancer(path: Path) -> Enhancer:
    """Load an ONNX network that enlarges faces four times.

    Parameters
    ----------
    path : Path
        One input (n, h, w, 3) float32 BGR in [0, 1] of any size, one output (n, 4h, 4w, 3). Where
        n is 1 in the file, faces are enlarged one at a time.

    Raises
    ------
    UsageError
        If onnxruntime is not installed.
    ModelFileError
        If the file is no such network.

    References
    ----------
    merge.md 3, step 4. The legacy FaceEnhancer.npy is weights without a network, so it cannot be
    used directly.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise UsageError(
            "an enhancer network needs onnxruntime, which is not installed: "
            + install_command("export")
        ) from error
    try:
        session = onnxruntime.InferenceSession(
            path_or_content(path), providers=["CPUExecutionProvider"]
        )
        (entry,), (result,) = session.get_inputs(), session.get_outputs()
        probe = session.run([result.name], {entry.name: np.zeros((1, 16, 16, 3), np.float32)})[0]
    except Exception as error:  # onnxruntime has no common exception class of its own
        raise ModelFileError(f"{path}: cannot be used as an enhancer ({error})") from error
    if probe.shape != (1, 64, 64, 3):
        raise ModelFileError(
            f"{path}: an enhancer makes (1, 64, 64, 3) of (1, 16, 16, 3); this network makes "
            f"{probe.shape}"
        )
    one_at_a_time = threading.Lock()

    def many(images: Floats) -> Floats:
        with one_at_a_time:
            (found,) = session.run([result.name], {entry.name: images.astype(np.float32)})
        return np.asarray(found, np.float32)

    return Enhancer(many, takes_batches=not isinstance(entry.shape[0], int))

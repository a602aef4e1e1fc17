"""Super resolution by a network that the user brings."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np

from dfl_tf.disk.plain_file import path_or_content
from dfl_tf.errors import ModelFileError, UsageError
from dfl_tf.merge.warping import Floats


def load_enhancer(path: Path) -> Callable[[Floats], Floats]:
    """Load an ONNX network that enlarges faces four times.

    Parameters
    ----------
    path : Path
        One input (n, h, w, 3) float32 BGR in [0, 1] of any size, one output (n, 4h, 4w, 3).

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
            "pip install dfl-tf[export]"
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

    def enhance(image: Floats) -> Floats:
        with one_at_a_time:
            outputs = session.run([result.name], {entry.name: image[None].astype(np.float32)})
        return np.asarray(outputs[0][0], np.float32)

    return enhance

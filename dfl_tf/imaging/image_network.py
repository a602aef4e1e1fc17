"""Networks of other programs that take one image: ONNX files whose input is read from the file."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from dfl_tf.disk.plain_file import read_plain
from dfl_tf.errors import ModelFileError, UsageError
from dfl_tf.extras import install_command

if TYPE_CHECKING:
    from onnxruntime import InferenceSession, NodeArg

MAX_SIDE = 2048
_LIMIT = (1 << 31) - 1
_TYPES: dict[str, type[np.generic]] = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(uint8)": np.uint8,
}


@dataclass(frozen=True)
class ImageNetwork:
    """An ONNX network with one image as its input.

    Attributes
    ----------
    path : Path
    digest : str
        SHA-256 of the file.
    runner : onnxruntime.InferenceSession
    input_name : str
    side : int
        Pixels; images are square.
    channels_first : bool
        (n, c, h, w) instead of (n, h, w, c).
    dtype : type
        uint8 takes values of 0 to 255.
    single : bool
        Takes one image at a time.
    """

    path: Path
    digest: str
    runner: InferenceSession
    input_name: str
    side: int
    channels_first: bool
    dtype: type[np.generic]
    single: bool

    @classmethod
    def open(cls, path: Path, *, side: int) -> ImageNetwork:
        """Open a file.

        Parameters
        ----------
        path : Path
        side : int
            What a free size in the file stands for.

        Raises
        ------
        UsageError
            ONNX Runtime is not installed.
        ModelFileError
            The file cannot be read, or its input is not an image.
        """
        try:
            import onnxruntime
        except ImportError:
            raise UsageError(
                f"{path}: ONNX files need onnxruntime, which is not installed. "
                f"Install the extra export: {install_command('export')}"
            ) from None
        try:
            data = read_plain(path, limit=_LIMIT)
        except OSError as error:
            raise ModelFileError(f"{path}: cannot be read ({error.strerror})") from None
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        try:
            runner = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime raises classes that it does not export
            raise ModelFileError(f"{path}: ONNX Runtime cannot open it ({error})") from None
        port = _image_port(runner, path)
        first = port.shape[1] == 3
        height, width = port.shape[2:] if first else port.shape[1:3]
        sides = {s if isinstance(s, int) and s > 0 else side for s in (height, width)}
        if len(sides) > 1 or not 1 <= min(sides) <= MAX_SIDE:
            raise ModelFileError(
                f"{path}: its input {port.name} is {port.shape}; the image must be square, "
                f"of at most {MAX_SIDE} pixels."
            )
        digest = hashlib.sha256(data).hexdigest()
        single = port.shape[0] == 1
        dtype = _TYPES[port.type]
        return cls(path, digest, runner, port.name, sides.pop(), first, dtype, single)

    def run(self, images: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Compute the first output.

        Parameters
        ----------
        images : ndarray, shape (n, side, side, 3), float32
            In the order and range of the network; for uint8 networks 0 to 255.

        Returns
        -------
        ndarray, shape (n, ...), float32

        Raises
        ------
        ModelFileError
        """
        given = images.transpose(0, 3, 1, 2) if self.channels_first else images
        if self.dtype is np.uint8:
            given = np.clip(np.rint(given), 0, 255)
        given = np.ascontiguousarray(given.astype(self.dtype))
        parts = [given[i : i + 1] for i in range(len(given))] if self.single else [given]
        try:
            outputs = [self.runner.run(None, {self.input_name: part})[0] for part in parts]
            result = np.concatenate(outputs).astype(np.float32)
        except Exception as error:  # see `open`
            raise ModelFileError(f"{self.path}: ONNX Runtime cannot run it ({error})") from None
        if len(result) != len(images):
            raise ModelFileError(
                f"{self.path}: the output is {result.shape} for {len(images)} images"
            )
        if not np.isfinite(result).all():
            raise ModelFileError(f"{self.path}: the output has values that are not finite")
        return result


def _image_port(runner: InferenceSession, path: Path) -> NodeArg:
    """The one input, if it is an image."""
    ports = runner.get_inputs()
    listed = ", ".join(f"{port.name} {port.shape} {port.type}" for port in ports) or "none"
    if len(ports) == 1:
        shape = ports[0].shape
        if len(shape) == 4 and 3 in (shape[1], shape[3]) and ports[0].type in _TYPES:
            return ports[0]
    raise ModelFileError(
        f"{path}: its inputs are {listed}; allowed is one image of three channels, "
        "(n, h, w, 3) or (n, 3, h, w), as float or uint8."
    )

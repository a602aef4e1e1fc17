"""A TensorFlow Lite graph that any number of threads may run."""

from __future__ import annotations

import importlib
import threading
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from dfl_tf_ops.native_output import quiet_stderr

from dfl_tf.disk.plain_file import read_plain
from dfl_tf.errors import ModelFileError, UsageError
from dfl_tf.extras import install_command

if TYPE_CHECKING:
    from ai_edge_litert.interpreter import Interpreter

Array = npt.NDArray[np.float32]


def _interpreter_class() -> type[Interpreter]:
    """The interpreter of ai-edge-litert, or else the one that TensorFlow brings."""
    try:
        return importlib.import_module("ai_edge_litert.interpreter").Interpreter
    except ImportError:
        pass
    try:
        lite = importlib.import_module("tensorflow").lite
    except ImportError:
        raise UsageError(
            "face extraction needs a TensorFlow Lite interpreter: " + install_command("extract")
        ) from None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return lite.Interpreter


class MeshGraph:
    """A graph with one image as input; each thread has an interpreter of its own.

    Parameters
    ----------
    content : bytes
        A ``.tflite`` file.
    what : str
        Its name, for messages.
    """

    def __init__(self, content: bytes, *, what: str) -> None:
        self._content = content
        self._what = what
        self._local = threading.local()
        with quiet_stderr():  # the first interpreter of a process says which delegate it made
            details = self._interpreter().get_input_details()
        shape = [int(side) for side in details[0]["shape"]]
        if len(details) != 1 or len(shape) != 4 or shape[1] != shape[2] or shape[3] != 3:
            raise ModelFileError(
                f"{what}: takes {shape}; one square image (1, n, n, 3) is expected"
            )
        self.side = shape[1]

    @classmethod
    def read(cls, path: Path) -> MeshGraph:
        """Read a ``.tflite`` file.

        Raises
        ------
        ModelFileError
        """
        try:
            return cls(read_plain(path), what=str(path))
        except OSError as error:
            raise ModelFileError(f"{path}: cannot be read ({error.strerror})") from None

    def _interpreter(self) -> Interpreter:
        if not hasattr(self._local, "interpreter"):
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    made = _interpreter_class()(model_content=self._content, num_threads=1)
                made.allocate_tensors()
            except (ValueError, RuntimeError) as error:
                raise ModelFileError(
                    f"{self._what}: is not a TensorFlow Lite model ({error})"
                ) from None
            self._local.interpreter = made
        return self._local.interpreter

    def run(self, image: Array) -> list[Array]:
        """Run on an image (n, n, 3) float32; the outputs, of any order."""
        interpreter = self._interpreter()
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image[None])
        interpreter.invoke()
        return [
            interpreter.get_tensor(output["index"]) for output in interpreter.get_output_details()
        ]

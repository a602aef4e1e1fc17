"""Weight files of the legacy release, which users bring with their own installation."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from dfl_tf.errors import ModelFileError, UsageError
from dfl_tf.formats.model_legacy import read_part
from dfl_tf.nn.layers import Network

HOME_VARIABLE = "DFL_HOME"
_FOLDERS = ("", "facelib", "_internal/DeepFaceLab/facelib")
_NAMED = 6


def find_weights(file_name: str, home: Path | None) -> Path | None:
    """Look for a weight file of the legacy program.

    Parameters
    ----------
    file_name : str
        ``S3FD.npy``, ``2DFAN.npy``, ``3DFAN.npy`` or ``FaceEnhancer.npy``.
    home : Path or None
        The folder of the legacy installation; None: the environment variable ``DFL_HOME``.

    Returns
    -------
    Path or None
        None if no folder is named.

    Raises
    ------
    UsageError
        A folder is named, but the file is not in it.
    """
    named = home or (Path(os.environ[HOME_VARIABLE]) if os.environ.get(HOME_VARIABLE) else None)
    if named is None:
        return None
    for folder in _FOLDERS:
        path = named / folder / file_name
        if path.is_file():
            return path
    looked = ", ".join(str(named / folder) for folder in _FOLDERS)
    raise UsageError(
        f"{file_name} was not found in {looked}. Name the folder of a DeepFaceLab installation "
        f"with --dfl-home or {HOME_VARIABLE}."
    )


def load_weights(network: Network, path: Path) -> None:
    """Fill a network with the tensors of a weight file.

    Arrays may be float16, and of another shape with as many numbers.

    Raises
    ------
    ModelFileError
        The file cannot be read, or tensors are missing or of another size; all are named.
    """
    tensors = read_part(path)
    if not network.built:
        network.build()
    wanted = {variable.path.split("/", 1)[1] + ":0": variable for variable in network.weights}
    missing = [key for key in wanted if key not in tensors]
    misshapen = [
        f"{key} is {np.shape(tensors[key])}, not {tuple(variable.shape)}"
        for key, variable in wanted.items()
        if key in tensors and np.size(tensors[key]) != int(np.prod(variable.shape))
    ]
    faults = [
        f"{len(found)} {kind} ({'; '.join(found[:_NAMED])}{'; …' if len(found) > _NAMED else ''})"
        for kind, found in (("missing", missing), ("of another size", misshapen))
        if found
    ]
    if faults:
        raise ModelFileError(
            f"{path}: these are not the weights of {network.name}: {', '.join(faults)}."
        )
    for key, variable in wanted.items():
        variable.assign(_as_float32(tensors[key], key, path).reshape(variable.shape))


def _as_float32(array: Any, key: str, path: Path) -> Any:
    values = np.asarray(array)
    if values.dtype.kind != "f":
        raise ModelFileError(f"{path}: {key} holds {values.dtype} where numbers are expected.")
    return values.astype(np.float32)

"""Weight files of the legacy release, which users bring with their own installation."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from dfl_tf.errors import UsageError

HOME_VARIABLE = "DFL_HOME"
_FOLDERS = ("", "facelib", "_internal/DeepFaceLab/facelib")

GENERIC_NAME = "model_generic_xseg"
"""Folder of the XSeg model that a release ships."""

GENERIC_XSEG = ("", GENERIC_NAME, f"_internal/{GENERIC_NAME}", f"../{GENERIC_NAME}")
"""Where a release has the XSeg model that it ships."""


def find_weights(
    file_name: str, home: Path | None, *, folders: Sequence[str] = _FOLDERS
) -> Path | None:
    """Look for a weight file of the legacy program.

    Parameters
    ----------
    file_name : str
        ``S3FD.npy``, ``2DFAN.npy``, ``3DFAN.npy``, ``FaceEnhancer.npy``, or ``XSeg_256.npy`` with
        `GENERIC_XSEG` as its folders.
    home : Path or None
        The folder of the legacy installation; None: the environment variable ``DFL_HOME``.
    folders : sequence of str
        Where to look, from `home`.

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
    for folder in folders:
        path = named / folder / file_name
        if path.is_file():
            return path
    looked = ", ".join(str(named / folder) for folder in folders)
    raise UsageError(
        f"{file_name} was not found in {looked}. Name the folder of a DeepFaceLab installation "
        f"with --dfl-home or {HOME_VARIABLE}."
    )


def generic_xseg(home: Path | None) -> Path:
    """The folder of the XSeg model of a DeepFaceLab installation; `home` as in `find_weights`.

    Raises
    ------
    UsageError
        No installation is named, or it has none.
    """
    file = find_weights("XSeg_256.npy", home, folders=GENERIC_XSEG)
    if file is None:
        raise UsageError(
            "--generic takes the XSeg model of your DeepFaceLab installation: name its folder "
            f"with --dfl-home or {HOME_VARIABLE}."
        )
    return file.parent

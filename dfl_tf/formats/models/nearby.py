"""Which folder was meant: that of the models, or the workspace around it."""

from __future__ import annotations

from pathlib import Path

from dfl_tf.formats.models.files import find_models

SIDES = ("data_src", "data_dst")
_ABOVE, _LOOKED_AT = 4, 200


def is_workspace(folder: Path) -> bool:
    """Whether a folder holds the data of a side."""
    return any((folder / side).is_dir() for side in SIDES)


def model_folder(folder: Path) -> Path:
    """The folder of models that is meant by a folder.

    Parameters
    ----------
    folder : Path
        A folder of models, or a workspace.

    Returns
    -------
    Path
        ``folder/model`` if the models are there and none is in the folder itself, else `folder`.
    """
    inside = folder / "model"
    return inside if not find_models(folder) and find_models(inside) else folder


def workspace_near(folder: Path) -> Path | None:
    """A workspace around or inside of a folder that is none; None if there is no such one.

    Parameters
    ----------
    folder : Path
        Absolute.

    Returns
    -------
    Path or None
        The nearest of the folders above, else the first one inside, by name. At most 200 folders
        are looked at, so that a home folder is no matter.
    """
    above = [each for each in list(folder.parents)[:_ABOVE] if is_workspace(each)]
    if above:
        return above[0]
    try:
        entries = sorted(each for each in folder.iterdir() if each.is_dir())
    except OSError:
        return None
    return next((each for each in entries[:_LOOKED_AT] if is_workspace(each)), None)

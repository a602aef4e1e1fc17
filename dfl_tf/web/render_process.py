"""The rendering process of the merge tuner: ``python -m dfl_tf.web.render_process SOCKET``."""

from __future__ import annotations

import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from dfl_tf.api import load_model
from dfl_tf.disk.text import printable
from dfl_tf.errors import DflTfError
from dfl_tf.merge.job import MergeRequest, find_folders, models_of, plan_tasks
from dfl_tf.merge.tuner.messages import Opened
from dfl_tf.merge.tuner.serving import serve
from dfl_tf.merge.tuner.stage import Stage
from dfl_tf.options import MergeOptions

if TYPE_CHECKING:
    from dfl_tf.models.base import FaceModel


def open_scene(about: Mapping[str, object]) -> tuple[Stage, Opened]:
    """Find frames, faces and the model.

    Parameters
    ----------
    about : mapping
        ``workspace``, ``model_dir``, ``name``, ``model_class``, ``enhancer`` (empty: none).

    Raises
    ------
    UsageError, WorkspaceError, ModelFileError
        Something of it is missing.
    """
    enhancer = str(about["enhancer"])
    request = MergeRequest(
        workspace=Path(str(about["workspace"])),
        model_dir=Path(str(about["model_dir"])),
        name=str(about["name"]),
        model_class=str(about["model_class"]),
        enhancer=Path(enhancer) if enhancer else None,
    )
    notes: list[str] = []
    folders = find_folders(request)
    tasks = plan_tasks(request, folders, lambda paths: [MergeOptions()] * len(paths), notes.append)
    models = models_of(request, folders, _load)
    lacks = {}
    if not enhancer:
        lacks["enhancer"] = "There is no enhancer network; dfl-tf web --enhancer FILE names one."
    try:
        models.require_xseg(["XSeg"])
    except DflTfError:
        lacks["xseg"] = "There is no XSeg model in the model folder."
    opened = Opened(
        models.name,
        models.model_class,
        tuple(task.path.name for task in tasks),
        tuple(len(task.faces) for task in tasks),
        lacks,
        tuple(printable(note) for note in notes),
    )
    own = (folders.root, folders.model)
    return Stage(tasks, models, seed=request.seed, batch=request.batch, folders=own), opened


def _load(folder: Path, name: str, model_class: str) -> FaceModel:
    return load_model(folder, name, model_class, training=False)


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])), open_scene)

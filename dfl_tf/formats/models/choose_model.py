"""Which model of a folder is meant: as named, else the one that was saved last."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dfl_tf.errors import ModelFileError, UsageError
from dfl_tf.formats.models.files import FoundModel, find_models
from dfl_tf.formats.models.nearby import workspace_near
from dfl_tf.options import KINDS

_NAMED = 20


def choose_model(
    folder: str | Path,
    name: str | None = None,
    model_class: str | None = None,
    *,
    classes: Sequence[str] | None = None,
    what: str = "model",
) -> FoundModel:
    """The newest model of a folder that fits.

    Parameters
    ----------
    folder : str or Path
        Folder of model files.
    name : str, optional
        Of the model; the form ``<name>_<Class>``, as in its file names, is understood.
    model_class : str, optional
        In any letter case.
    classes : sequence of str, optional
        Those that the caller can use; by default all.
    what : str
        What the caller is after, for messages: "model to export".

    Returns
    -------
    FoundModel

    Raises
    ------
    UsageError
        There is no such class, it cannot be used here, or the name is there in several classes.
    ModelFileError
        There is no such model.

    References
    ----------
    workspace.md 3.1.
    """
    folder = Path(folder)
    classes = tuple(KINDS) if classes is None else classes
    if model_class is not None:
        model_class = _class_of(model_class, classes, what)
    found = find_models(folder, model_class)
    usable = [model for model in found if model.model_class in classes]
    fitting = [model for model in usable if name in (None, model.name)]
    if not fitting and name is not None:
        fitting = [model for model in usable if name == f"{model.name}_{model.model_class}"]
    if not fitting:
        raise ModelFileError(_missing(folder, name, model_class, what))
    kinds = {model.model_class for model in fitting}
    if name is not None and len(kinds) > 1:
        raise UsageError(
            f"{folder}: {name} is there in several classes ({', '.join(sorted(kinds))}). Give the "
            "class as well."
        )
    return fitting[0]


def _class_of(given: str, classes: Sequence[str], what: str) -> str:
    known = {each.lower(): each for each in classes}
    if given.lower() not in known:
        raise UsageError(f"{given}: no class of a {what}. Choose from {', '.join(classes)}.")
    return known[given.lower()]


def _hint(folder: Path) -> str:
    near = workspace_near(folder.absolute())
    return f" Did you mean {near / 'model'}?" if near and find_models(near / "model") else ""


def _missing(folder: Path, name: str | None, model_class: str | None, what: str) -> str:
    if not folder.is_dir():
        return f"{folder}: there is no such folder.{_hint(folder)}"
    wanted = " ".join([*([model_class] if model_class else []), what])
    called = f" called {name}" if name else ""
    there = find_models(folder)
    others = ", ".join(f"{model.name} ({model.model_class})" for model in there[:_NAMED])
    known = f"Models there: {others}." if others else f"There are no models.{_hint(folder)}"
    return f"{folder}: there is no {wanted}{called}. {known}"

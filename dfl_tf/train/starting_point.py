"""What a new model starts from instead of random weights: parts of another one, or a release's.

References
----------
workspace.md 3.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dfl_tf.errors import UsageError
from dfl_tf.formats import ModelState, read_model
from dfl_tf.formats.models.choose_model import choose_model
from dfl_tf.formats.models.files import FoundModel
from dfl_tf.formats.models.legacy import read_part
from dfl_tf.formats.sessions.workspace import user_path
from dfl_tf.options import KINDS, RunOptions

if TYPE_CHECKING:
    from dfl_tf.models.base import FaceModel

_MEANT = "Give a folder of model files, or one and the name of a model in it: FOLDER/NAME"


@dataclass(frozen=True)
class Origin:
    """The model that `init_from` names.

    Attributes
    ----------
    folder : Path
    model : FoundModel
    parts : tuple of str
        Those that are taken; empty: all that fit.
    """

    folder: Path
    model: FoundModel
    parts: tuple[str, ...]

    @property
    def text(self) -> str:
        """The model for people."""
        return f"{self.model.name} ({self.model.model_class}) of {self.folder}"


def find_origin(text: str) -> Origin:
    """Find the model that ``FOLDER[/NAME][:PART,…]`` names.

    Raises
    ------
    UsageError, ModelFileError
        There is no such folder or model.
    """
    place, _, names = text.rpartition(":") if not user_path(text).exists() else (text, "", "")
    if not place or "/" in names:
        place, names = text, ""
    parts = tuple(part for part in (name.strip() for name in names.split(",")) if part)
    path = user_path(place)
    if path.is_dir():
        return Origin(path, choose_model(path), parts)
    if not path.parent.is_dir():
        raise UsageError(f"init_from {text}: there is no folder {path.parent}. {_MEANT}.")
    return Origin(path.parent, choose_model(path.parent, path.name), parts)


def check_origin(run: RunOptions, state: ModelState | None) -> list[str]:
    """Refuse an `init_from` that names no model; says what it does, or that it does nothing.

    Parameters
    ----------
    run : RunOptions
    state : ModelState or None
        Of the model that is trained; None if it is new.

    Raises
    ------
    UsageError, ModelFileError
    """
    if not run.init_from:
        return []
    if state is not None:
        return [
            f"init_from is for a new model: this one continues at iteration {state.iteration} with "
            "its own weights"
        ]
    origin = find_origin(run.init_from)
    return [f"the new model starts from {', '.join(origin.parts) or 'what fits'} of {origin.text}"]


def take_parts(model: FaceModel, text: str) -> list[str]:
    """Give networks of a new model the weights of another model, of any class and format.

    A network is taken whole or not at all. Optimizers start empty.

    Parameters
    ----------
    model : FaceModel
    text : str
        See `find_origin`.

    Returns
    -------
    list of str
        Which networks were taken, and why others were not.

    Raises
    ------
    UsageError
        A part that is named is in none of the two models or does not fit, or nothing fits at all.
    """
    from dfl_tf.models.state import match_tensors

    origin = find_origin(text)
    found, parts = origin.model, origin.parts or tuple(model.networks)
    if unknown := [part for part in origin.parts if part not in model.networks]:
        raise UsageError(
            f"init_from {text}: the new {model.model_class} has no network {', '.join(unknown)}. "
            f"It has {', '.join(model.networks)}."
        )
    state = read_model(origin.folder, found.name, found.model_class, only=parts)
    taken, refused = {}, {}
    for part in parts:
        if part not in state.tensors:
            refused[part] = "there is none"
            continue
        arrays, errors = match_tensors(model.networks[part].weights, state.tensors[part])
        if errors:
            refused[part] = ", ".join(errors)
            continue
        taken[part] = arrays
    if (origin.parts and refused) or not taken:
        listed = "\n".join(f"  {part}: {why}" for part, why in refused.items())
        raise UsageError(
            f"init_from {text}: these networks of {origin.text} do not fit the new "
            f"{model.model_class}:\n{listed}\nName the parts to take (:PART,…), or "
            "choose options as that model has them (dfl-tf model show)."
        )
    for part, arrays in taken.items():
        for variable, array in zip(model.networks[part].weights, arrays, strict=True):
            variable.assign(array)
    lines = [f"{', '.join(taken)}: weights of {origin.text}, iteration {state.iteration}"]
    return lines + [f"{part} starts with random weights: {why}" for part, why in refused.items()]


def take_release(model: FaceModel, folder: Path | None) -> list[str]:
    """Let a new model start from weights that come with a release of DeepFaceLab.

    Parameters
    ----------
    model : FaceModel
    folder : Path or None
        With ``encoder.npy`` and so on.
    """
    if folder is None:
        return []
    if not model.kind.release_weights:
        able = ", ".join(name for name, kind in KINDS.items() if kind.release_weights)
        return [
            f"--pretrained-weights is for {able}; the new {model.model_class} "
            "starts with random weights"
        ]
    files = {part: folder / f"{part}.npy" for part in (*model.networks, *model.optimizers)}
    tensors = {part: read_part(file) for part, file in files.items() if file.is_file()}
    if not tensors.keys() & model.networks.keys():
        # Scripts of the old program name its folder always, whether it came with one or not.
        starts = f"{model.model_class} starts fresh"
        return [f"warning: no encoder.npy or other part lies in {folder}: {starts}"]
    state = ModelState(
        model_class=model.model_class, iteration=0, options={}, loss_history=[], tensors=tensors
    )
    taken = [f"{part} starts with the content of {files[part]}" for part in tensors]
    return taken + model.load_state(state, reinit=[p for p in model.networks if p not in tensors])

"""What programs use: a model by the name of its folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from dfl_tf.errors import UsageError
from dfl_tf.formats import find_models, read_model
from dfl_tf.formats.model_files import GENERATOR_PARTS
from dfl_tf.formats.workspace import user_path
from dfl_tf.options import OPTIONS, RunOptions

if TYPE_CHECKING:
    from dfl_tf.models.base import FaceModel


def load_model(
    model_dir: str | Path,
    name: str | None = None,
    model_class: str | None = None,
    *,
    training: bool = True,
    run: RunOptions | None = None,
) -> FaceModel:
    """Open a model, in the legacy or the native format. Nothing is written.

    Parameters
    ----------
    model_dir : str or Path
        The folder of model files.
    name, model_class : str, optional
        Which model; without them the one that was saved last.
    training : bool
        False leaves out optimizers and discriminators, which halves the memory or better: for
        `swap` and `preview` only.
    run : RunOptions, optional
        Precision, devices, threads.

    Returns
    -------
    FaceModel
        `swap(face)` puts the src face on dst faces, `preview(*batches)` draws preview pictures,
        `train_step(*batches)` moves the weights once, `state()` gives all of it as NumPy arrays
        for `dfl_tf.formats.write_model`.

    Raises
    ------
    UsageError, ModelFileError, LegacyFormatError
        No such model, or its files are damaged or do not fit their options.

    Examples
    --------
    >>> model = dfl_tf.load_model("workspace/model", name="new", model_class="SAEHD")
    >>> face = np.zeros((1, model.options.resolution, model.options.resolution, 3), np.float32)
    >>> model.swap(face).image.shape
    (1, 128, 128, 3)
    """
    folder = user_path(model_dir)
    if model_class is not None and model_class not in OPTIONS:
        raise UsageError(f"there is no model class {model_class!r}; take {', '.join(OPTIONS)}")
    found = [model for model in find_models(folder, model_class) if name in (None, model.name)]
    if not found:
        wanted = " ".join(part for part in (model_class or "model", name) if part)
        raise UsageError(f"{folder}: no {wanted} is there")
    name, model_class = found[0].name, found[0].model_class
    only = None if training else GENERATOR_PARTS
    state = read_model(folder, name, model_class, only=only)

    from dfl_tf.train.devices import configure_devices

    run = run or RunOptions()
    configure_devices(run)
    from dfl_tf.models.restore import restore  # imports TensorFlow, which reads the settings once

    model, _ = restore(state, name=name, run=run, training=training)
    return model

"""Models as objects: opened from disk, or new."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from dfl_tf.errors import UsageError
from dfl_tf.formats import ModelState, read_model
from dfl_tf.formats.models.average import averaged, generator_parts
from dfl_tf.formats.models.choose_model import choose_model
from dfl_tf.formats.sessions.workspace import user_path
from dfl_tf.options import Layer, RunOptions, kind_of, resolve
from dfl_tf.options.schema import Options

if TYPE_CHECKING:
    from dfl_tf.models.base import FaceModel

log = logging.getLogger(__name__)

T = TypeVar("T", bound=Options)


def load_model(
    model_dir: str | Path,
    name: str | None = None,
    model_class: str | None = None,
    *,
    training: bool = True,
    run: RunOptions | None = None,
    ema: bool = False,
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
    ema : bool
        Take the averaged weights, of a model that is trained with `ema`, in the place of the
        weights.

    Returns
    -------
    FaceModel
        `swap(face)` puts the src face on dst faces, `preview(*batches)` draws preview images,
        `train_step(*batches)` moves the weights once, `state()` gives all of it as NumPy arrays
        for `dfl_tf.formats.write_model`.

    Raises
    ------
    UsageError, ModelFileError, LegacyFormatError
        No such model, or its files are damaged or do not fit their options; `ema` is asked for
        and there are no averaged weights of this iteration.

    Examples
    --------
    >>> model = dfl_tf.load_model("workspace/model", name="new", model_class="SAEHD")
    >>> face = np.zeros((1, model.options.resolution, model.options.resolution, 3), np.float32)
    >>> model.swap(face).image.shape
    (1, 128, 128, 3)
    """
    found = choose_model(user_path(model_dir), name, model_class)
    only = None if training else generator_parts(found.model_class, ema=ema)
    state = read_model(user_path(model_dir), found.name, found.model_class, only=only)
    if ema:
        state = averaged(state)
    return restored(state, found.name, training=training, run=run)


def restored(state: ModelState, name: str, *, training: bool, run: RunOptions | None) -> FaceModel:
    """A state as a model, on the devices that the run names."""
    from dfl_tf.devices.configure import configure_devices

    run = run or RunOptions()
    configure_devices(run)
    from dfl_tf.models.restore import restore  # imports TensorFlow, which reads the settings once

    model, _ = restore(state, name=name, run=run, training=training)
    return model


def new_model(
    model_class: str,
    options: Mapping[str, object] | Options | None = None,
    *,
    run: RunOptions | None = None,
    **more: object,
) -> FaceModel:
    """Make a model with initialized weights. Nothing is written.

    Parameters
    ----------
    model_class : str
        SAEHD, AMP, Quick96, XSeg, or a class of your own (`register_model`).
    options : mapping or Options, optional
        Values by DeepFaceLab's keys, or a whole set such as `dfl_tf.options.SAEHDOptions`.
    run : RunOptions, optional
        Precision, devices, seed.
    **more
        Further values; they win over `options`.

    Returns
    -------
    FaceModel

    Raises
    ------
    UsageError
        There is no such class.
    OptionError
        Values that are unknown, out of range or in conflict; all of them at once.

    Examples
    --------
    >>> model = dfl_tf.new_model("SAEHD", resolution=64, archi="liae-ud", ae_dims=32,
    ...                          inter_dims=32, e_dims=16, d_dims=16, d_mask_dims=16)
    >>> model.options.resolution
    64
    """
    kind = kind_of(model_class)
    cls = kind.options
    if isinstance(options, Options):
        if not isinstance(options, cls):
            raise UsageError(
                f"{type(options).__name__} are not the options of {model_class}. Give "
                f"{cls.__name__}."
            )
        options = asdict(options)
    chosen = checked(cls, {**(options or {}), **more}, "new_model")

    from dfl_tf.devices.configure import configure_devices

    run = run or RunOptions()
    configure_devices(run)
    from dfl_tf import models

    return models.create(kind.name, chosen, run)


def checked(cls: type[T], values: Mapping[str, object], origin: str) -> T:
    """Options of something new; what was rounded is logged."""
    resolved = resolve(cls, [Layer(values, origin)], new=True)
    for text in (*resolved.adjustments, *resolved.warnings):
        log.warning("%s", text)
    return resolved.options

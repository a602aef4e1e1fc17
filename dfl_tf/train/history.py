"""The preview history: images of always the same faces, every few iterations.

References
----------
workspace.md 4.1 and 7.1.
"""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dfl_tf.data import Batch
from dfl_tf.disk.durable import make_folder, write_file
from dfl_tf.train.previews import jpeg_bytes

Sample = tuple[Batch, ...]
STORED_AS = "sample_for_preview"
"""Key of the faces in what a model stores."""


def write_history(folder: Path, images: dict[str, NDArray[np.uint8]], finished: int) -> None:
    """Write each image as ``<folder>/<preview name>/<n as 7 digits>.jpg`` and ``_last.jpg``.

    Parameters
    ----------
    folder : Path
    images : dict of ndarray, shape (h, w, 3), uint8, BGR
        By preview name.
    finished : int
        Iterations finished *before* the one whose result the images show (the legacy counter).
    """
    for name, image in images.items():
        place = folder / name
        make_folder(place)
        content = jpeg_bytes(image)
        write_file(place / f"{finished:07d}.jpg", content)
        write_file(place / "_last.jpg", content)


def channels_last(array: NDArray[np.generic]) -> NDArray[np.float32] | None:
    """A stored batch with the channels last, whatever layout it has; None if it is not a batch.

    The channel axis is the one of size 1 or 3 (the sides of images are at least 32).

    Parameters
    ----------
    array : ndarray, shape (n, h, w, c) or (n, c, h, w), any numeric dtype

    Returns
    -------
    ndarray, shape (n, h, w, c), float32; or None
    """
    values = np.asarray(array)
    if values.ndim != 4 or not np.issubdtype(values.dtype, np.number):
        return None
    if values.shape[3] not in (1, 3) and values.shape[1] in (1, 3):
        values = values.transpose(0, 2, 3, 1)
    if values.shape[3] not in (1, 3):
        return None
    return np.ascontiguousarray(values, np.float32)


def fixed_sample(extra: MutableMapping[str, object], drawn: Sample, *, fresh: bool) -> Sample:
    """The faces of the history: the stored ones, else from now on those that were drawn.

    Parameters
    ----------
    extra : mutable mapping
        What the model stores; holds them from then on.
    drawn : Sample
    fresh : bool
        Do not take the stored ones.
    """
    usable = usable_sample(None if fresh else extra.get(STORED_AS), drawn)
    if usable is None:
        extra[STORED_AS] = stored_form(drawn)
    return drawn if usable is None else usable


def usable_sample(stored: object, like: Sequence[Batch]) -> Sample | None:
    """The stored ``sample_for_preview`` if it fits today's batches.

    Parameters
    ----------
    stored : object
        As read from ``data.dat``: one list per generator, each of batches (NCHW when it was
        trained on a GPU, NHWC on a CPU), or None.
    like : batches
        A batch of each stream as drawn today; sizes and order must agree. What a stored sample
        has beyond that (the eyes-mouth mask, where no loss needs it) is left out.

    Returns
    -------
    tuple of Batch with arrays (n, h, w, c), float32, or None when new ones must be drawn.
    """
    if not isinstance(stored, list | tuple) or len(stored) != len(like):
        return None
    sample = []
    for generator, batch in zip(stored, like, strict=True):
        if not isinstance(generator, list | tuple) or len(generator) < len(batch.names):
            return None
        arrays = {}
        for name, kept in zip(batch.names, generator, strict=False):
            array = channels_last(kept)
            if array is None or array.shape != np.shape(batch[name]):
                return None
            arrays[name] = array
        sample.append(Batch(arrays))
    return tuple(sample)


def stored_form(sample: Sequence[Batch]) -> list[list[NDArray[np.float32]]]:
    """What goes into ``data.dat``: lists of arrays, copied, shape (n, h, w, c), float32."""
    return [[np.array(batch[name], np.float32) for name in batch.names] for batch in sample]

"""Previews that are drawn beside the training, from the copy that a save has taken."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dfl_tf.train import events
from dfl_tf.train.batch_source import Batch
from dfl_tf.train.deferred import Deferred
from dfl_tf.train.log_book import LogBook
from dfl_tf.train.log_facts import facts_of
from dfl_tf.train.loss_plot import loss_plot, write_loss_plot
from dfl_tf.train.marks import Mark
from dfl_tf.train.previews import preview_images, write_previews

if TYPE_CHECKING:
    from dfl_tf.models.base import FaceModel

Marks = Sequence[Mark]


@dataclass(frozen=True)
class Showing:
    """What a preview shows, and how far the model was; all of it stays as it is.

    Attributes
    ----------
    model : FaceModel
    iteration : int
    batches : tuple of Batch
    losses : ndarray, shape (iterations, losses), float64
    quality : sequence of (int, float)
        Iterations, and how good the model was then.
    marks : sequence of Mark
        Lines in the loss plot.
    log : LogBook
        What the log beside the model tells is shown as well.
    title : str
        The model, by the prefix of its files.
    folder : Path
        Where the files go.
    legacy : bool
        Whether images look as in the legacy program.
    """

    model: FaceModel
    iteration: int
    batches: tuple[Batch, ...]
    losses: NDArray[np.float64]
    quality: Sequence[tuple[int, float]]
    marks: Marks
    log: LogBook
    title: str
    folder: Path
    legacy: bool = False

    def images(self) -> dict[str, NDArray[np.uint8]]:
        """Draw the previews by the weights that the calling thread computes with.

        Returns
        -------
        dict of str to ndarray, shape (h, w, 3), uint8, BGR
        """
        batches = self.batches
        if self.model.previews_one_face:  # another one each time
            shift = -(self.iteration % min(4, batches[0].size))
            batches = tuple(batch.rolled(shift) for batch in batches)
        previews = self.model.preview(*batches)
        return preview_images(previews, self.losses, self.iteration, legacy=self.legacy)

    def write(self, images: dict[str, NDArray[np.uint8]]) -> list[str]:
        """Write previews and the loss plot; returns the files of the previews.

        Parameters
        ----------
        images : dict of str to ndarray, shape (h, w, 3), uint8, BGR
        """
        paths = write_previews(self.folder, images)
        plot = loss_plot(
            self.losses,
            self.model.loss_names,
            title=f"{self.title}, iteration {self.iteration}",
            start=max(0, self.iteration - len(self.losses)),
            quality=self.quality,
            marks=self.marks,
            facts=facts_of(self.log, self.iteration),
        )
        write_loss_plot(self.folder / "loss.png", plot)
        return [str(path) for path in paths]


def draw_copied(
    showing: Showing,
    tensors: Mapping[str, Mapping[str, NDArray[np.generic] | np.generic]],
    deferred: Deferred,
    shown: Callable[[dict[str, NDArray[np.uint8]]], None],
) -> None:
    """Draw previews from copied weights; whatever fails is a warning.

    Parameters
    ----------
    showing : Showing
    tensors : mapping of str to mapping of str to ndarray, any dtype, shape of each weight
        `ModelState.tensors` of the copy.
    deferred : Deferred
        Gets the event of the preview, or the warning.
    shown : callable
        Gets the images, shape (h, w, 3), uint8, BGR, by name.
    """
    try:
        with showing.model.weights_from(tensors):
            images = showing.images()
        shown(images)
        files = showing.write(images)
    except Exception as error:  # the training goes on
        deferred.add(f"warning: the preview was not written: {error}")
        return
    deferred.add(events.Preview(showing.iteration, files, images))

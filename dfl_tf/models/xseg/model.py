"""XSeg as a FaceModel: its previews and its two ways of training."""

from __future__ import annotations

import functools
import operator
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from dfl_tf.data import Batch, OutputSpec, SampleSpec, XSegSpec
from dfl_tf.face import FaceType
from dfl_tf.models.base import FaceModel, Losses, PreviewImage, Update
from dfl_tf.models.targets import window_sizes
from dfl_tf.models.xseg import preview
from dfl_tf.models.xseg.networks import XSegNetwork
from dfl_tf.nn.losses import mean_dssim, mean_hwc

if TYPE_CHECKING:
    from dfl_tf.formats.models.state import ModelState
    from dfl_tf.options import XSegOptions

_PART = "XSeg_256"
_SMALLEST = 0.1


class XSeg(FaceModel):
    """The model that masks faces; see `FaceModel` for the parameters.

    A batch has `image` and `target`: masks, or while pretraining gray versions of the images.

    References
    ----------
    models.md 4, training.md 7
    """

    model_class: ClassVar[str] = "XSeg"
    options: XSegOptions
    effective: XSegOptions
    loss_names: ClassVar[tuple[str, ...]] = ("loss",)

    def build_networks(self) -> None:
        """Fill `networks`, in file order."""
        self.networks = {_PART: self.make_network(XSegNetwork, scope="XSeg")}

    def build_updates(self) -> None:
        """Fill `optimizers` and `updates`."""
        self.add_optimizer(
            f"{_PART}_opt",
            [_PART],
            adabelief=False,
            lr_dropout="y",
            lr_cos=0,
            name="opt",
        )
        self.updates.append(Update(f"{_PART}_opt", self.weights_of([_PART]), self._objective))

    def _objective(self, faces: Batch) -> tuple[tf.Tensor, Losses]:
        target = faces["target"]
        logits = self._logits(faces["image"])
        if self.options.pretrain:
            got = tf.sigmoid(logits)
            terms = {
                "dssim": mean_dssim(target, got, 5.0, window_sizes(self.options.resolution)),
                "pixels": mean_hwc(10.0 * tf.square(target - got)),
            }
        else:
            entropy = tf.nn.sigmoid_cross_entropy_with_logits(labels=target, logits=logits)
            terms = {"entropy": mean_hwc(entropy)}
        loss = functools.reduce(operator.add, terms.values())
        return loss, {"loss": loss, **terms}

    def _logits(self, image: tf.Tensor) -> tf.Tensor:
        return self.networks[_PART](image, without_skips=bool(self.options.pretrain))

    def predict(self, image: tf.Tensor) -> tf.Tensor:
        """Return what the network makes of images (n, 256, 256, 3): (n, 256, 256, 1) in (0, 1)."""
        return self.run_graph("predict", lambda x: tf.sigmoid(self._logits(x)), image)

    def mask(self, image: npt.ArrayLike) -> npt.NDArray[np.float32]:
        """Mask faces as for merging: `predict`, and what is below 0.1 is 0 (models.md 4).

        Parameters
        ----------
        image : ndarray or tensor, shape (n, 256, 256, 3), BGR, nominally in [0, 1]
            Any numeric dtype; values are not scaled.

        Returns
        -------
        ndarray, shape (n, 256, 256, 1), float32 in [0, 1]
        """
        probability = self.predict(tf.cast(tf.convert_to_tensor(image), self.dtype))
        mask = np.clip(np.asarray(probability, np.float32), 0, 1)
        mask[mask < _SMALLEST] = 0
        return mask

    def sample_specs(self) -> Mapping[str, SampleSpec | XSegSpec]:
        """Return the spec of the one batch: masked faces, or while pretraining gray targets."""
        face_type = FaceType.from_name(self.options.face_type)
        if not self.options.pretrain:
            return {"faces": XSegSpec(resolution=self.options.resolution, face_type=face_type)}
        outputs = {
            "image": OutputSpec(warp=True),
            "target": OutputSpec(warp=True, channels="g"),
        }
        spec = SampleSpec(
            resolution=self.options.resolution,
            face_type=face_type,
            outputs=outputs,
            random_flip=True,
            scale_range=(-0.05, 0.05),
        )
        return {"faces": spec}

    def preview_specs(self) -> Mapping[str, SampleSpec]:
        """Return the specs of the faces of src and dst that the preview shows (data.md 4.4)."""
        if self.options.pretrain:
            return {}
        spec = SampleSpec(
            resolution=self.options.resolution,
            face_type=FaceType.from_name(self.options.face_type),
            outputs={"image": OutputSpec(transform=False, border_replicate=False)},
        )
        return {"src": spec, "dst": spec}

    def preview(self, *batches: Batch) -> list[PreviewImage]:
        """Draw `XSeg training faces` and, if given, `XSeg src faces` and `XSeg dst faces`.

        Parameters
        ----------
        *batches : Batch
            The training batch, then optionally one of each of `preview_specs`.
        """
        return preview.draw(self, *batches)

    def outputs(self, face: npt.NDArray[np.float32]) -> dict[str, npt.NDArray[np.float32]]:
        """Return the logits of faces, with the skips, which only pretraining leaves out.

        See `FaceModel.outputs`.
        """
        return {"logits": np.asarray(self.networks[_PART](face))}

    def parts_to_reset(self, state: ModelState) -> dict[str, str]:
        """Nothing: weights and slots are kept when pretraining ends (training.md 7)."""
        return {}

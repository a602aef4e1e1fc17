"""The preview images of AMP."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from dfl_tf.imaging import tiled
from dfl_tf.models.base import PreviewImage

if TYPE_CHECKING:
    from dfl_tf.data.batch import Batch
    from dfl_tf.models.amp.model import AMP

Array = npt.NDArray[np.float32]
MORPHS = (0.25, 0.5, 0.65, 0.75, 1.0)


def draw(model: AMP, src: Batch, dst: Batch) -> list[PreviewImage]:
    """Show the first sample: its reconstructions, and dst at five morph values.

    References
    ----------
    workspace.md 7.3
    """
    s, d = (np.clip(batch["target"][:1], 0, 1) for batch in (src, dst))
    outputs = model.view(*model.tensors(s, d), *MORPHS)
    images, masks = (
        [np.clip(np.asarray(output[i][0], np.float32), 0, 1) for output in outputs] for i in (0, 1)
    )
    (ss, dd, *morphed), (_, dst_mask, *swap_masks) = images, masks
    masked = [image * dst_mask * mask for image, mask in zip(morphed, swap_masks, strict=True)]
    return [
        PreviewImage("AMP morph 1.0", tiled([[s[0], d[0], dd * dst_mask], [ss, dd, morphed[-1]]])),
        PreviewImage("AMP morph list", tiled([[dd, *morphed[:2]], morphed[2:]])),
        PreviewImage("AMP morph list masked", tiled([[dd, *masked[:2]], masked[2:]])),
    ]

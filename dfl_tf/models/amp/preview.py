"""The preview images of AMP."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from dfl_tf.imaging import tiled
from dfl_tf.models.base import PreviewImage
from dfl_tf.models.preview_cells import Names, further, inputs_shown

if TYPE_CHECKING:
    from dfl_tf.data.batch import Batch
    from dfl_tf.models.amp.model import AMP

Array = npt.NDArray[np.float32]
MORPHS = (0.25, 0.5, 0.65, 0.75, 1.0)


def draw(model: AMP, src: Batch, dst: Batch) -> list[PreviewImage]:
    """Show the first sample: its reconstructions, and dst at five morph values.

    Further images show the warped faces that the networks got, and the masks.

    References
    ----------
    workspace.md 7.3
    """
    s, d = (np.clip(batch["target"][:1], 0, 1) for batch in (src, dst))
    outputs = model.view(*model.tensors(s, d), *MORPHS)
    images, masks = (
        [np.clip(np.asarray(output[i][0], np.float32), 0, 1) for output in outputs] for i in (0, 1)
    )
    (ss, dd, *morphed), (src_mask, dst_mask, *swap_masks) = images, masks
    masked = [image * dst_mask * mask for image, mask in zip(morphed, swap_masks, strict=True)]
    names = Names(src, dst, 1)
    shown = [[s[0], d[0], dd * dst_mask], [ss, dd, morphed[-1]]]
    of_shown = (
        (*names.src, *names.dst, "reconstruction, masked"),
        ("reconstruction", "reconstruction", "morph 1.0"),
    )  # fmt: skip
    steps = [f"morph {value:g}" for value in MORPHS]
    of_list = (("reconstruction", *steps[:2]), tuple(steps[2:]))
    of_masks = {
        "mask of src": src["mask"][:1], "learned for src": src_mask[None],
        "mask of dst": dst["mask"][:1], "learned for dst": dst_mask[None],
        "of morph 1.0": swap_masks[-1][None],
    }  # fmt: skip
    return [
        PreviewImage("AMP morph 1.0", tiled(shown), of_shown),
        PreviewImage("AMP morph list", tiled([[dd, *morphed[:2]], morphed[2:]]), of_list),
        PreviewImage("AMP morph list masked", tiled([[dd, *masked[:2]], masked[2:]]), of_list),
        *inputs_shown("AMP", names, src, dst),
        further("AMP masks", names, of_masks),
    ]

"""The preview images of SAEHD and Quick96."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from dfl_tf.imaging import side_by_side
from dfl_tf.models.base import PreviewImage
from dfl_tf.models.preview_cells import Names, further, inputs_shown

if TYPE_CHECKING:
    from dfl_tf.data.batch import Batch
    from dfl_tf.models.quick96.model import Quick96
    from dfl_tf.models.saehd.model import SAEHD

Array = npt.NDArray[np.float32]


def draw(
    model: SAEHD | Quick96, src: Batch, dst: Batch, *, masked_by_both: bool
) -> list[PreviewImage]:
    """Put src, its reconstruction, dst, its reconstruction and the swap side by side.

    Further images show the warped faces that the networks got, and the masks.

    Parameters
    ----------
    model : SAEHD or Quick96
    src, dst : Batch
        Batches as for training; targets and masks of the first samples are used.
    masked_by_both : bool
        Whether the swap of the masked image is cut by both predicted masks or its own only.

    References
    ----------
    workspace.md 7.3
    """
    resolution = model.options.resolution
    count = min(4, int(model.options.batch_size), 800 // resolution, src.size, dst.size)
    s, src_mask, d, dst_mask = (
        np.clip(batch[name][:count], 0, 1) for batch in (src, dst) for name in ("target", "mask")
    )
    outputs = model.view(*model.tensors(s, d))
    (ss, ssm), (dd, ddm), (sd, sdm) = [
        [np.clip(np.asarray(x, np.float32), 0, 1) for x in output] for output in outputs
    ]
    swap_mask = ddm * sdm if masked_by_both else sdm
    plain = {"src-src": [s, ss], "dst-dst": [d, dd], "pred": [d, sd]}
    masked = {
        "src-src": [s * src_mask, ss],
        "dst-dst": [d * dst_mask, dd * ddm],
        "pred": [d * dst_mask, sd * swap_mask],
    }
    name = model.model_class
    if resolution > 256:
        titled = {f"{name} {k}": v for k, v in plain.items()}
        titled |= {f"{name} masked {k}": v for k, v in masked.items()}
    else:
        titled = {
            name: [*plain["src-src"], *plain["dst-dst"], sd],
            f"{name} masked": [*masked["src-src"], *masked["dst-dst"], masked["pred"][1]],
        }
    names = Names(src, dst, count)
    captions = {
        "src-src": [names.src, "reconstruction"],
        "dst-dst": [names.dst, "reconstruction"],
        "pred": [names.dst, "swap"],
    }
    whole = [*captions["src-src"], *captions["dst-dst"], "swap"]
    drawn = [
        PreviewImage(
            title, side_by_side(columns), names.rows(captions.get(title.split()[-1], whole))
        )
        for title, columns in titled.items()
    ]
    masks = {
        "mask of src": src_mask, "learned for src": ssm, "mask of dst": dst_mask,
        "learned for dst": ddm, "of the swap": sdm,
    }  # fmt: skip
    return [*drawn, *inputs_shown(name, names, src, dst), further(f"{name} masks", names, masks)]

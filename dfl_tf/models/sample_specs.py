"""Which arrays SAEHD, AMP and Quick96 want from each face."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dfl_tf.data.spec import OutputSpec, SampleSpec
from dfl_tf.face import FaceType

if TYPE_CHECKING:
    from dfl_tf.options.training import FaceSwapOptions


def face_swap_specs(
    options: FaceSwapOptions, *, hsv_power: float = 0.0, eyes_mouth: bool = True
) -> dict[str, SampleSpec]:
    """Return the specs of src and dst batches.

    Parameters
    ----------
    options : SAEHDOptions or AMPOptions
        The effective ones.
    hsv_power : float
        Of the HSV shift of src network inputs; targets are never shifted.
    eyes_mouth : bool
        Whether the mask of eyes and mouth is wanted as well.

    Returns
    -------
    dict of str to SampleSpec
        Of "src" and "dst": `image` (network input), `target`, `mask` of the face, and `eyes_mouth`
        if wanted.

    References
    ----------
    data.md 4.4
    """

    def spec(*, flip: bool, hsv: float, ct_mode: str) -> SampleSpec:
        transfer = ct_mode != "none"
        outputs = {
            "image": OutputSpec(warp=options.random_warp, color_transfer=transfer, hsv_shift=hsv),
            "target": OutputSpec(color_transfer=transfer),
            "mask": OutputSpec(kind="mask", channels="g", mask="full"),
        }
        if eyes_mouth:
            outputs["eyes_mouth"] = OutputSpec(kind="mask", channels="g", mask="eyes_mouth")
        return SampleSpec(
            resolution=options.resolution,
            face_type=FaceType.from_name(options.face_type),
            outputs=outputs,
            random_flip=flip,
            ct_mode=ct_mode,
        )

    return {
        "src": spec(flip=options.random_src_flip, hsv=hsv_power, ct_mode=options.ct_mode),
        "dst": spec(flip=options.random_dst_flip, hsv=0.0, ct_mode="none"),
    }

"""What arrays a model wants from a face."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from dfl_tf.face import FaceType

OutputKind = Literal["image", "mask", "landmarks", "pitch_yaw", "pitch_yaw_sigmoid"]
Channels = Literal["bgr", "g", "ggg"]
Shifts = tuple[int, int]
MaskKind = Literal["none", "full", "eyes", "eyes_mouth"]


@dataclass(frozen=True, kw_only=True)
class OutputSpec:
    """One array made from a face.

    Parameters
    ----------
    kind : str
        "image" or "mask"; "landmarks" (68, 2) in [0, 1] and "pitch_yaw" (2,) exist for
        compatibility, no shipped model asks for them.
    warp, transform : bool
        Whether the elastic warp, and the random rotation, scale, shift and flip are applied.
    channels : str
        Of an image: "bgr", "g" (gray, one channel) or "ggg" (gray three times).
    mask : str
        Of a mask: "full" (XSeg mask, else hull), "eyes", "eyes_mouth" or "none" (zeros).
    color_transfer : bool
        Whether the spec's `ct_mode` applies to this image.
    hsv_shift : float
        Power of the random HSV shift, 0 … 0.3; 0 draws nothing.
    border_replicate : bool
        Whether an image continues beyond its border; masks never do.
    seed_shift : int
        Added to the sample's seed for the affine draws (and the HSV draws).
    warp_seed_shift : int or None
        The same for the elastic warp; None takes `seed_shift`.
    nearest_resize_to : int
        Side after a final nearest-neighbor resize; 0 does none.
    normalize_tanh : bool
        Whether values go to [-1, 1] at the end.

    References
    ----------
    data.md 4.
    """

    kind: OutputKind = "image"
    warp: bool = False
    transform: bool = True
    channels: Channels = "bgr"
    mask: MaskKind = "full"
    color_transfer: bool = False
    hsv_shift: float = 0.0
    border_replicate: bool = True
    seed_shift: int = 0
    warp_seed_shift: int | None = None
    nearest_resize_to: int = 0
    normalize_tanh: bool = False

    @property
    def shifts(self) -> Shifts:
        """Added to the seed of a sample: for the affine draws, for the elastic warp's."""
        warp_shift = self.warp_seed_shift
        return self.seed_shift, self.seed_shift if warp_shift is None else warp_shift

    @property
    def moves(self) -> bool:
        """Whether it is an image or a mask that an elastic warp or a transform moves."""
        drawn = self.kind == "image" or (self.kind == "mask" and self.mask != "none")
        return drawn and (self.warp or self.transform)

    @property
    def unfinished(self) -> bool:
        """Whether an image or mask is not what it shall be when the warp leaves it."""
        recolored = self.kind == "image" and self.channels != "bgr"
        return recolored or bool(self.nearest_resize_to) or self.normalize_tanh

    def shape(self, resolution: int) -> tuple[int, ...]:
        """Return the shape of the array, made at a resolution."""
        if self.kind == "landmarks":
            return (68, 2)
        if self.kind in ("pitch_yaw", "pitch_yaw_sigmoid"):
            return (2,)
        side = self.nearest_resize_to or resolution
        colored = self.kind == "image" and self.channels != "g"
        return (side, side, 3 if colored else 1)


class WarpGroup(NamedTuple):
    """Images and masks that share all draws.

    Attributes
    ----------
    shifts : tuple of int
        See `OutputSpec.shifts`.
    names : tuple of str
    ways : ndarray, shape (n, 5), int64, 0 or 1
        See `dfl_tf_ops.sample_warp.warp_all`.
    """

    shifts: Shifts
    names: tuple[str, ...]
    ways: npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class SampleSpec:
    """All arrays made from a face for one training or preview step.

    Parameters
    ----------
    resolution : int
        Side of the square outputs, in pixels.
    face_type : FaceType
        Crop that the model is trained on; faces of another type are re-cropped.
    outputs : mapping of str to OutputSpec
        The arrays of a `Batch` by their names, in their order.
    random_flip : bool
        Whether 40 % of the samples are mirrored.
    rotation_range : tuple of float
        Degrees.
    scale_range, tx_range, ty_range : tuple of float
        Parts of 1 and parts of the resolution. The models that train on `scale_range`
        (-0.15, 0.15) are SAEHD and AMP; Quick96 and XSeg use (-0.05, 0.05).
    ct_mode : str
        Color transfer towards a face of the other side: none, rct, lct, mkl, idt, sot.

    References
    ----------
    data.md 4.
    """

    resolution: int
    face_type: FaceType
    outputs: Mapping[str, OutputSpec]
    random_flip: bool = False
    rotation_range: tuple[float, float] = (-10.0, 10.0)
    scale_range: tuple[float, float] = (-0.15, 0.15)
    tx_range: tuple[float, float] = (-0.05, 0.05)
    ty_range: tuple[float, float] = (-0.05, 0.05)
    ct_mode: str = "none"

    def __post_init__(self) -> None:
        if self.resolution < 16:
            raise ValueError(f"resolution must be at least 16; received {self.resolution}")
        if not self.outputs:
            raise ValueError("a sample spec needs at least one output")

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of each array of one sample, by its name."""
        return {name: output.shape(self.resolution) for name, output in self.outputs.items()}

    @cached_property
    def moving(self) -> tuple[str, ...]:
        """The names of the images and masks that an elastic warp or a transform moves."""
        return tuple(name for name, output in self.outputs.items() if output.moves)

    @cached_property
    def warp_groups(self) -> tuple[WarpGroup, ...]:
        """What moves, by what it draws."""
        groups: dict[Shifts, list[str]] = {}
        for name in self.moving:
            groups.setdefault(self.outputs[name].shifts, []).append(name)
        return tuple(
            WarpGroup(
                shifts, tuple(names), np.array([self._ways(name) for name in names], np.int64)
            )
            for shifts, names in groups.items()
        )

    def _ways(self, name: str) -> tuple[bool, ...]:
        output = self.outputs[name]
        image = output.kind == "image"
        normalized = not image and output.mask == "eyes_mouth"
        return image, output.warp, output.transform, output.border_replicate, normalized

    @cached_property
    def unfinished(self) -> frozenset[str]:
        """The names of the images and masks that change once more after the warp."""
        return frozenset(name for name, output in self.outputs.items() if output.unfinished)

    @cached_property
    def drawn_masks(self) -> frozenset[MaskKind]:
        """The masks that are made of a face."""
        return frozenset(o.mask for o in self.outputs.values() if o.kind == "mask")

    @cached_property
    def borders(self) -> frozenset[bool]:
        """Whether images continue beyond their border: what occurs."""
        return frozenset(o.border_replicate for o in self.outputs.values() if o.kind == "image")

    @cached_property
    def draw_ranges(self) -> npt.NDArray[np.float64]:
        """Low and high of rotation, scale, shift x and shift y, as they are drawn.

        An ndarray, shape (8,), float64.
        """
        low, high = self.scale_range
        scale = 1 / (1 - low), 1 + high
        return np.array([*self.rotation_range, *scale, *self.tx_range, *self.ty_range], np.float64)


@dataclass(frozen=True, kw_only=True)
class XSegSpec:
    """What XSeg trains on: `image` (r, r, 3) and `target`, its mask (r, r, 1) (data.md 6.3)."""

    resolution: int
    face_type: FaceType

    @property
    def outputs(self) -> dict[str, OutputSpec]:
        """What the arrays are, by their names."""
        return {"image": OutputSpec(), "target": OutputSpec(kind="mask", channels="g")}

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of each array of one sample, by its name."""
        return {name: output.shape(self.resolution) for name, output in self.outputs.items()}

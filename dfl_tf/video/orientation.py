"""How decoded frames are to be turned for showing: phones store portrait videos on their side."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast, overload

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from av import VideoFrame

_ONE = 1 << 16

Stored = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]


@dataclass(frozen=True)
class Orientation:
    """Transpose first, then mirror: all eight ways of laying an image on its sides.

    Attributes
    ----------
    transposed : bool
        Rows become columns.
    left_right, up_down : bool
        Mirrored afterwards.
    exact : bool
        False if the video asks for another angle, which is not applied.
    """

    transposed: bool = False
    left_right: bool = False
    up_down: bool = False
    exact: bool = True

    @property
    def upright(self) -> bool:
        """Whether nothing is to be done."""
        return not (self.transposed or self.left_right or self.up_down)

    @property
    def degrees(self) -> int:
        """Counterclockwise turn that is applied, after a mirroring if `mirrored`."""
        if self.transposed:
            return 90 if self.up_down else 270
        return 180 if self.up_down else 0

    @property
    def mirrored(self) -> bool:
        """Whether left and right change places, apart from turning."""
        return self.transposed ^ self.left_right ^ self.up_down

    def shape(self, height: int, width: int) -> tuple[int, int]:
        """Return (height, width) as shown."""
        return (width, height) if self.transposed else (height, width)

    @overload
    def apply(self, plane: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]: ...
    @overload
    def apply(self, plane: npt.NDArray[np.uint16]) -> npt.NDArray[np.uint16]: ...
    def apply(self, plane: Stored) -> Stored:
        """Turn an array of shape (h, w) or (h, w, c), any dtype; the result is contiguous."""
        axes = (1, 0, *range(2, plane.ndim)) if self.transposed else tuple(range(plane.ndim))
        steps = (-1 if self.up_down else 1, -1 if self.left_right else 1)
        turned = plane.transpose(axes)[:: steps[0], :: steps[1]]
        return cast("Stored", np.ascontiguousarray(turned))


def orientation_of(frame: VideoFrame) -> Orientation:
    """Read the display matrix of a decoded frame.

    References
    ----------
    ISO/IEC 14496-12, the matrix of a track header: x' = a x + c y, y' = b x + d y.
    """
    for side in frame.side_data:
        if side.type.name == "DISPLAYMATRIX":
            a, b, _, c, d = struct.unpack_from("=5i", bytes(side))
            return _from_matrix(a, b, c, d)
    return Orientation()


def _from_matrix(a: int, b: int, c: int, d: int) -> Orientation:
    if (a, d) == (0, 0) and b and c:
        return Orientation(True, c < 0, b < 0)
    if (b, c) == (0, 0) and a and d:
        return Orientation(False, a < 0, d < 0)
    return Orientation(exact=False)

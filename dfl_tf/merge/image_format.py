"""The kind of image files that merging writes: PNG, JPEG or TIFF, how far compressed, how deep."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import cv2

from dfl_tf.errors import UsageError

LEVELS = {"png": (0, 9), "jpg": (1, 100)}
"""Of PNG the compression, from none to the smallest files; of JPEG the quality."""
BITS = {"png": (8, 16), "tif": (8, 16), "jpg": (8,)}
"""Bits of a color that a kind of file can hold."""

JPEG_QUALITY = 95

# Small and quick for camera images: half the time of OpenCV's default at the same size.
_PNG = (
    cv2.IMWRITE_PNG_COMPRESSION,
    1,
    cv2.IMWRITE_PNG_STRATEGY,
    cv2.IMWRITE_PNG_STRATEGY_HUFFMAN_ONLY,
    cv2.IMWRITE_PNG_FILTER,
    cv2.IMWRITE_PNG_FILTER_SUB,
)
# Its own encoder of a whole image spends most of its time on compression: none is 11 to 17 times
# as quick, and as large as the pixels.
_TIFF = (cv2.IMWRITE_TIFF_COMPRESSION, 1)


@dataclass(frozen=True)
class ImageFormat:
    """How merged frames and masks are written.

    Attributes
    ----------
    kind : str
        "png"; "tif", which is not compressed; or "jpg", whose masks are PNG, so that they stay
        exact.
    level : int or None
        See `LEVELS`; None: the quickest small PNG, or JPEG of quality 95.
    bits : int
        Of a color, 8 or 16; 0: as each frame has them.
    """

    kind: str = "png"
    level: int | None = None
    bits: int = 0

    def __post_init__(self) -> None:
        if self.kind not in BITS:
            raise UsageError(f"format {self.kind!r}: give one of {', '.join(BITS)}")
        if self.bits and self.bits not in BITS[self.kind]:
            allowed = " or ".join(map(str, BITS[self.kind]))
            raise UsageError(f"bits={self.bits}: {self.kind} holds {allowed} bits of a color")
        if self.level is not None:
            self._check_level(self.level)

    def _check_level(self, level: int) -> None:
        if self.kind not in LEVELS:
            raise UsageError(
                f"level={level}: {self.kind} is not compressed; leave --level out, or choose "
                "--format png or jpg"
            )
        low, high = LEVELS[self.kind]
        if not low <= level <= high:
            raise UsageError(f"level={level} is outside {low} … {high}, the levels of {self.kind}")

    @property
    def suffix(self) -> str:
        """Of merged frames."""
        return f".{self.kind}"

    @property
    def mask_suffix(self) -> str:
        """Of their masks."""
        return ".png" if self.kind == "jpg" else self.suffix

    @property
    def depth(self) -> int:
        """Bits that frames are merged for; 0: as each has them."""
        return 8 if self.kind == "jpg" else self.bits

    @property
    def holds_alpha(self) -> bool:
        """Whether an image can have an alpha channel."""
        return self.kind != "jpg"

    @cached_property
    def image_flags(self) -> list[int]:
        """Flags of `cv2.imwrite` for a merged frame."""
        if self.kind == "jpg":
            return [cv2.IMWRITE_JPEG_QUALITY, self.level or JPEG_QUALITY]
        if self.kind == "tif":
            return list(_TIFF)
        return list(_PNG) if self.level is None else [cv2.IMWRITE_PNG_COMPRESSION, self.level]

    @cached_property
    def mask_flags(self) -> list[int]:
        """Flags of `cv2.imwrite` for a mask; OpenCV's defaults make a small PNG of it."""
        if self.kind == "tif":
            return list(_TIFF)
        png = self.kind == "png" and self.level is not None
        return [cv2.IMWRITE_PNG_COMPRESSION, int(self.level or 0)] if png else []

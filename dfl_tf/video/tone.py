"""HDR to SDR: one documented curve, and the refusal that names it.

The light of the frame, up to 1000 cd/m², is brought to the 203 cd/m² of SDR white by the curve of
ITU-R BT.2390 on the largest of red, green and blue, so that hues stay; colors of BT.2020 that
BT.709 does not have are clipped.
"""

from __future__ import annotations

import shlex
from functools import cache
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt

from dfl_tf.errors import WorkspaceError
from dfl_tf.video.color import Stored, to_bgr
from dfl_tf.video.info import HLG, VideoInfo

if TYPE_CHECKING:
    from av import VideoFrame

Floats = npt.NDArray[np.float32]

PEAK, WHITE = 1000.0, 203.0
"""Candela per square meter: brightest light that is kept apart, and SDR white."""

# SMPTE ST 2084.
_M1, _M2 = 2610 / 16384, 2523 / 4096 * 128
_C1, _C2, _C3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32
# ITU-R BT.2100, hybrid log-gamma.
_A, _B, _C = 0.17883277, 0.28466892, 0.55991073
_LEVELS = 1 << 16
# BGR of BT.2020 to BGR of BT.709 (ITU-R BT.2087).
_TO_709 = np.array(
    [
        [1.1187, -0.1006, -0.0182],
        [-0.0083, 1.1329, -0.1246],
        [-0.0728, -0.5876, 1.6605],
    ],
    np.float32,
)
_LUMA = np.array([0.0593, 0.6780, 0.2627], np.float32)


def refuse_hdr(info: VideoInfo) -> None:
    """Refuse light that frames without HDR cannot hold, with the command that converts it.

    Raises
    ------
    WorkspaceError
        For PQ and HLG.
    """
    if info.hdr:
        target = info.path.with_name(f"{info.path.stem}_sdr.mp4")
        command = shlex.join(
            ["dfl-tf", "video", "cut", str(info.path), "--tone-map", "-o", str(target)]
        )
        raise WorkspaceError(
            f"{info.path}: HDR video ({info.hdr}, {info.pixel_format}); frames hold SDR only. "
            f"Convert it first: {command}"
        )


def to_sdr(frame: VideoFrame, bits: int = 8) -> Stored:
    """Return a decoded HDR frame as SDR BGR (BT.709), upright.

    Parameters
    ----------
    frame : av.VideoFrame
    bits : {8, 16}

    Returns
    -------
    ndarray, shape (height, width, 3), uint8 or uint16
        Gray levels 0 to 255 or 0 to 65535.
    """
    coded = to_bgr(frame, 16)
    light = _light(int(frame.color_trc) == HLG)[coded]
    if int(frame.color_trc) == HLG:
        # The system gamma of a display of 1000 cd/m².
        brightness = light @ _LUMA / PEAK
        light *= np.power(np.maximum(brightness, 1e-6), 0.2)[:, :, None]
    largest = light.max(axis=2)
    light *= (_rolled_off(largest) / np.maximum(largest, 1e-6))[:, :, None]
    linear = np.clip(cv2.transform(light / np.float32(WHITE), _TO_709), 0, 1)
    shown = np.power(linear, np.float32(1 / 2.4))
    kind = cv2.CV_8U if bits == 8 else cv2.CV_16U
    result: Stored = cv2.add(shown * np.float32((1 << bits) - 1), 0.0, dtype=kind)
    return result


@cache
def _light(hlg: bool) -> Floats:
    """Light in cd/m² (of the scene, times 1000, for HLG) of each 16-bit value."""
    value = np.arange(_LEVELS) / (_LEVELS - 1)
    if hlg:
        return (
            PEAK * np.where(value <= 0.5, value**2 / 3, (np.exp((value - _C) / _A) + _B) / 12)
        ).astype(np.float32)
    root = value ** (1 / _M2)
    light = (np.maximum(root - _C1, 0) / (_C2 - _C3 * root)) ** (1 / _M1)
    return (10000 * light).astype(np.float32)


def _coded(light: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    power = (light / 10000) ** _M1
    return ((_C1 + _C2 * power) / (1 + _C3 * power)) ** _M2


@cache
def _curve() -> tuple[Floats, Floats]:
    """Knots of the curve of BT.2390, section 5.4: light before and after."""
    before = np.linspace(0, np.sqrt(10000), 4096) ** 2
    top = _coded(np.array(PEAK))
    ratio = float(_coded(np.array(WHITE)) / top)
    knee = 1.5 * ratio - 0.5
    level = np.minimum(_coded(before) / top, 1)
    t = np.clip((level - knee) / (1 - knee), 0, 1)
    spline = (
        (2 * t**3 - 3 * t**2 + 1) * knee
        + (t**3 - 2 * t**2 + t) * (1 - knee)
        + (3 * t**2 - 2 * t**3) * ratio
    )
    root = (np.where(level < knee, level, spline) * top) ** (1 / _M2)
    after = 10000 * (np.maximum(root - _C1, 0) / (_C2 - _C3 * root)) ** (1 / _M1)
    return before.astype(np.float32), after.astype(np.float32)


def _rolled_off(light: Floats) -> Floats:
    return np.interp(light, *_curve()).astype(np.float32)

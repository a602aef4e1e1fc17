"""Small videos of every kind, made with PyAV: numbered frames and a tone."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from dfl_tf.video.color import from_bgr, to_bgr

SIZE = (96, 128)
RATE = 25
FRAMES = 40
FINE = Fraction(1, 90000)


def image(i: int, size=SIZE) -> np.ndarray:
    """A frame whose level tells its number; its left half is blue, and the top is bright."""
    height, width = size
    made = np.full((height, width, 3), 20 + 5 * i, np.uint8)
    made[:, : width // 2, 0] = 255 - 5 * i
    made[: height // 4] = 250
    return made


def tone(seconds: float, rate: int = 44100) -> np.ndarray:
    wave = np.sin(np.arange(int(rate * seconds)) * 2 * np.pi * 440 / rate) * 20000
    return wave.astype(np.int16)[None]


def make(path: Path, **how) -> Path:
    """Write a clip.

    Keywords: frames, codec, pixel_format, size, times (seconds), start (of both), clock (None: one
    frame), options, setup (called with the stream), sound (codec or None), sound_start, kind (name
    of the format).
    """
    rate, count = RATE, how.get("frames", FRAMES)
    size, start = how.get("size", SIZE), Fraction(how.get("start", 0))
    clock = how.get("clock", FINE) or Fraction(1, rate)
    times = how.get("times") or [start + Fraction(i, rate) for i in range(count)]
    sound = how.get("sound", "aac")
    with av.open(str(path), "w", format=how.get("kind")) as container:
        video = container.add_stream(how.get("codec", "libx264"), rate=rate)
        video.height, video.width = size
        video.pix_fmt = how.get("pixel_format", "yuv420p")
        video.codec_context.time_base = clock
        video.codec_context.gop_size = 12
        video.codec_context.options = how.get("options", {})
        how.get("setup", lambda stream: None)(video)
        audio = container.add_stream(sound, rate=44100) if sound else None
        for i, time in enumerate(times):
            if video.pix_fmt == "yuv420p" and not any(side % 2 for side in size):
                frame = from_bgr(av, image(i, size), "yuv420p")  # FFmpeg's own would be darker
            else:
                frame = av.VideoFrame.from_ndarray(image(i, size), format="bgr24")
                frame = frame.reformat(format=video.pix_fmt)
            frame.pts, frame.time_base = round(time / clock), clock
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        if audio is not None:
            begin = Fraction(how.get("sound_start", start))
            _write_tone(container, audio, begin, count / rate)
    return path


def _write_tone(container, audio, begin: Fraction, seconds: float) -> None:
    block = av.AudioFrame.from_ndarray(tone(seconds), format="s16", layout="mono")
    block.sample_rate, block.pts = 44100, round(begin * 44100)
    form = "s16" if audio.codec_context.name.startswith(("pcm", "mp2")) else "fltp"
    resampler = av.AudioResampler(format=form, layout="mono", rate=44100, frame_size=1024)
    for part in [*resampler.resample(block), *resampler.resample(None)]:
        container.mux(audio.encode(part))
    container.mux(audio.encode(None))


def decoded(path: Path) -> list[np.ndarray]:
    """All frames of a video as BGR."""
    with av.open(str(path)) as container:
        return [to_bgr(frame) for frame in container.decode(video=0)]


def numbers(path: Path) -> list[int]:
    """The numbers of the frames of a clip or of what was made of it, by their level."""
    return [round((frame[-8:, -8:].mean() - 20) / 5) for frame in decoded(path)]


def times(path: Path) -> list[Fraction]:
    """When the frames are shown, on the clock of the file."""
    with av.open(str(path)) as container:
        return [frame.pts * frame.time_base for frame in container.decode(video=0)]


def sound_begins(path: Path) -> float:
    """Seconds from the first frame to the first moment that can be heard."""
    first = times(path)[0]
    with av.open(str(path)) as container:
        for frame in container.decode(audio=0):
            samples = np.abs(frame.to_ndarray().astype(np.float64)).max(axis=0)
            heard = np.flatnonzero(samples > 0.05 * max(samples.max(), 1e-9))
            if samples.max() > 1e-3 and len(heard):
                return float(frame.pts * frame.time_base - first + Fraction(int(heard[0]), 44100))
    return float("nan")

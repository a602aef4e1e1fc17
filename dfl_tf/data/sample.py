"""One face → the arrays that a model asked for."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt

from dfl_tf.data.aligned import TrainingCrop
from dfl_tf.data.augment import (
    WarpParameters,
    apply_warp,
    draw_hsv_shift,
    draw_sample_warp,
)
from dfl_tf.data.batch import empty_array
from dfl_tf.data.cache import ArrayCache, unpacked
from dfl_tf.data.faceset import FaceSample
from dfl_tf.data.spec import OutputSpec, SampleSpec, Shifts
from dfl_tf.imaging.filters import resize_to, shift_hsv

if TYPE_CHECKING:
    from dfl_tf_ops.packed import Packed

Array = npt.NDArray[np.float32]


class _Generators(threading.local):
    """Generators of the working thread, seeded for each sample: making new ones costs more."""

    def __init__(self) -> None:
        self.affine = np.random.RandomState(0)
        self.elastic = np.random.RandomState(0)


_rng = _Generators()

# Keeps the draws of a random color transfer apart from those of the warp.
_COLOR_STREAM = 0xC01012

_ONE_SAMPLE = 2**32  # bytes; no sample comes near it


def make_sample(
    sample: FaceSample,
    spec: SampleSpec,
    seed: int,
    *,
    color_source: FaceSample | None = None,
    cache: ArrayCache | None = None,
    rooms: Mapping[str, Array] | None = None,
) -> dict[str, Array]:
    """Make all outputs of a spec from one face.

    Pure in (sample, spec, seed, color source): the cache only saves work.

    Parameters
    ----------
    sample : FaceSample
    spec : SampleSpec
    seed : int
        0 … 2**31 - 1. Of an output with seed shifts (a, b) the affine and HSV draws come from
        `RandomState(seed + a)`, the elastic warp's from `RandomState(seed + b)`; outputs with equal
        shifts share all warp parameters.
    color_source : FaceSample, optional
        Face whose colors are taken where an output asks for it and `ct_mode` is not "none". One
        result is shared by all outputs of the sample.
    cache : ArrayCache, optional
        Keeps aligned images and masks.
    rooms : mapping of str to ndarray, shapes of the spec, float32, optional
        Arrays of `batch.empty_array` that outputs are written into where that saves a copy; of
        these the result holds the room itself.

    Returns
    -------
    dict of str to ndarray, float32
        By the names of the spec: images (r, r, 3 or 1) BGR clipped to [0, 1], masks (r, r, 1) not
        clipped.

    References
    ----------
    data.md 4; color transfer once a sample instead of once an output: decision 6.

    Examples
    --------
    >>> from importlib.resources import files
    >>> from pathlib import Path
    >>> from dfl_tf.data import Faceset
    >>> from dfl_tf.data.spec import OutputSpec, SampleSpec, Shifts
    >>> from dfl_tf.face import FaceType
    >>> faces = Faceset.open(Path(str(files("dfl_tf") / "demo_data/data_src/aligned")))
    >>> outputs = {"warped": OutputSpec(warp=True), "mask": OutputSpec(kind="mask")}
    >>> spec = SampleSpec(resolution=64, face_type=FaceType.FULL, outputs=outputs)
    >>> sample = make_sample(faces[0], spec, seed=7)
    >>> {name: (array.shape, str(array.dtype)) for name, array in sample.items()}
    {'warped': ((64, 64, 3), 'float32'), 'mask': ((64, 64, 1), 'float32')}
    """
    return _Builder(sample, spec, seed, color_source, cache).outputs(rooms or {})


class _Builder:
    """What the outputs of one sample share."""

    def __init__(
        self,
        sample: FaceSample,
        spec: SampleSpec,
        seed: int,
        color_source: FaceSample | None,
        cache: ArrayCache | None,
    ) -> None:
        self.sample, self.spec, self.seed = sample, spec, seed
        self.color_source = color_source if spec.ct_mode != "none" else None
        # Outputs share what they have in common, with a cache for the whole run or without.
        self.cache = ArrayCache(_ONE_SAMPLE, packs=False) if cache is None else cache
        self._together = _moves_together(spec)
        self.face = TrainingCrop(sample, spec, self.cache, at_once=self._together)
        self._warps: dict[Shifts, WarpParameters] = {}
        self._maps: dict[Shifts, tuple[Array, Array]] = {}
        self._recolored: dict[bool, Array] = {}

    def outputs(self, rooms: Mapping[str, Array]) -> dict[str, Array]:
        arrays = self._all_at_once(rooms) if self._together else {}
        for name, output in self.spec.outputs.items():
            if name not in arrays:
                arrays[name] = self._single(output)
            elif name in self.spec.unfinished:
                arrays[name] = self._finished(arrays[name], output)
        self.cache.count(found=self.face.found)
        return {name: arrays[name] for name in self.spec.outputs}

    def _all_at_once(self, rooms: Mapping[str, Array]) -> dict[str, Array]:
        """Warp all images and masks that move, in one call for each warp."""
        from dfl_tf_ops import sample_warp

        made: dict[str, Array] = {}
        for group in self.spec.warp_groups:
            sources, results = [], []
            for name in group.names:
                output = self.spec.outputs[name]
                if output.kind == "mask":
                    source = self.face.mask(output.mask)
                else:
                    source = self._colored_image(output)
                room = None if name in self.spec.unfinished else rooms.get(name)
                made[name] = result = empty_array(*source.shape) if room is None else room
                sources.append(source)
                results.append(result)
            sample_warp.warp_all(
                sources,
                results,
                group.ways,
                self.spec.resolution,
                seeds=(self.seed + group.shifts[0], self.seed + group.shifts[1]),
                ranges=self.spec.draw_ranges,
                mirrors=self.spec.random_flip,
            )
        return made

    def _single(self, output: OutputSpec) -> Array:
        """Make one output by itself, step by step."""
        if output.kind == "landmarks":
            height, width = self.sample.shape[:2]
            return np.clip(self.sample.landmarks / (width, height), 0, 1).astype(np.float32)
        if output.kind in ("pitch_yaw", "pitch_yaw_sigmoid"):
            return self._pose(output)
        image = self._mask(output) if output.kind == "mask" else self._image(output)
        return self._finished(image, output)

    def _finished(self, image: Array, output: OutputSpec) -> Array:
        if output.kind == "image" and output.channels != "bgr":
            gray = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_BGR2GRAY)[:, :, None]
            image = gray if output.channels == "g" else np.repeat(gray, 3, axis=2)
        if output.nearest_resize_to:
            image = resize_to(image, output.nearest_resize_to, cv2.INTER_NEAREST)
        if output.normalize_tanh:
            image = np.clip(image * 2 - 1, -1, 1)
        array = np.ascontiguousarray(image, dtype=np.float32)
        # An unchanged image may be the cache's own.
        return array if array.flags.writeable else array.copy()

    def _colored_image(self, output: OutputSpec) -> Array | Packed:
        image: Array | Packed
        if output.color_transfer and self.color_source is not None:
            image = self._recolored_image(output.border_replicate)
        else:
            image = self.face.image(output.border_replicate)
        if output.hsv_shift:
            image = shift_hsv(unpacked(image), *self._hsv_draws(output))
        return image

    def _image(self, output: OutputSpec) -> Array:
        return apply_warp(
            unpacked(self._colored_image(output)),
            self._warp(output.shifts),
            maps=self._warp_maps(output),
            transform=output.transform,
            flip=True,
            replicate=output.border_replicate,
            interpolation=cv2.INTER_CUBIC,
            clip=True,
        )

    def _mask(self, output: OutputSpec) -> Array:
        size = self.spec.resolution
        if output.mask == "none":
            return np.zeros((size, size, 1), dtype=np.float32)
        mask = apply_warp(
            unpacked(self.face.mask(output.mask)),
            self._warp(output.shifts),
            maps=self._warp_maps(output),
            transform=output.transform,
            flip=True,
            replicate=False,
            interpolation=cv2.INTER_LINEAR,
        )
        if output.mask == "eyes_mouth":
            largest = mask.max()
            if largest != 0:
                mask = mask / largest
        return mask

    def _pose(self, output: OutputSpec) -> Array:
        pitch, yaw, _ = self.sample.pitch_yaw_roll()
        if self._warp(output.shifts).flip:
            yaw = -yaw
        pose = np.array([pitch, yaw])
        if output.kind == "pitch_yaw_sigmoid":
            pose = np.clip(pose / np.pi / 2 + 0.5, 0, 1)
        return pose.astype(np.float32)

    def _warp(self, key: Shifts) -> WarpParameters:
        if key not in self._warps:
            _rng.affine.seed(self.seed + key[0])
            _rng.elastic.seed(self.seed + key[1])
            self._warps[key] = draw_sample_warp(self.spec, _rng.affine, _rng.elastic)
        return self._warps[key]

    def _hsv_draws(self, output: OutputSpec) -> tuple[float, float, float]:
        """Draw what follows the warp in the affine stream; every output draws for itself."""
        _rng.affine.seed(self.seed + output.seed_shift)
        draw_sample_warp(self.spec, _rng.affine, _rng.elastic)
        return draw_hsv_shift(_rng.affine, output.hsv_shift)

    def _warp_maps(self, output: OutputSpec) -> tuple[Array, Array] | None:
        if not output.warp:
            return None
        key = output.shifts
        if key not in self._maps:
            self._maps[key] = self._warp(key).maps()
        return self._maps[key]

    def _recolored_image(self, replicate: bool) -> Array:
        if replicate not in self._recolored:
            image, mode = unpacked(self.face.image(replicate)), self.spec.ct_mode
            # Loads numba, which a run without color transfer does not need.
            from dfl_tf_ops.color_transfer import BY_STATISTICS, color_transfer, transfer_statistics

            if mode in BY_STATISTICS:
                recolored = transfer_statistics(mode, image, self._color_statistics())
            else:
                rng = np.random.RandomState([self.seed, _COLOR_STREAM])
                recolored = color_transfer(mode, image, self._color_image(), rng=rng)
            self._recolored[replicate] = recolored
        return self._recolored[replicate]

    def _color_statistics(self) -> npt.NDArray[np.float64]:
        """All that some modes ask of the color source; the cache keeps no image for them."""
        from dfl_tf_ops.color_transfer import color_statistics

        assert self.color_source is not None
        key = (self.color_source.key, self.spec.resolution, self.spec.ct_mode)
        kept = self.cache.get(key)
        if kept is not None:
            return kept.view(np.float64)
        made = color_statistics(self.spec.ct_mode, self._resized_source())
        self.cache.put(key, made.view(np.float32), packs=False)
        return made

    def _color_image(self) -> Array:
        assert self.color_source is not None
        key = (self.color_source.key, self.spec.resolution, "color")
        image = self.cache.get(key)
        if image is None:
            image = self._resized_source()
            self.cache.put(key, image, packs=image.shape == self.color_source.shape)
        return image

    def _resized_source(self) -> Array:
        """Resize the color source as it is: neither re-cropped nor masked (kept)."""
        assert self.color_source is not None
        self.face.found = False
        side = self.spec.resolution
        room = np.empty((side, side, 3), np.float32)
        return resize_to(self.color_source.image(), side, cv2.INTER_LINEAR, room=room)


def _moves_together(spec: SampleSpec) -> bool:
    """Whether one call makes what moves, to the bit what the single steps make."""
    if not spec.moving:
        return False
    # numba loads slowly; images that do not move need none of it.
    from dfl_tf_ops.sample_warp import supports

    return supports(spec.resolution, masks=bool(spec.drawn_masks - {"none"}))

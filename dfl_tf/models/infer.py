"""What the tensors of a model say about its architecture options."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy.typing as npt

if TYPE_CHECKING:
    from dfl_tf.options.training import FaceSwapOptions

Tensors = Mapping[str, Mapping[str, npt.ArrayLike]]


def _shape(tensors: Tensors, part: str, key: str) -> tuple[int, ...]:
    tensor = tensors.get(part, {}).get(key)
    return () if tensor is None else tuple(getattr(tensor, "shape", ()))


def saehd(tensors: Tensors, options: Mapping[str, object]) -> dict[str, int | str]:
    """Return archi, dims and resolution of the tensors of a SAEHD model, as far as they show.

    Parameters
    ----------
    tensors : mapping
        Part to legacy key to array, as in `ModelState.tensors`.
    options : mapping
        Of them `archi` is looked at: its letters u and c leave no trace in the tensors.

    References
    ----------
    models.md 2.1, 2.3 to 2.5
    """
    archi = str(options.get("archi", ""))
    flavor = "liae" if "inter_AB" in tensors else "df"
    inter, decoder = ("inter_AB", "decoder") if flavor == "liae" else ("inter", "decoder_src")
    deep = "res1/conv1/weight:0" in tensors.get("encoder", {})
    dense_grid = "out_conv1/weight:0" in tensors.get(decoder, {})
    found: dict[str, int | str] = {}
    if inter in tensors and decoder in tensors:
        has = {"u": "u" in archi.partition("-")[2], "c": "c" in archi.partition("-")[2]}
        has |= {"d": dense_grid, "t": deep}
        letters = "".join(letter for letter in "udtc" if has[letter])
        found["archi"] = f"{flavor}-{letters}" if letters else flavor
    found |= _encoder(tensors, deep)
    dense = _shape(tensors, inter, "dense1/weight:0")
    if len(dense) == 2:
        found["ae_dims"] = dense[1]
        found |= _resolution(dense[0], int(found.get("e_dims", 0)), 32 if deep else 16)
    return found | _decoder(tensors, decoder, dense_grid)


def quick96(tensors: Tensors, options: Mapping[str, object]) -> dict[str, int | str]:
    """Return the resolution of the tensors of a Quick96 model, any shape."""
    found = saehd(tensors, options)
    return {key: value for key, value in found.items() if key == "resolution"}


def amp(tensors: Tensors, options: Mapping[str, object]) -> dict[str, int | str]:
    """Return dims and resolution of the tensors of an AMP model, any shape (models.md 3)."""
    found = _encoder(tensors, True)
    dense = _shape(tensors, "encoder", "dense1/weight:0")
    if len(dense) == 2:
        found["ae_dims"] = dense[1]
        found |= _resolution(dense[0], int(found.get("e_dims", 0)), 32)
    up = _shape(tensors, "decoder", "upscale0/conv1/weight:0")
    if len(up) == 4:
        found["inter_dims"] = up[2]
    return found | _decoder(tensors, "decoder", True)


def _encoder(tensors: Tensors, deep: bool) -> dict[str, int | str]:
    key = "down1/conv1/weight:0" if deep else "down1/downs_0/conv1/weight:0"
    first = _shape(tensors, "encoder", key)
    return {"e_dims": first[-1]} if len(first) == 4 else {}


def _resolution(length: int, e_dims: int, step: int) -> dict[str, int | str]:
    """Solve ``length = 8 e_dims (resolution / step)^2``."""
    if not e_dims or length % (8 * e_dims):
        return {}
    side = math.isqrt(length // (8 * e_dims))
    return {"resolution": side * step} if side * side * 8 * e_dims == length else {}


def _decoder(tensors: Tensors, part: str, dense_grid: bool) -> dict[str, int | str]:
    found: dict[str, int | str] = {}
    image = _shape(tensors, part, "out_conv/weight:0")
    mask = _shape(tensors, part, "out_convm/weight:0")
    if len(image) == 4:
        found["d_dims"] = image[2] // 2
    if len(mask) == 4:
        found["d_mask_dims"] = mask[2] if dense_grid else mask[2] // 2
    return found


def gan_changed(stored: Mapping[str, object], options: FaceSwapOptions) -> bool:
    """Whether patch size or dims of the GAN differ between stored and present options."""
    return any(
        key in stored and stored[key] != getattr(options, key)
        for key in ("gan_patch_size", "gan_dims")
    )

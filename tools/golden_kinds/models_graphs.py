"""Whole networks with the deterministic weights of the golden models folder."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from dfl_tf.models import generator as saehd
from dfl_tf.models.amp import networks as amp
from dfl_tf.models.df_liae import Archi
from dfl_tf.models.discriminators import CodeDiscriminator, UNetPatchDiscriminator
from dfl_tf.models.xseg.networks import LEVELS, XSegNetwork
from golden_kinds.check import Check

Golden = Mapping[str, np.ndarray]
Meta = Mapping[str, Any]
# README: images, masks, codes, logits 1e-4; XSeg logits 5e-4 (and what leads to them).
TOLERANCE = 1e-4
XSEG_TOLERANCE = 5e-4
QUICK96_DIMS = {"e": 64, "ae": 128, "d": 64, "dm": 16}


def weight(key: str, shape: tuple[int, ...], gain: float) -> np.ndarray:
    """The deterministic value of a weight; `key` is its full name ending in ``:0``."""
    rng = np.random.Generator(np.random.PCG64(zlib.crc32(key.encode())))
    z = rng.standard_normal(int(np.prod(shape))).reshape(shape)
    kind = key.rsplit("/", 1)[-1]
    if kind == "weight:0" and len(shape) == 4:
        z = z * np.sqrt(gain / np.prod(shape[:3]))
    elif kind == "weight:0" and len(shape) == 2:
        z = z * np.sqrt(1.0 / shape[0])
    elif kind == "weight:0":
        z = 1.0 + 0.1 * z
    else:
        z = z * (0.001 if kind == "eps:0" else 0.1)
    return z.astype(np.float32)


def compare_weight_rule(entries: list[dict[str, Any]]) -> list[Check]:
    """The rule itself, against the first values that the legacy side stored."""
    checks = []
    for entry in entries:
        value = weight(entry["name"], tuple(entry["shape"]), entry["conv_gain"])
        first = value.reshape(-1)[:4].astype(np.float64)
        error = np.max(np.abs(first - entry["first4"])) + abs(float(value.mean()) - entry["mean"])
        checks.append(Check(entry["name"], float(error), 1e-6))
    return checks


class Maker:
    """Makes networks and fills them by the rule."""

    def __init__(self, gain: float) -> None:
        self.gain = gain

    def __call__(self, cls: Callable[..., Any], *args: Any, scope: str, **kwargs: Any) -> Any:
        network = cls(*args, name=scope, dtype=keras.DTypePolicy("float32"), **kwargs)
        network.build()
        for variable in network.weights:
            variable.assign(weight(variable.path + ":0", tuple(variable.shape), self.gain))
        return network


def compare_graph(golden: Golden, meta: Meta) -> list[Check]:
    """Compare every array of a file; `meta` is its entry in meta.json."""
    archi = meta["archi"]
    make = Maker(meta["conv_gain"])
    checks: list[Check] = []
    if archi == "XSeg":
        got = _xseg(golden, make, meta["base_ch"])
    elif archi == "AMP":
        got = _amp(golden, make, meta)
    elif archi == "UNetPatchDiscriminator":
        got, checks = _unet(golden, make, meta)
    elif archi.startswith("quick96"):
        got = _saehd(golden, make, {**meta, "archi": "df-ud", **QUICK96_DIMS})
    else:
        got = _saehd(golden, make, meta)
    default = XSEG_TOLERANCE if archi == "XSeg" else TOLERANCE
    for key in golden:
        if key in ("input", "morph_values", "train_channel_mask"):
            continue
        want = golden[key]
        value = np.asarray(got[key])
        if key.endswith("_crop"):
            value = value[:, : want.shape[1], : want.shape[2]]
        same = value.shape == want.shape
        error = float(np.max(np.abs(value - want))) if same else float("inf")
        tolerance = TOLERANCE if key == "prob" else default
        checks.append(Check(key, error, tolerance))
    return checks


def _saehd(golden: Golden, make: Maker, meta: Meta) -> dict[str, Any]:
    archi = Archi.parse(meta["archi"])
    dims = {key: int(meta[key]) for key in ("e", "ae", "d", "dm")}
    networks = saehd.build(make, archi, int(meta["resolution"]), **dims)
    x = tf.constant(golden["input"])
    got: dict[str, Any] = {"enc": networks["encoder"](x)}
    if archi.flavor == "df":
        got["inter"] = networks["inter"](got["enc"])
        for side in ("src", "dst"):
            image, mask = networks[f"decoder_{side}"](got["inter"])
            got |= {f"{side}_img": image, f"{side}_mask": mask}
        if "code_disc" in golden:
            resolution = archi.inter_resolution(int(meta["resolution"]))
            discriminator = make(CodeDiscriminator, dims["ae"], resolution, scope="dis")
            got["code_disc"] = discriminator(got["inter"])
    else:
        for part in ("AB", "B"):
            got[f"inter_{part}"] = networks[f"inter_{part}"](got["enc"])
        first = {"srcdst": got["inter_AB"], "dst": got["inter_B"]}
        for side, code in first.items():
            image, mask = networks["decoder"](tf.concat((code, got["inter_AB"]), axis=-1))
            got |= {f"{side}_img": image, f"{side}_mask": mask}
    if "gan_out" in golden:
        gan = make(UNetPatchDiscriminator, meta["gan_patch_size"], meta["gan_dims"], scope="D_src")
        got["gan_center"], got["gan_out"] = gan(x)
    return got


def _amp(golden: Golden, make: Maker, meta: Meta) -> dict[str, Any]:
    dims = {key: int(meta[key]) for key in ("e", "ae", "inter", "d", "dm")}
    networks = amp.build(make, int(meta["resolution"]), **dims)
    generator = amp.AMPGenerator(networks, dims["inter"])
    x = tf.constant(golden["input"])
    code = networks["encoder"](x)
    got: dict[str, Any] = {"enc": code}
    for part in ("inter_src", "inter_dst"):
        got[part] = networks[part](code)
    swaps = [generator.swap(x, tf.constant(v, tf.float32)) for v in golden["morph_values"]]
    got["morph_img"] = np.stack([swap.image for swap, _ in swaps])
    got["morph_src_mask"] = np.stack([swap.mask for swap, _ in swaps])
    got["dst_mask"] = swaps[0][1].mask
    src_code, dst_code, _ = generator.codes(x, x, tf.constant(golden["train_channel_mask"]))
    images = generator.decode(src_code, dst_code)
    for name, image in zip(("srcsrc", "dstdst"), images, strict=True):
        got[f"train_{name}_img"], got[f"train_{name}_mask"] = image
    return got


def _xseg(golden: Golden, make: Maker, base: int) -> dict[str, Any]:
    network = make(XSegNetwork, base, scope="XSeg")
    x = tf.constant(golden["input"])
    logits = network(x)
    got: dict[str, Any] = {
        "logits": logits,
        "prob": tf.sigmoid(logits),
        "logits_pretrain": network(x, without_skips=True),
    }
    # What lies inside, by the network's own layers in the order in which it runs them.
    for level in range(len(LEVELS)):
        for name in network.encoder_names[level]:
            x = getattr(network, name)(x)
            got[name] = got[f"{name}_crop"] = x
        x = network.blurs[level](x)
        got[f"bp{level}"] = got[f"bp{level}_crop"] = x
    n, h, w, c = x.shape
    got["dense1"] = network.dense1(tf.reshape(tf.transpose(x, (0, 3, 1, 2)), (n, -1)))
    flat = network.dense2(got["dense1"])
    got["dense2_4d"] = tf.transpose(tf.reshape(flat, (n, c, h, w)), (0, 2, 3, 1))
    got["up5"] = network.up5(got["dense2_4d"])
    return got


def _unet(golden: Golden, make: Maker, meta: Meta) -> tuple[dict[str, Any], list[Check]]:
    gan = make(UNetPatchDiscriminator, meta["patch_size"], meta["base_ch"], scope="D_src")
    keys = [(v.path.split("/", 1)[1] + ":0", list(v.shape)) for v in gan.weights]
    strides = [[3, conv.strides] for conv in gan.convs]
    center, out = gan(tf.constant(golden["input"]))
    checks = [
        Check("keys", float(keys != [(k, list(s)) for k, s in meta["keys"].items()]), 0),
        Check("layers", float(strides != [list(layer) for layer in meta["layers"]]), 0),
    ]
    return {"center": center, "out": out}, checks

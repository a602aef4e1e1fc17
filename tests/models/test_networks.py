"""Architecture strings, sizes that cannot be built, discriminators."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from dfl_tf.errors import OptionError
from dfl_tf.models import discriminators
from dfl_tf.models import generator as saehd
from dfl_tf.models.amp import networks as amp
from dfl_tf.models.df_liae import Archi, Decoder
from dfl_tf.nn.initializers import initialize

DIMS = {"e": 4, "ae": 6, "d": 4, "dm": 4}


def make(cls, *args, scope, **kwargs):
    network = cls(*args, name=scope, dtype=keras.DTypePolicy("float32"), **kwargs)
    network.build()
    initialize(network.weights, 1)
    return network


@pytest.mark.parametrize("letters", ["", "d", "t", "dt", "uc", "udtc"])
@pytest.mark.parametrize("flavor", ["df", "liae"])
def test_every_architecture_returns_its_resolution(flavor, letters):
    archi = Archi.parse(f"{flavor}-{letters}" if letters else flavor)
    generator = saehd.Generator(archi, saehd.build(make, archi, 64, **DIMS))
    for image, mask in generator.view(tf.zeros((2, 64, 64, 3)), tf.zeros((2, 64, 64, 3))):
        assert image.shape == (2, 64, 64, 3)
        assert mask.shape == (2, 64, 64, 1)


def test_archi_strings():
    assert str(Archi.parse("liae-tduu")) == "liae-udt"
    assert str(Archi.parse("df")) == "df"
    for wrong in ("dfl", "df-", "df-x", "liae-ud ", ""):
        with pytest.raises(OptionError, match="df or liae"):
            Archi.parse(wrong)


@pytest.mark.parametrize(
    ("archi", "resolution", "nearest"), [("df-t", 80, 64), ("df", 72, 64), ("liae-ut", 112, 128)]
)
def test_resolutions_that_cannot_be_halved_are_refused(archi, resolution, nearest):
    with pytest.raises(OptionError, match=rf"must be a multiple of (16|32)\. Nearest: {nearest}"):
        saehd.build(make, Archi.parse(archi), resolution, **DIMS)
    with pytest.raises(OptionError, match="multiple of 32"):
        amp.build(make, 80, inter=4, **DIMS)


def test_swap_codes_are_those_of_training():
    for text in ("df-u", "liae-u"):
        archi = Archi.parse(text)
        generator = saehd.Generator(archi, saehd.build(make, archi, 64, **DIMS))
        rng = np.random.default_rng(0)
        src, dst = (tf.constant(rng.random((1, 64, 64, 3)), tf.float32) for _ in range(2))
        src_code, dst_code, swap_code = generator.codes(src, dst)
        np.testing.assert_allclose(generator.src_code(src), src_code, atol=1e-6)
        for got, want in zip(generator.swap_code(dst), (swap_code, dst_code), strict=True):
            np.testing.assert_allclose(got, want, atol=1e-6)


def test_fused_output_convolutions_are_four():
    decoder = make(Decoder, Archi.parse("df-d"), 6, 4, 4, scope="decoder")
    for variable in decoder.weights:
        if variable.path.endswith("bias"):
            variable.assign(np.random.default_rng(1).normal(size=variable.shape))
    x = tf.constant(np.random.default_rng(0).normal(size=(1, 8, 8, 8)), tf.float32)
    convs = (decoder.out_conv, decoder.out_conv1, decoder.out_conv2, decoder.out_conv3)
    got = decoder._out_shuffled(x).numpy()
    for conv, (dy, dx) in zip(convs, ((0, 0), (0, 1), (1, 0), (1, 1)), strict=True):
        np.testing.assert_allclose(got[:, dy::2, dx::2], conv(x), atol=1e-5)


def test_patch_sizes():
    assert discriminators.patch_strides(8) == (2, 2)
    assert discriminators.patch_strides(12) == (2, 1, 2)
    discriminators.check_patch_size(64, 96)
    with pytest.raises(OptionError, match="gan_patch_size=64 halves the image 5 times"):
        discriminators.check_patch_size(64, 80)

"""The networks of the toy, how they are trained, and what they make of a face."""

from __future__ import annotations

import tensorflow as tf

from dfl_tf.data import OutputSpec, SampleSpec
from dfl_tf.face import FaceType
from dfl_tf.models import swap_preview
from dfl_tf.models.step import Update
from dfl_tf.models.swap import SwapModel, SwapOutput
from dfl_tf.nn.layers import Conv2D, Network
from dfl_tf.nn.losses import mean_hwc
from dfl_tf.nn.tensors import depth_to_space

from . import NETWORKS


class ToyEncoder(Network):
    """Faces (n, r, r, 3) to features (n, r/2, r/2, dims)."""

    def __init__(self, dims, **kwargs):
        super().__init__(**kwargs)
        self.conv1 = Conv2D(3, dims, 5, strides=2, name="conv1", dtype=self.dtype_policy)

    def call(self, x):
        return tf.nn.leaky_relu(self.conv1(x), 0.1)


class ToyDecoder(Network):
    """Features to an image (n, r, r, 3) and its mask (n, r, r, 1), both in (0, 1)."""

    def __init__(self, dims, **kwargs):
        super().__init__(**kwargs)
        self.image = Conv2D(dims, 12, 3, name="image", dtype=self.dtype_policy)
        self.mask = Conv2D(dims, 4, 3, name="mask", dtype=self.dtype_policy)

    def call(self, x):
        made = (depth_to_space(layer(x)) for layer in (self.image, self.mask))
        return tuple(tf.sigmoid(tf.cast(y, self.variable_dtype)) for y in made)


class Toy(SwapModel):
    """One encoder for both people, a decoder for each."""

    model_class = "Toy"

    def build_networks(self):
        dims = self.options.toy_dims
        for part in NETWORKS:
            network = ToyEncoder if part == "encoder" else ToyDecoder
            self.networks[part] = self.make_network(network, dims, scope=part)

    def build_updates(self):
        self.add_optimizer("src_dst_opt", NETWORKS, adabelief=True)
        self.updates = [Update("src_dst_opt", self.weights_of(NETWORKS), self.objective)]

    def objective(self, src, dst):
        """Return what is made smaller, and the losses to report, each of shape (n,)."""
        losses = {}
        for side, batch in (("src", src), ("dst", dst)):
            image, mask = self.decoded(side, batch["image"])
            difference = tf.square((image - batch["target"]) * batch["mask"])
            losses[side] = mean_hwc(difference) + mean_hwc(tf.square(mask - batch["mask"]))
        return losses["src"] + losses["dst"], losses

    def decoded(self, side, face):
        return self.networks[f"decoder_{side}"](self.networks["encoder"](face))

    def sample_specs(self):
        spec = SampleSpec(
            resolution=self.options.resolution,
            face_type=FaceType.from_name(self.options.face_type),
            outputs={
                "image": OutputSpec(warp=True),
                "target": OutputSpec(),
                "mask": OutputSpec(kind="mask"),
            },
        )
        return {"src": spec, "dst": spec}

    def swap_tensors(self, face, morph=None):
        return SwapOutput(*self.decoded("src", face), self.decoded("dst", face)[1])

    def view(self, src, dst):
        pairs = (("src", src), ("dst", dst), ("src", dst))
        return self.run_graph("view", lambda *faces: [
            self.decoded(side, face) for (side, _), face in zip(pairs, faces, strict=True)
        ], src, dst, dst)  # fmt: skip

    def preview(self, *batches):
        return swap_preview.draw(self, *batches, masked_by_both=True)

"""The networks of the models as ONNX nodes, NCHW.

Only what inference needs, in the words of the weight files. Every export is compared with the
model itself (`onnx_check.verify`), and the tests do so for every architecture, so that this
second description cannot drift from the first.

References: models.md 1 to 4, 6.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dfl_tf.export.onnx_graph import Array, Graph, Value
from dfl_tf.models.df_liae import Archi


@dataclass(frozen=True)
class FaceNetworks:
    """The encoder, inters and decoders of SAEHD and AMP.

    Parameters
    ----------
    graph : Graph
        What is added to.
    archi : Archi
        For AMP that of "df-udt", whose networks it shares.
    resolution : int
    """

    graph: Graph
    archi: Archi
    resolution: int

    def encode(self, image: Value, part: str = "encoder") -> Value:
        """Add an encoder: (n, 3, r, r) to flat codes (n, length), float32."""
        x = self.graph.cast(image, half=self.graph.half)
        if self.archi.t:
            x = self._downscale(x, part, "down1")
            x = self._residual(x, part, "res1")
            for i in range(2, 6):
                x = self._downscale(x, part, f"down{i}")
            x = self._residual(x, part, "res5")
        else:
            for i in range(4):
                x = self._downscale(x, part, f"down1/downs_{i}")
        x = self.graph.cast(self.graph.add("Flatten", x, axis=1), half=False)
        return pixel_norm(self.graph, x) if self.archi.u else x

    def inter(self, code: Value, part: str) -> Value:
        """Add an inter of SAEHD: (n, length) to (n, channels, s, s)."""
        x = dense(self.graph, code, part, "dense1")
        x = self.grid(x, part)
        return x if self.archi.t else self._upscale(x, part, "upscale1")

    def grid(self, code: Value, part: str) -> Value:
        """Add the dense layer that spreads a code (n, ae) over the grid (n, channels, l, l)."""
        side = self.archi.grid_resolution(self.resolution)
        channels = self.graph.shape_of(part, "dense2/weight")[1] // side**2
        x = dense(self.graph, code, part, "dense2")
        x = unflatten(self.graph, x, channels, side)
        return self.graph.cast(x, half=self.graph.half)

    def image(self, features: Value, part: str) -> Value:
        """Add the image branch of a decoder: (n, c, s, s) to (n, r, r, 3) in [0, 1], float32."""
        x = features
        for i in range(4 if self.archi.t else 3):
            x = self._upscale(x, part, f"upscale{i}")
            x = self._residual(x, part, f"res{i}")
        x = self._out_shuffled(x, part) if self.archi.d else conv(self.graph, x, part, "out_conv")
        return self._ended(x)

    def mask(self, features: Value, part: str) -> Value:
        """Add the mask branch of a decoder: (n, c, s, s) to (n, r, r, 1) in [0, 1], float32."""
        x = features
        for i in range((4 if self.archi.t else 3) + self.archi.d):
            x = self._upscale(x, part, f"upscalem{i}")
        return self._ended(conv(self.graph, x, part, "out_convm"))

    def _ended(self, x: Value) -> Value:
        x = self.graph.add("Sigmoid", self.graph.cast(x, half=False))
        return self.graph.add("Transpose", x, perm=[0, 2, 3, 1])

    def _activation(self, x: Value, slope: float) -> Value:
        if self.archi.c:
            return self.graph.add("Mul", x, self.graph.add("Cos", x))
        return self.graph.add("LeakyRelu", x, alpha=slope)

    def _downscale(self, x: Value, part: str, name: str) -> Value:
        return self._activation(conv(self.graph, x, part, f"{name}/conv1", stride=2), 0.1)

    def _upscale(self, x: Value, part: str, name: str) -> Value:
        x = self._activation(conv(self.graph, x, part, f"{name}/conv1"), 0.1)
        return self.graph.add("DepthToSpace", x, blocksize=2, mode="DCR")

    def _residual(self, x: Value, part: str, name: str) -> Value:
        y = self._activation(conv(self.graph, x, part, f"{name}/conv1"), 0.2)
        y = conv(self.graph, y, part, f"{name}/conv2")
        return self._activation(self.graph.add("Add", y, x), 0.2)

    def _out_shuffled(self, x: Value, part: str) -> Value:
        """Add the four output convolutions as one, the 1x1 one framed by zeros."""
        names = ("out_conv", "out_conv1", "out_conv2", "out_conv3")
        tensors = self.graph.tensors[part]

        def kernels() -> Array:
            arrays = [np.asarray(tensors[f"{name}/weight:0"], np.float32) for name in names]
            arrays[0] = np.pad(arrays[0], ((1, 1), (1, 1), (0, 0), (0, 0)))
            return np.concatenate(arrays, axis=-1).transpose(3, 2, 0, 1)

        def biases() -> Array:
            arrays = [np.asarray(tensors[f"{name}/bias:0"], np.float32) for name in names]
            return np.concatenate(arrays)

        graph, half = self.graph, x.half
        channels = graph.shape_of(part, "out_conv/weight")[2]
        x = graph.add(
            "Conv",
            x,
            graph.fetched(f"{part}/out_convs/weight", (12, channels, 3, 3), kernels, half=half),
            graph.fetched(f"{part}/out_convs/bias", (12,), biases, half=half),
            kernel_shape=[3, 3],
            pads=[1, 1, 1, 1],
        )
        return graph.add("DepthToSpace", x, blocksize=2, mode="DCR")


def conv(graph: Graph, x: Value, part: str, name: str, *, stride: int = 1) -> Value:
    """Add a convolution with the legacy padding, equal on all four sides (models.md 1.1)."""
    size = graph.shape_of(part, f"{name}/weight")[0]
    return graph.add(
        "Conv",
        x,
        graph.weight(part, f"{name}/weight", half=x.half, order=(3, 2, 0, 1)),
        graph.weight(part, f"{name}/bias", half=x.half),
        kernel_shape=[size, size],
        strides=[stride, stride],
        pads=[size // 2] * 4,
    )


def dense(graph: Graph, x: Value, part: str, name: str) -> Value:
    """Add a dense layer, float32."""
    return graph.add(
        "Gemm",
        graph.cast(x, half=False),
        graph.weight(part, f"{name}/weight", half=False),
        graph.weight(part, f"{name}/bias", half=False),
    )


def unflatten(graph: Graph, x: Value, channels: int, side: int) -> Value:
    """Add a reshape of flat codes to (n, channels, side, side)."""
    shape = np.array([-1, channels, side, side], np.int64)
    return graph.add("Reshape", x, graph.constant(f"shape_{channels}x{side}x{side}", shape))


def pixel_norm(graph: Graph, x: Value) -> Value:
    """Add ``x / sqrt(mean(x^2) + 1e-6)`` over the last axis of (n, length)."""
    power = graph.add("ReduceMean", graph.add("Mul", x, x), axes=[1], keepdims=1)
    epsilon = graph.constant("pixel_norm_epsilon", np.array(1e-6, np.float32))
    return graph.add("Div", x, graph.add("Sqrt", graph.add("Add", power, epsilon)))

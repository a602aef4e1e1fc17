"""Layers with the legacy padding rules, whose variable paths are the legacy weight names.

Every layer knows its channel counts when it is made, so a network is built without being run
(`Block.build`). Variables are made as zeros; `initializers.initialize` or a loaded state
fills them.
The children of a list must be given the name ``<attribute>_<i>``.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Sequence
from typing import Self, TypedDict, Unpack

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf
from dfl_tf_ops.blur_pool import ROWS, blur_pool
from dfl_tf_ops.normalization import frn, frn_tlu

from dfl_tf.nn.convolution import convolve_halving, convolve_same
from dfl_tf.nn.tensors import add_bias, filter_by_matmul, product
from dfl_tf.nn.tracing import tracing

Shape = Sequence[int | None]
"""As Keras gives it to `build`; None is a side that varies."""


class LayerOptions(TypedDict, total=False):
    """What every layer and network takes besides its own arguments.

    TensorFlow and Keras come without types that a checker can use, so their classes stand in
    annotations for people: a checker takes ``tf.Tensor`` and ``keras.Variable`` for anything.
    """

    name: str
    dtype: keras.DTypePolicy | str | None
    trainable: bool


class Block(keras.layers.Layer):
    """A layer made of layers: building it builds its children under its name, in order.

    With `Tracing.recompute` the back-propagation keeps the input of a block and computes what lies
    inside it a second time; of blocks within blocks, the innermost do.
    """

    def __call__(self, *args: object, **kwargs: object) -> tf.Tensor:
        """Run the layers on tensors of any shape."""
        call = super().__call__
        if tracing().recompute and not any(isinstance(x, Block) for x in self._layers):
            return tf.recompute_grad(call)(*args, **kwargs)
        return call(*args, **kwargs)

    def build(self, input_shape: Shape | None = None) -> None:
        """Make the variables of all children."""
        for layer in self._flatten_layers(include_self=False, recursive=False):
            layer.build(None)
        self.built = True


class Network(keras.Model):
    """A network that is one file of a model; its name is the legacy scope.

    Notes
    -----
    ``keras.models.clone_model``, ``copy.deepcopy`` and the ``.keras`` format work for every
    subclass whose arguments are plain values, or turn to text that its constructor takes as well.
    A network that Keras makes again is built: the clone has zeros for weights, the others all.
    """

    def __init_subclass__(cls, **kwargs: object) -> None:
        """Let Keras find the class by its name when it loads a file."""
        super().__init_subclass__(**kwargs)
        keras.saving.register_keras_serializable("dfl_tf")(cls)

    def __new__(cls, *args: object, **kwargs: object) -> Self:
        """Remember the arguments for `get_config`."""
        network = super().__new__(cls, *args, **kwargs)
        bound = inspect.signature(cls.__init__).bind(network, *args, **kwargs).arguments
        named = {**bound, **bound.get("kwargs", {})}
        plain = {
            key: value
            if value is None or isinstance(value, bool | int | float | str)
            else f"{value}"
            for key, value in named.items()
            if key not in ("self", "kwargs", "name", "dtype")
        }
        object.__setattr__(network, "_arguments", plain)
        return network

    def get_config(self) -> dict[str, object]:
        """Return the arguments of the constructor as plain values."""
        policy = keras.dtype_policies.serialize(self.dtype_policy)
        return {**self._arguments, "name": self.name, "dtype": policy}

    @classmethod
    def from_config(cls, config: dict[str, object], custom_objects: object = None) -> Self:
        """Make a network from what `get_config` returned, built, with zeros for weights."""
        network = cls(**config)
        network.build()
        return network

    def get_build_config(self) -> dict[str, object]:
        """Nothing: a network needs no shapes to be built."""
        return {}

    def build_from_config(self, config: dict[str, object]) -> None:
        """Build the network, if `from_config` has not."""
        if not self.built:
            self.build()

    def build(self, input_shape: Shape | None = None) -> None:
        """Make the variables of all layers."""
        for layer in self.layers:
            layer.build(None)
        self.built = True


class Conv2D(keras.layers.Layer):
    """Convolution with zero padding that is the same on all four sides.

    Parameters
    ----------
    in_channels, out_channels : int
    kernel_size : int
    strides, dilation : int
    padding : {"SAME", "VALID"}
        "SAME" is not TensorFlow's: ``p = ((kernel_size - 1) * dilation + 1) // 2`` zeros lie around
        the image, then the convolution is VALID.
    use_bias : bool

    References
    ----------
    models.md 1.1
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        strides: int = 1,
        dilation: int = 1,
        padding: str = "SAME",
        use_bias: bool = True,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**kwargs)
        self.kernel_shape = (kernel_size, kernel_size, in_channels, out_channels)
        self.use_bias = use_bias
        self.strides = strides
        self.dilation = dilation
        self.padding = padding

    def build(self, input_shape: Shape | None = None) -> None:
        """Make `weight` (k, k, in, out) and `bias` (out)."""
        shapes = {"weight": self.kernel_shape, "bias": self.kernel_shape[-1:]}
        for name, shape in shapes.items():
            if name == "bias" and not self.use_bias:
                continue
            variable = self.add_weight(shape=shape, initializer="zeros", name=name, autocast=False)
            setattr(self, name, variable)
        self.built = True

    def call(self, x: tf.Tensor) -> tf.Tensor:
        """Convolve (n, h, w, in) to (n, h', w', out)."""
        weight = tf.convert_to_tensor(self.weight)
        bias = self.bias if self.use_bias else tf.zeros(self.kernel_shape[-1:], weight.dtype)
        weights = weight, tf.convert_to_tensor(bias)
        if self.padding == "SAME":
            if self.strides == self.dilation == 1 and self.kernel_shape[0] % 2 == 1:
                # the same numbers, and the kernel needs no padded copy
                return convolve_same(x, *weights)
            if (self.strides, self.dilation) == (2, 1):
                halved = convolve_halving(x, *weights)
                if halved is not None:
                    return halved
            x = self._pad(x)
        return product(self._convolve, x, *(tf.cast(w, x.dtype) for w in weights))

    def _convolve(self, x: tf.Tensor, kernel: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
        return add_bias(
            tf.nn.conv2d(x, kernel, self.strides, "VALID", dilations=self.dilation), bias
        )

    def _pad(self, x: tf.Tensor) -> tf.Tensor:
        """Pad symmetrically, but without the last rows and columns that no window reads."""
        extent = (self.kernel_shape[0] - 1) * self.dilation
        before = (extent + 1) // 2
        pads = [(0, 0)]
        for size in x.shape[1:3]:
            last_start = (size + 2 * before - extent - 1) // self.strides * self.strides
            pads.append((before, max(0, last_start + extent + 1 - size - before)))
        return tf.pad(x, [*pads, (0, 0)])


class Conv2DTranspose(keras.layers.Layer):
    """Transposed convolution, TensorFlow's SAME: (n, h, w, in) to (n, h * s, w * s, out).

    References
    ----------
    models.md 1.2
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        strides: int,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**kwargs)
        self.kernel_shape = (kernel_size, kernel_size, out_channels, in_channels)
        self.strides = strides

    def build(self, input_shape: Shape | None = None) -> None:
        """Make `weight` (k, k, out, in) and `bias` (out)."""
        self.weight = self.add_weight(shape=self.kernel_shape, initializer="zeros", name="weight")
        self.bias = self.add_weight(shape=self.kernel_shape[2:3], initializer="zeros", name="bias")
        self.built = True

    def call(self, x: tf.Tensor) -> tf.Tensor:
        """Convolve (n, h, w, in) to (n, h * strides, w * strides, out)."""
        shape = (
            tf.shape(x)[0],
            x.shape[1] * self.strides,
            x.shape[2] * self.strides,
            self.kernel_shape[2],
        )

        def convolve(x: tf.Tensor, kernel: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
            return add_bias(tf.nn.conv2d_transpose(x, kernel, shape, self.strides, "SAME"), bias)

        return product(
            convolve, x, tf.convert_to_tensor(self.weight), tf.convert_to_tensor(self.bias)
        )


class Dense(keras.layers.Layer):
    """``y = x W + b`` on flat codes.

    References
    ----------
    models.md 1.3
    """

    def __init__(self, in_units: int, out_units: int, **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(**kwargs)
        self.kernel_shape = (in_units, out_units)

    def build(self, input_shape: Shape | None = None) -> None:
        """Make `weight` (in, out) and `bias` (out)."""
        self.weight = self.add_weight(shape=self.kernel_shape, initializer="zeros", name="weight")
        self.bias = self.add_weight(shape=self.kernel_shape[1:], initializer="zeros", name="bias")
        self.built = True

    def call(self, x: tf.Tensor) -> tf.Tensor:
        """Map (n, in) to (n, out)."""

        def multiply(x: tf.Tensor, weight: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
            return add_bias(tf.matmul(x, weight), bias)

        return product(
            multiply, x, tf.convert_to_tensor(self.weight), tf.convert_to_tensor(self.bias)
        )


class BatchNorm2D(keras.layers.Layer):
    """Batch normalization with stored statistics: ``(x - mean) / sqrt(var + 1e-5) * w + b``.

    For networks that are not trained here: the statistics never change.

    References
    ----------
    S. Ioffe and C. Szegedy, "Batch Normalization", ICML 2015; extract.md 1.
    """

    def __init__(self, channels: int, **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(**kwargs)
        self.channels = channels

    def build(self, input_shape: Shape | None = None) -> None:
        """Make `weight`, `bias`, `running_mean` and `running_var`, each (c)."""
        for name in ("weight", "bias", "running_mean", "running_var"):
            variable = self.add_weight(shape=(self.channels,), initializer="zeros", name=name)
            setattr(self, name, variable)
        self.built = True

    def call(self, x: tf.Tensor) -> tf.Tensor:
        """Normalize (n, h, w, c)."""
        scale = self.weight / tf.sqrt(self.running_var + 1e-5)
        return x * scale + (self.bias - self.running_mean * scale)


class FRNorm2D(keras.layers.Layer):
    """Filter response normalization with a trainable epsilon, used as its absolute value.

    ``y = x / sqrt(mean_hw(x^2) + |eps|) * weight + bias``. Computed in the precision of its
    variables: half-precision squares overflow.

    References
    ----------
    models.md 1.6
    """

    def __init__(self, channels: int, **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(autocast=False, **kwargs)
        self.channels = channels

    def build(self, input_shape: Shape | None = None) -> None:
        """Make `weight` (c), `bias` (c) and `eps` (1)."""
        for name, size in (("weight", self.channels), ("bias", self.channels), ("eps", 1)):
            variable = self.add_weight(
                shape=(size,), initializer="zeros", name=name, autocast=False
            )
            setattr(self, name, variable)
        self.built = True

    def call(self, x: tf.Tensor) -> tf.Tensor:
        """Normalize (n, h, w, c)."""
        return frn(x, *(tf.convert_to_tensor(v) for v in (self.weight, self.bias, self.eps)))

    def thresholded(self, x: tf.Tensor, tlu: TLU) -> tf.Tensor:
        """Normalize (n, h, w, c) and apply `tlu`, in one operation where there is one for it."""
        chosen = tracing()
        variables = (self.weight, self.bias, self.eps, tlu.tau)
        weights = (tf.convert_to_tensor(v) for v in variables)
        return frn_tlu(x, *weights, fused=chosen.fused and not chosen.blur_as_matmul)


class TLU(keras.layers.Layer):
    """Thresholded linear unit: ``max(x, tau)`` with one threshold a channel.

    References
    ----------
    models.md 1.6
    """

    def __init__(self, channels: int, **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(**kwargs)
        self.channels = channels

    def build(self, input_shape: Shape | None = None) -> None:
        """Make `tau` (c)."""
        self.tau = self.add_weight(
            shape=(self.channels,), initializer="zeros", name="tau", autocast=False
        )
        self.built = True

    def call(self, x: tf.Tensor) -> tf.Tensor:
        """Threshold (n, h, w, c)."""
        return tf.maximum(x, tf.cast(self.tau, x.dtype))


class BlurPool(keras.layers.Layer):
    """Blur with a small fixed binomial kernel, then take every second pixel. No variables.

    References
    ----------
    models.md 1.6
    """

    def __init__(self, kernel_size: int, **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(**kwargs)
        row = np.array(ROWS[kernel_size])
        self.row = row / row.sum()
        self.kernel = np.outer(self.row, self.row)

    def build(self, input_shape: Shape | None = None) -> None:
        """Nothing to make."""
        self.built = True

    def call(self, x: tf.Tensor) -> tf.Tensor:
        """Halve (n, h, w, c) in height and width, rounding up."""
        size, chosen = len(self.row), tracing()
        if chosen.blur_as_matmul:
            before = (size - 1) // 2
            return filter_by_matmul(x, *(self._band(side, before) for side in x.shape[1:3]))
        if chosen.fused:
            return blur_pool(x, size)
        return product(functools.partial(blur_pool, size=size, fused=False), x)

    def _band(self, side: int, before: int) -> npt.NDArray[np.float64]:
        """Return the (side, halved) matrix that does the same to one axis."""
        offset = np.arange(side)[:, None] - 2 * np.arange((side + 1) // 2)[None, :] + before
        inside = (offset >= 0) & (offset < len(self.row))
        return np.where(inside, self.row[np.clip(offset, 0, len(self.row) - 1)], 0.0)

"""Export XSeg models to ONNX.

References: models.md 4 and 6.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from dfl_tf.export.forms import ExportForm
from dfl_tf.export.onnx_graph import Graph, Value
from dfl_tf.export.onnx_networks import conv, dense, unflatten
from dfl_tf.models.xseg.networks import LEVELS
from dfl_tf.nn.layers import BlurPool

if TYPE_CHECKING:
    from dfl_tf.models.base import FaceModel

PART = "XSeg_256"
SIDE = 256
GRID = 4


def _shape(form: tuple[int | str, ...]) -> list[int | str]:
    named: dict[int | str, int | str] = {"N": "batch", -1: SIDE}
    return [named.get(size, size) for size in form]


def xseg_graph(graph: Graph, model: FaceModel, form: ExportForm) -> None:
    """Add the network of an XSeg, with the layout of the form."""
    ((name, shape),) = form.inputs.items()
    channels_last = shape[-1] == 3
    x = graph.input(name, _shape(shape))
    if channels_last:
        x = graph.add("Transpose", x, perm=[0, 3, 1, 2])
    skips = []
    for level, (blocks, blur) in enumerate(LEVELS):
        for i in range(1, blocks + 1):
            x = _convolved(graph, x, f"conv{level}{i}")
        skips.append(x)
        channels = graph.shape_of(PART, f"conv{level}{blocks}/conv/weight")[-1]
        x = _blur_pool(graph, x, channels, blur)
    channels = graph.shape_of(PART, "dense2/weight")[1] // GRID**2
    x = dense(graph, graph.add("Flatten", x, axis=1), PART, "dense1")
    x = unflatten(graph, dense(graph, x, PART, "dense2"), channels, GRID)
    for level, (blocks, _) in reversed(list(enumerate(LEVELS))):
        x = _normalized(graph, _doubled(graph, x, f"up{level}/conv"), f"up{level}")
        x = graph.add("Concat", x, skips.pop(), axis=1)
        for i in range(blocks, 0, -1):
            x = _convolved(graph, x, f"uconv{level}{i}")
    x = graph.add("Sigmoid", conv(graph, x, PART, "out_conv"))
    if channels_last:
        x = graph.add("Transpose", x, perm=[0, 2, 3, 1])
    ((name, shape),) = form.outputs.items()
    graph.output(name, x, _shape(shape))


def _convolved(graph: Graph, x: Value, block: str) -> Value:
    return _normalized(graph, conv(graph, x, PART, f"{block}/conv"), block)


def _normalized(graph: Graph, x: Value, block: str) -> Value:
    """Add the response normalization and threshold that follow every convolution."""
    tensors = graph.tensors[PART]
    columns = (1, *graph.shape_of(PART, f"{block}/frn/weight"), 1, 1)
    epsilon = graph.fetched(
        f"{PART}/{block}/frn/abs_eps",
        (1,),
        lambda: np.abs(np.asarray(tensors[f"{block}/frn/eps:0"], np.float32)),
        half=False,
    )
    power = graph.add("ReduceMean", graph.add("Mul", x, x), axes=[2, 3], keepdims=1)
    x = graph.add("Div", x, graph.add("Sqrt", graph.add("Add", power, epsilon)))
    for kind, key in (("Mul", "frn/weight"), ("Add", "frn/bias"), ("Max", "tlu/tau")):
        x = graph.add(kind, x, graph.weight(PART, f"{block}/{key}", half=False, shape=columns))
    return x


def _blur_pool(graph: Graph, x: Value, channels: int, size: int) -> Value:
    kernel = np.broadcast_to(BlurPool(size).kernel.astype(np.float32), (channels, 1, size, size))
    before, after = (size - 1) // 2, size // 2
    return graph.add(
        "Conv",
        x,
        graph.constant(f"blur_{size}x{channels}", kernel),
        kernel_shape=[size, size],
        strides=[2, 2],
        pads=[before, before, after, after],
        group=channels,
    )


def _doubled(graph: Graph, x: Value, name: str) -> Value:
    """Add a transposed convolution of stride 2 with TensorFlow's SAME padding."""
    size = graph.shape_of(PART, f"{name}/weight")[0]
    return graph.add(
        "ConvTranspose",
        x,
        graph.weight(PART, f"{name}/weight", half=False, order=(3, 2, 0, 1)),
        graph.weight(PART, f"{name}/bias", half=False),
        kernel_shape=[size, size],
        strides=[2, 2],
        pads=[0, 0, size - 2, size - 2],
    )


def masked(
    model: FaceModel, face: npt.NDArray[np.float32], morph: float
) -> dict[str, npt.NDArray[np.float32]]:
    """Return what the output of a file of an XSeg model must be; see `ExportForm.expectation`."""
    logits = np.asarray(model.outputs(face)["logits"], np.float64)
    return {"out_mask:0": (1 / (1 + np.exp(-logits))).astype(np.float32)}

"""Write an ONNX graph piece by piece, with weights that are fetched only while the file is written.

The graph is NCHW. A file is made of a small skeleton (nodes, inputs, outputs) and the weights,
which go to disk one at a time: besides the model itself only the largest single weight is in
memory.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt

from dfl_tf.disk.text import printable
from dfl_tf.errors import ExportError
from dfl_tf.extras import install_command

if TYPE_CHECKING:
    import keras
    from onnx import ModelProto, NodeProto, ValueInfoProto

Array = npt.NDArray[np.number]
# Part (file stem) to legacy key to anything with a shape that NumPy can read.
Tensors = Mapping[str, Mapping[str, "keras.Variable"]]

SIZE_LIMIT = 2**31 - 1
_RAW_DATA, _INITIALIZER, _GRAPH = 9, 5, 7  # field numbers of TensorProto, GraphProto, ModelProto


def need(module: str) -> ModuleType:
    """Import a package of the extra ``[export]``.

    Raises
    ------
    ExportError
        If it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ExportError(
            f"Export needs the package {module}, which is not installed ({error}). "
            f"Install the extra export: {install_command('export')}"
        ) from error


def need_all() -> None:
    """Complain now, not after minutes, if a package of the extra ``[export]`` is missing."""
    for module in ("onnx", "onnxruntime"):
        need(module)


class Value(NamedTuple):
    """A tensor inside the graph: its name, and whether it is float16."""

    name: str
    half: bool = False


@dataclass(frozen=True)
class Weight:
    """A weight of the file: type and shape are known, the numbers are fetched when written."""

    dtype: np.dtype[np.generic]
    shape: tuple[int, ...]
    fetch: Callable[[], Array]

    @property
    def nbytes(self) -> int:
        """Size of the numbers in the file."""
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize


class Graph:
    """Nodes and weights of one ONNX graph.

    Parameters
    ----------
    tensors : mapping
        Weights of the networks: part, legacy key, array or variable.
    half : bool
        Whether convolutions are float16. Dense layers, norms and sigmoids are float32 always
        (design decision 23).
    """

    def __init__(self, tensors: Tensors, *, half: bool = False) -> None:
        self.onnx = need("onnx")
        self.tensors = tensors
        self.half = half
        self.nodes: list[NodeProto] = []
        self.inputs: list[ValueInfoProto] = []
        self.outputs: list[ValueInfoProto] = []
        self.weights: dict[str, Weight] = {}
        self._constants: set[str] = set()

    @property
    def parameters(self) -> int:
        """How many numbers of the model the file holds."""
        return sum(
            int(np.prod(weight.shape, dtype=np.int64))
            for name, weight in self.weights.items()
            if name not in self._constants
        )

    # Ends

    def input(self, name: str, shape: Sequence[int | str]) -> Value:
        """Declare an input, float32; a dimension that is a string is free."""
        self.inputs.append(self._declare(name, shape))
        return Value(name)

    def output(self, name: str, value: Value, shape: Sequence[int | str]) -> None:
        """Declare the next output, float32."""
        self.outputs.append(self._declare(name, shape))
        self.nodes.append(self.onnx.helper.make_node("Identity", [value.name], [name]))

    def _declare(self, name: str, shape: Sequence[int | str]) -> ValueInfoProto:
        return self.onnx.helper.make_tensor_value_info(
            name, self.onnx.TensorProto.FLOAT, list(shape)
        )

    # Nodes

    def add(
        self, kind: str, *operands: Value, half: bool | None = None, **attributes: object
    ) -> Value:
        """Add a node with one output, of the precision of its first operand unless given."""
        name = f"{kind}_{len(self.nodes)}"
        node = self.onnx.helper.make_node(
            kind, [operand.name for operand in operands], [name], name=name, **attributes
        )
        self.nodes.append(node)
        return Value(name, operands[0].half if half is None else half)

    def cast(self, x: Value, *, half: bool) -> Value:
        """Bring a tensor to float16 or float32 if it is not yet."""
        if x.half == half:
            return x
        kind = self.onnx.TensorProto.FLOAT16 if half else self.onnx.TensorProto.FLOAT
        return self.add("Cast", x, half=half, to=kind)

    def constant(self, name: str, array: Array) -> Value:
        """Add a constant of our own: an array of any shape and dtype, stored as it is."""
        self.weights[name] = Weight(array.dtype, array.shape, lambda: array)
        self._constants.add(name)
        return Value(name, array.dtype == np.float16)

    def weight(
        self,
        part: str,
        key: str,
        *,
        half: bool,
        order: tuple[int, ...] = (),
        shape: tuple[int, ...] = (),
        change: Callable[[Array], Array] | None = None,
    ) -> Value:
        """Add a weight of a network once, under its legacy name.

        Parameters
        ----------
        part, key : str
            Where it is found; `key` without ``:0``.
        half : bool
            Whether the file stores it as float16; else float32.
        order : tuple of int
            Of its axes in the file, if it differs.
        shape : tuple of int
            Its shape in the file, if it differs (after reordering).
        change : callable, optional
            What is done to the numbers first; takes and gives float32 of the shape of the weight.
        """
        variable = self.tensors[part][f"{key}:0"]
        kept = tuple(variable.shape)
        final = shape or (tuple(kept[axis] for axis in order) if order else kept)

        def fetch() -> Array:
            array: Array = np.asarray(variable, np.float32)
            array = change(array) if change else array
            return (array.transpose(order) if order else array).reshape(final)

        return self.fetched(f"{part}/{key}", final, fetch, half=half)

    def fetched(
        self, name: str, shape: tuple[int, ...], fetch: Callable[[], Array], *, half: bool
    ) -> Value:
        """Add a weight that is computed while the file is written.

        Parameters
        ----------
        name : str
        shape : tuple of int
        fetch : callable
            Gives the values: ndarray, shape `shape`, any floating dtype.
        half : bool
            Whether the file stores it as float16; else float32.
        """
        dtype = np.dtype(np.float16 if half else np.float32)
        name = f"{name}/half" if half else name
        self.weights.setdefault(name, Weight(dtype, shape, fetch))
        return Value(name, half)

    def shape_of(self, part: str, key: str) -> tuple[int, ...]:
        """Return the shape of a weight as the model keeps it."""
        return tuple(self.tensors[part][f"{key}:0"].shape)

    # The file

    def write(self, file: BinaryIO, *, opset: int, metadata: Mapping[str, str], name: str) -> int:
        """Write the graph as one ONNX file; return its size in bytes.

        Parameters
        ----------
        file : binary file
            New and empty.
        opset : int
        metadata : mapping of str to str
        name : str
            What messages call the file.

        Raises
        ------
        ExportError
            If the file would pass 2 GiB, the limit of ONNX, or a weight does not fit float16.
        """
        model = self._skeleton(opset, metadata)
        graph = model.graph.SerializeToString()
        model.ClearField("graph")
        head = model.SerializeToString()
        frames = {name: self._frame(name, weight) for name, weight in self.weights.items()}
        inside = len(graph) + sum(len(frames[n]) + w.nbytes for n, w in self.weights.items())
        size = len(head) + len(_tag(_GRAPH, inside)) + inside
        if size > SIZE_LIMIT:
            raise ExportError(
                f"{name} would be {size} bytes; one ONNX file can have {SIZE_LIMIT}. "
                + (
                    "This model is too large for the format."
                    if self.half
                    else "Export with --precision float16, which is about half as big."
                )
            )

        file.write(head + _tag(_GRAPH, inside) + graph)
        for weight, frame in frames.items():
            file.write(frame)
            file.write(self.numbers(weight))
        return size

    def _skeleton(self, opset: int, metadata: Mapping[str, str]) -> ModelProto:
        from dfl_tf import __version__

        helper = self.onnx.helper
        graph = helper.make_graph(self.nodes, "dfl-tf", self.inputs, self.outputs)
        model = helper.make_model(
            graph,
            producer_name="dfl-tf",
            producer_version=__version__,
            opset_imports=[helper.make_opsetid("", opset)],
        )
        model.ir_version = 7  # what onnxruntime 1.4 and later read; opsets 12 and 13 need no more
        # protobuf takes UTF-8, which names are not always
        helper.set_model_props(model, {key: printable(text) for key, text in metadata.items()})
        return model

    def _frame(self, name: str, weight: Weight) -> bytes:
        """Return the bytes of an initializer that precede its numbers."""
        kind = self.onnx.helper.np_dtype_to_tensor_dtype(weight.dtype)
        proto = self.onnx.TensorProto(name=name, data_type=kind, dims=weight.shape)
        inner = proto.SerializeToString() + _tag(_RAW_DATA, weight.nbytes)
        return _tag(_INITIALIZER, len(inner) + weight.nbytes) + inner

    def numbers(self, name: str) -> memoryview:
        """Return the bytes of a weight as the file holds them.

        Raises
        ------
        ExportError
            If it does not fit float16.
        """
        weight = self.weights[name]
        array = weight.fetch()
        if weight.dtype == np.float16 and np.abs(array).max(initial=0) > np.finfo(np.float16).max:
            raise ExportError(
                f"{name} holds {np.abs(array).max():.3g}, more than float16 can. "
                "Export with --precision float32."
            )
        if array.shape != weight.shape:
            raise ValueError(f"{name} is {array.shape}, declared as {weight.shape}")
        stored = np.ascontiguousarray(array, weight.dtype.newbyteorder("<"))
        return stored.reshape(-1).view(np.uint8).data


def _tag(field: int, length: int) -> bytes:
    """Return the protobuf head of a field that holds `length` bytes."""
    return bytes(_varint(field << 3 | 2)) + bytes(_varint(length))


def _varint(number: int) -> Iterator[int]:
    while number > 0x7F:
        yield number & 0x7F | 0x80
        number >>= 7
    yield number

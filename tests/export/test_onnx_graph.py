"""The writer: one weight in memory at a time, and exactly the bytes that ONNX itself writes."""

from __future__ import annotations

import weakref
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import onnx
import pytest

from dfl_tf.errors import ExportError
from dfl_tf.export import onnx_graph
from dfl_tf.export.onnx_graph import Graph


class Lazy:
    """A weight that notes how many arrays of all weights are alive when it is read."""

    alive: ClassVar[weakref.WeakSet[Any]] = weakref.WeakSet()
    most: ClassVar[int] = 0

    def __init__(self, value: float) -> None:
        self.shape = (200, 300)
        self.value = value

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        array = np.full(self.shape, self.value, dtype or np.float32).view(Tracked)
        Lazy.alive.add(array)
        Lazy.most = max(Lazy.most, len(Lazy.alive))
        return array


class Tracked(np.ndarray):
    __hash__ = object.__hash__  # type: ignore[assignment]


def chain(count: int) -> Graph:
    graph = Graph({"net": {f"dense{i}/weight:0": Lazy(float(i)) for i in range(count)}})
    x = graph.input("x", ["n", 200])
    for i in range(count):
        x = graph.add("MatMul", x, graph.weight("net", f"dense{i}/weight", half=False))
    graph.output("y", x, ["n", 300])
    return graph


def test_weights_are_fetched_one_at_a_time(tmp_path: Path) -> None:
    Lazy.most = 0
    with (tmp_path / "a.onnx").open("xb") as file:
        size = chain(8).write(file, opset=12, metadata={}, name="a.onnx")
    assert size == (tmp_path / "a.onnx").stat().st_size > 8 * 200 * 300 * 4
    assert Lazy.most <= 2


def test_the_file_is_what_onnx_writes(tmp_path: Path) -> None:
    with (tmp_path / "a.onnx").open("xb") as file:
        chain(3).write(file, opset=12, metadata={"a": "b"}, name="a.onnx")
    data = (tmp_path / "a.onnx").read_bytes()
    model = onnx.ModelProto.FromString(data)
    assert len(model.SerializeToString()) == len(data)
    arrays = {w.name: onnx.numpy_helper.to_array(w) for w in model.graph.initializer}
    assert list(arrays) == [f"net/dense{i}/weight" for i in range(3)]
    assert [float(array.max()) for array in arrays.values()] == [0.0, 1.0, 2.0]
    assert model.producer_name == "dfl-tf"


def test_a_missing_package_is_named_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> Any:
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr(onnx_graph.importlib, "import_module", absent)
    with pytest.raises(ExportError, match=r'needs the package onnx.*pip install "onnx'):
        onnx_graph.need_all()

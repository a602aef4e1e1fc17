"""Plain Python values as JSON without loss: tuples, bytes, NaN, non-text keys, and arrays beside.

A value that JSON knows stays as it is. Everything else becomes an object with one `$kind` key.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from dfl_tf.errors import ModelFileError
from dfl_tf.formats.pickles.tokens import EnumValue

if TYPE_CHECKING:
    from dfl_tf.formats.models.tensor import Tensor

_MAX_DEPTH = 60


def encode(value: object, arrays: dict[str, Tensor]) -> object:
    """JSON-able form of `value`; arrays of any shape go to `arrays` under running numbers.

    Raises
    ------
    TypeError
        For a type that model files do not hold.
    """
    if value is None or isinstance(value, bool | str) or type(value) is int:
        return value
    if isinstance(value, np.ndarray | np.generic):
        if value.dtype.kind in "cSU":
            return {"$text": [value.dtype.str, list(value.shape), _base64(value.tobytes())]}
        arrays[str(len(arrays))] = value
        return {"$array": str(len(arrays) - 1)}
    if type(value) is float:
        return value if math.isfinite(value) else {"$float": str(value)}
    if isinstance(value, bytes):
        return {"$bytes": _base64(value)}
    if isinstance(value, EnumValue):
        return {"$enum": [value.module, value.name, int(value)]}
    if isinstance(value, tuple):
        return {"$tuple": [encode(item, arrays) for item in value]}
    if isinstance(value, list):
        return [encode(item, arrays) for item in value]
    if isinstance(value, dict):
        if all(isinstance(key, str) and not key.startswith("$") for key in value):
            return {str(key): encode(item, arrays) for key, item in value.items()}
        pairs = [[encode(k, arrays), encode(v, arrays)] for k, v in value.items()]
        return {"$dict": pairs}
    raise TypeError(f"cannot store a {type(value).__name__} with a model")


def decode(value: object, arrays: Mapping[str, Tensor], *, what: str) -> object:
    """The value that `encode` was given, with arrays of any shape.

    Raises
    ------
    ModelFileError
    """
    try:
        return _decode(value, arrays, 0)
    except (KeyError, ValueError, TypeError, IndexError, OverflowError) as error:
        raise ModelFileError(f"{what}: damaged ({str(error)[:120]}).") from None


def _decode(value: object, arrays: Mapping[str, Tensor], depth: int) -> object:
    if depth > _MAX_DEPTH:
        raise ValueError("nested too deeply")
    if isinstance(value, list):
        return [_decode(item, arrays, depth + 1) for item in value]
    if not isinstance(value, dict):
        return value
    kind = next(iter(value), "")
    if not kind.startswith("$"):
        return {key: _decode(item, arrays, depth + 1) for key, item in value.items()}
    content = value[kind]
    if kind == "$array":
        return arrays[content]
    if kind == "$float":
        return float(content)
    if kind == "$bytes":
        return base64.b64decode(content, validate=True)
    if kind == "$tuple":
        return tuple(_decode(item, arrays, depth + 1) for item in content)
    if kind == "$dict":
        return {_decode(k, arrays, depth + 1): _decode(v, arrays, depth + 1) for k, v in content}
    if kind == "$enum":
        return EnumValue(str(content[0]), str(content[1]), int(content[2]))
    if kind == "$text":
        dtype = np.dtype(content[0])
        if dtype.kind not in "cSU":
            raise ValueError(f"dtype {dtype}")
        raw = bytearray(base64.b64decode(content[2], validate=True))
        return np.frombuffer(raw, dtype).reshape(content[1])[()]
    raise ValueError(f"unknown kind {kind[:20]}")


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")

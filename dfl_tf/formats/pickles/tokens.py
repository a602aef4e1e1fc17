"""What the allowed names of a pickle stand for: inert objects that check what they are given.

No NumPy constructor is ever called with arguments from a file. `numpy.dtype` becomes a `_DType`
that knows number types only; `_reconstruct` makes a shell, and only its state (shape, dtype and
bytes, which must agree exactly) makes the array.

References: models.md 5.8, data.md 1.6, 2.2.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

from dfl_tf.errors import UnsafePickleError
from dfl_tf.formats.pickles.objects import Buildable, Damaged, inert

_DTYPE = re.compile(r"[<>|=]?(?:b1|i[1248]|u[1248]|f[248]|c8|c16|\?|[SU][1-9][0-9]{0,3})")
_MAX_DIMENSIONS = 16


class EnumValue(int):
    """A member of an `IntEnum` of the legacy program: its number, and where it came from.

    Attributes
    ----------
    module, name : str
        The class as the pickle names it, e.g. `facelib.FaceType`, `FaceType`.
    """

    module: str
    name: str

    def __new__(cls, module: str, name: str, value: int) -> EnumValue:
        """Make the member of class `module.name` with number `value`."""
        made = super().__new__(cls, value)
        made.module, made.name = module, name
        return made

    def __repr__(self) -> str:
        return f"{self.name}({int(self)})"


@inert
class CallToken:
    """An allowed global that may be called."""

    def __init__(self, name: str, function: Callable[..., object]) -> None:
        self._name, self._function = name, function

    def call(self, args: tuple[object, ...]) -> object:
        """Call it; a wrong number of arguments is damage, no programming mistake."""
        return self._function(*args)

    def __str__(self) -> str:
        return self._name


@inert
class NamedToken:
    """An allowed global that is only ever an argument (`numpy.ndarray`)."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __str__(self) -> str:
        return self._name


@inert
class _DType(Buildable):
    """`numpy.dtype(code, align, copy)` and its state, for plain number and text types."""

    def __init__(self, code: object, *_: object) -> None:
        if not isinstance(code, str):
            raise Damaged("makes a dtype of something that is not text")
        if not _DTYPE.fullmatch(code):
            raise UnsafePickleError(
                f"an array has dtype {code[:40]!r}; allowed are bool, integer, float, complex and "
                "text types (never objects or raw records)."
            )
        self.dtype = np.dtype(code)

    def build(self, state: object) -> _DType:
        if not isinstance(state, tuple) or len(state) < 5 or any(x is not None for x in state[2:5]):
            raise UnsafePickleError("an array has a structured dtype; allowed are plain types.")
        if state[1] not in ("<", ">", "|", "="):
            raise Damaged(f"has byte order {str(state[1])[:20]!r}")
        if state[1] in "<>":
            self.dtype = self.dtype.newbyteorder(state[1])
        return self

    def __str__(self) -> str:
        return "numpy.dtype"


def _raw_bytes(raw: object) -> bytes | memoryview:
    if not isinstance(raw, bytes | memoryview):
        raise Damaged(f"an array's data is a {type(raw).__name__}, not bytes")
    return raw


def _array(raw: object, dtype: object, shape: object, *, fortran: bool) -> npt.NDArray[np.generic]:
    """An array of its own memory, after shape and dtype have been compared with the bytes."""
    if not isinstance(dtype, _DType):
        raise Damaged("an array's dtype is none")
    data = _raw_bytes(raw)
    if not isinstance(shape, tuple) or len(shape) > _MAX_DIMENSIONS:
        raise Damaged("an array's shape is not a short tuple")
    if any(type(n) is not int or n < 0 or n > 2**48 for n in shape):
        raise Damaged("an array's shape holds something that is not a size")
    needed = math.prod(shape) * dtype.dtype.itemsize
    if needed != len(data):
        raise Damaged(
            f"an array of shape {shape} and dtype {dtype.dtype} needs {needed} bytes, "
            f"{len(data)} are there"
        )
    if dtype.dtype.kind == "b" and np.any(np.frombuffer(data, np.uint8) > 1):
        raise Damaged("a bool array holds other values than 0 and 1")
    made = np.frombuffer(data, dtype.dtype).reshape(shape, order="F" if fortran else "C")
    return np.array(made, dtype=dtype.dtype.newbyteorder("="), order="C")


@inert
class _ArrayShell(Buildable):
    """What `_reconstruct` makes: nothing, until its state comes."""

    def build(self, state: object) -> npt.NDArray[np.generic]:
        if not isinstance(state, tuple) or len(state) not in (4, 5):
            raise Damaged("an array's state is not a tuple of five")
        shape, dtype, fortran, raw = state[-4:]
        if isinstance(raw, list):
            raise UnsafePickleError("an array holds objects; allowed are numbers and text.")
        return _array(raw, dtype, shape, fortran=bool(fortran))

    def __str__(self) -> str:
        return "unfinished array"


def _reconstruct(subtype: object, *_: object) -> _ArrayShell:
    if subtype is not _NDARRAY:
        raise Damaged("reconstructs something that is not an ndarray")
    return _ArrayShell()


def _scalar(dtype: object, raw: object) -> object:
    data = _raw_bytes(raw)
    return _array(data, dtype, (), fortran=False)[()]


def _from_buffer(raw: object, dtype: object, shape: object, order: object) -> object:
    return _array(raw, dtype, shape, fortran=order == "F")


def _encode(text: object, encoding: object) -> bytes:
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise Damaged("encodes something else than text as latin1")
    return text.encode("latin1")


def _bytes(*args: object) -> bytes:
    if not args:
        return b""
    raw = args[0]
    if len(args) > 1 or not isinstance(raw, bytes | memoryview):
        raise Damaged("makes bytes of something else than bytes")
    return bytes(raw)


def _bytearray(*args: object) -> bytes:
    if len(args) == 2:
        return _encode(*args)
    return _bytes(*args)


def _enum(module: str, name: str) -> CallToken:
    def make(value: object) -> EnumValue:
        if not isinstance(value, int) or not -(2**31) <= value < 2**31:
            raise Damaged(f"makes a {name} of something that is not a number")
        return EnumValue(module, name, value)

    return CallToken(f"{module}.{name}", make)


_NDARRAY = NamedToken("numpy.ndarray")

ENUMS = (
    ("facelib.FaceType", "FaceType"),
    ("samplelib.Sample", "SampleType"),
    ("core.imagelib.SegIEPolys", "SegIEPolyType"),
)


def _allowed() -> Mapping[tuple[str, str], object]:
    table: dict[tuple[str, str], object] = {
        ("numpy", "ndarray"): _NDARRAY,
        ("numpy", "dtype"): CallToken("numpy.dtype", _DType),
        ("_codecs", "encode"): CallToken("_codecs.encode", _encode),
    }
    for core in ("numpy.core", "numpy._core"):
        table[f"{core}.multiarray", "_reconstruct"] = CallToken("_reconstruct", _reconstruct)
        table[f"{core}.multiarray", "scalar"] = CallToken("scalar", _scalar)
        table[f"{core}.numeric", "_frombuffer"] = CallToken("_frombuffer", _from_buffer)
    for builtins in ("builtins", "__builtin__"):
        table[builtins, "bytes"] = CallToken("bytes", _bytes)
        table[builtins, "bytearray"] = CallToken("bytearray", _bytearray)
    for module, name in ENUMS:
        table[module, name] = _enum(module, name)
    return table


ALLOWED = _allowed()
"""(module, name) -> token, for model files, face files and paks."""

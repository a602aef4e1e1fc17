"""How networks and losses are written into a graph: the one set of choices that steers tracing."""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dfl_tf_ops.convolution_forms import FormChooser


@dataclass(frozen=True, kw_only=True)
class Tracing:
    """Forms of the same computation; they differ in speed, memory and rounding only.

    Attributes
    ----------
    blur_as_matmul : bool
        Fixed filters are matrix products, for XLA, which has kernels of its own for the rest.
    blur_as_depthwise : bool
        Fixed filters are depthwise convolutions in float32, too: on a GPU, where matrix products
        and ordinary convolutions are rounded to TF32 in the whole process.
    recompute : bool
        Gradients keep the inputs of blocks only and compute what lies inside a second time.
    widen : bool
        Half-precision numbers are multiplied in float32 (`nn.tensors.product`).
    weight_gradient_by_gemm : bool
        Gradients of convolution kernels are matrix products.
    winograd : bool
        3x3 convolutions take 16 multiplications for 36 where a kernel for that is there
        (`dfl_tf_ops.convolution`).
    forms : FormChooser, optional
        Chooses the form of large convolutions by measurement; what is above holds for the others.
    fused : bool
        Filter response norms with their thresholds, and blurs with stride 2, are one C++ operation
        each where the library is in use (`dfl_tf_ops.normalization`, `dfl_tf_ops.blur_pool`).
    named : bool
        Operations of `dssim` bear its name, and so do their gradients: for profiles.
    """

    blur_as_matmul: bool = False
    blur_as_depthwise: bool = False
    recompute: bool = False
    widen: bool = False
    weight_gradient_by_gemm: bool = False
    winograd: bool = False
    forms: FormChooser | None = None
    fused: bool = False
    named: bool = False


_PLAIN = Tracing()
_current: contextvars.ContextVar[Tracing] = contextvars.ContextVar("tracing", default=_PLAIN)


def tracing() -> Tracing:
    """Return the choices for the code at hand; all off by default."""
    return _current.get()


@contextlib.contextmanager
def traced_with(chosen: Tracing) -> Iterator[None]:
    """Choose for the code within."""
    token = _current.set(chosen)
    try:
        yield
    finally:
        _current.reset(token)

"""A product and a sum that are rounded once, inside compiled kernels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from dfl_tf_ops.jit import intrinsic, ir, types

if TYPE_CHECKING:
    from dfl_tf_ops.jit import BaseContext, CPUContext, Signature

    Emit = Callable[[CPUContext, ir.IRBuilder, Signature, Sequence[ir.Value]], ir.Value]


@intrinsic
def fused(
    typing: BaseContext, a: types.Type, b: types.Type, c: types.Type
) -> tuple[Signature, Emit]:
    """Return a b + c of float32."""

    def build(
        context: CPUContext, builder: ir.IRBuilder, signature: Signature, args: Sequence[ir.Value]
    ) -> ir.Value:
        return builder.fma(*args)

    return types.float32(types.float32, types.float32, types.float32), build

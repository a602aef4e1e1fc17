"""SwapModel: a FaceModel that puts the src face on dst."""

from __future__ import annotations

import abc
from collections.abc import Callable, Sequence
from typing import ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from dfl_tf.models.base import FaceModel
from dfl_tf.models.swap_input import checked_morph, face_batch


class SwapOutput(NamedTuple):
    """What merging needs: float32 (n, r, r, 3) image, its (n, r, r, 1) mask, the dst mask."""

    image: npt.NDArray[np.float32]
    mask: npt.NDArray[np.float32]
    dst_mask: npt.NDArray[np.float32]


class DstOutput(NamedTuple):
    """All that is made of dst faces: the swap and dst itself, images and masks.

    Shapes (n, r, r, 3) and (n, r, r, 1). The image of dst is None of a class that makes none.
    """

    swap: tf.Tensor
    swap_mask: tf.Tensor
    dst: tf.Tensor
    dst_mask: tf.Tensor


class SwapModel(FaceModel):
    """A model of two people: what merging, export and load_model's users ask it for.

    Attributes
    ----------
    takes_morph : bool
        Whether the share of src can be chosen when the model is used.
    """

    takes_morph: ClassVar[bool] = False

    @abc.abstractmethod
    def swap_tensors(self, face: tf.Tensor, morph: tf.Tensor | None = None) -> SwapOutput:
        """Compute `swap` as tensors of the model's precision; can be traced.

        Parameters
        ----------
        face : tensor, shape (n, r, r, 3), nominally in [0, 1], BGR
            The dst faces; r is the model's resolution.
        morph : scalar tensor, float32, in [0, 1], optional
            Share of src; without it all src. Plays no part where the model takes none.

        Returns
        -------
        SwapOutput
            Image, shape (n, r, r, 3), and two masks, shape (n, r, r, 1), all in [0, 1].
        """

    def swap(self, face: npt.ArrayLike, morph: float | None = None) -> SwapOutput:
        """Put the src face on dst faces.

        Parameters
        ----------
        face : ndarray or tensor
            BGR, shape (n, r, r, 3), or (r, r, 3) for one face; r is the model's resolution. Floats
            in [0, 1], or uint8, which is divided by 255.
        morph : float, optional
            Share of src, in [0, 1] (1 = all src), if the model `takes_morph`.

        Returns
        -------
        SwapOutput
            NumPy arrays, float32 in [0, 1]; without the first axis if one face was given so.

        Raises
        ------
        TypeError, ValueError
            If dtype, shape or range of `face`, or `morph`, are others.
        """
        faces, single = face_batch(face, int(self.options.resolution))
        morph = checked_morph(morph)
        given = () if morph is None else (tf.constant(morph, tf.float32),)
        tensor = tf.cast(tf.convert_to_tensor(faces), self.dtype)
        output = self.run_graph("swap", self.swap_tensors, tensor, *given)
        arrays = [np.asarray(x, np.float32) for x in output]
        return SwapOutput(*(x[0] if single else x for x in arrays))

    def src_tensors(self, face: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor] | None:
        """Compute src faces as the model reproduces them; can be traced.

        Parameters
        ----------
        face : tensor, shape (n, r, r, 3), nominally in [0, 1], BGR

        Returns
        -------
        (tensor, tensor) or None
            Image, shape (n, r, r, 3), and mask, shape (n, r, r, 1), in [0, 1]. None of a class
            that does not say how it reproduces faces: its reconstructions are not measured.
        """
        return None

    def dst_tensors(self, face: tf.Tensor) -> DstOutput:
        """Compute the swap, all src, and the reproduction of dst faces; can be traced.

        Parameters
        ----------
        face : tensor, shape (n, r, r, 3), nominally in [0, 1], BGR
        """
        swap = self.swap_tensors(face)
        return DstOutput(swap.image, swap.mask, None, swap.dst_mask)

    def src_to_src(self, face: npt.ArrayLike) -> tuple[npt.NDArray[np.float32], ...] | None:
        """Reproduce src faces; arrays as in `swap`, result as in `src_tensors`, as NumPy arrays."""
        found = self._arrays("src to src", self.src_tensors, face)
        return None if found is None else tuple(x for x in found if x is not None)

    def dst_to_all(self, face: npt.ArrayLike) -> DstOutput:
        """Swap and reproduce dst faces; arrays as in `swap`, result as NumPy arrays."""
        return DstOutput(*(self._arrays("dst to all", self.dst_tensors, face) or ()))

    def _arrays(
        self,
        kind: str,
        function: Callable[[tf.Tensor], Sequence[tf.Tensor | None] | None],
        face: npt.ArrayLike,
    ) -> tuple[npt.NDArray[np.float32] | None, ...] | None:
        faces, _ = face_batch(face, int(self.options.resolution))
        output = self.run_graph(kind, function, tf.cast(tf.convert_to_tensor(faces), self.dtype))
        if output is None:
            return None
        return tuple(None if x is None else np.asarray(x, np.float32) for x in output)

    def outputs(self, face: npt.NDArray[np.float32]) -> dict[str, npt.NDArray[np.float32]]:
        """Return the swap of faces, half morphed if the model `takes_morph`, and both masks.

        See `FaceModel.outputs`.
        """
        output = self.swap(face, 0.5 if self.takes_morph else None)
        return dict(zip(("swap", "swap mask", "dst mask"), output, strict=True))

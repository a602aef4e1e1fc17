"""What programs want of an exported file: names, order and layout of inputs and outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

# Programs take inputs by name and outputs by position; -1 is the model's own side.
Ports = dict[str, tuple[int | str, ...]]
_FACE: Ports = {"in_face:0": ("N", -1, -1, 3)}
_DFM_OUTPUTS: Ports = {
    "out_face_mask:0": ("N", -1, -1, 1),
    "out_celeb_face:0": ("N", -1, -1, 3),
    "out_celeb_face_mask:0": ("N", -1, -1, 1),
}
FORMS: dict[str, tuple[Ports, Ports]] = {
    "SAEHD": (_FACE, _DFM_OUTPUTS),
    "AMP": (_FACE | {"morph_value:0": (1,)}, _DFM_OUTPUTS),
}
XSEG_FORMS: dict[str, tuple[Ports, Ports]] = {
    "dfl": (_FACE, {"out_mask:0": ("N", -1, -1, 1)}),
    "facefusion": ({"input": ("N", -1, -1, 3)}, {"out_mask:0": ("N", -1, -1, 1)}),
    "visomaster": ({"in_face:0": (1, 3, -1, -1)}, {"out_mask:0": (1, 1, -1, -1)}),
}
"""What programs want of an XSeg file, by the program; "dfl" is DeepFaceLab's own form."""


@dataclass(frozen=True)
class Entry:
    """How a file of `FORMS` or `XSEG_FORMS` wants its faces: input name, side, layout, batch."""

    name: str
    side: int
    channels_first: bool
    single: bool

    @classmethod
    def of(cls, runner: Any) -> Entry:
        """Read it from an open session of ONNX Runtime."""
        port = runner.get_inputs()[0]
        first = is_channels_first(port.shape)
        return cls(port.name, port.shape[2 if first else 1], first, port.shape[0] == 1)

    def laid_out(self, images: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Bring (n, h, w, c) images to the layout of the file."""
        return np.ascontiguousarray(images.transpose(0, 3, 1, 2)) if self.channels_first else images


def form_of(inputs: Mapping[str, Any], outputs: Mapping[str, Any]) -> str:
    """Return the class of model that a file with these inputs and outputs is of."""
    if len(outputs) == 1:
        return "XSeg"
    return "AMP" if len(inputs) > 1 else "SAEHD"


def program_of(inputs: Mapping[str, Any]) -> str:
    """Return the program whose form an XSeg file has, as far as its input tells."""
    for program, (wanted, _) in XSEG_FORMS.items():
        for name, (_, shape) in inputs.items():
            first = is_channels_first(wanted.get(name, ()))
            if name in wanted and first == is_channels_first(shape):
                return program
    return "dfl"


def is_channels_first(shape: Sequence[int | str | None]) -> bool:
    """Whether a declared shape of an image is (n, c, h, w)."""
    return len(shape) == 4 and shape[1] in (1, 3) and shape[3] not in (1, 3)

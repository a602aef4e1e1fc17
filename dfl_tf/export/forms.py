"""What programs want of an exported file: names, order and layout of inputs and outputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from dfl_tf.errors import UsageError
from dfl_tf.options import KINDS, ModelKind
from dfl_tf.options.registry import imported

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

    from dfl_tf.export.onnx_graph import Graph
    from dfl_tf.models.base import FaceModel

# Programs take inputs by name and outputs by position; -1 is the model's own side.
Ports = dict[str, tuple[int | str, ...]]
Array = npt.NDArray[np.float32]
Declared = dict[str, tuple[int, tuple[int | str, ...]]]
"""Ports of a file by name: type of the elements, and shape."""


@dataclass(frozen=True, kw_only=True)
class ExportForm:
    """How models of a class become a file for a program: its ports, its graph, what it computes.

    Attributes
    ----------
    inputs, outputs : Ports
        Names and shapes: "N" is a free number of faces, -1 the side of the model's faces.
    build : str or callable
        Takes a `Graph`, the model and this form; adds the declared inputs, the networks and the
        outputs. As ``"package.module:name"`` it is imported when it is needed.
    expected : str or callable
        Takes the model, faces (n, r, r, 3) float32 in [0, 1] BGR and a morph value; returns what
        the outputs must be, by name, with the channels last.
    file : str
        Name of the file beside the model; ``{name}`` and ``{model_class}`` are filled in.
    opset : int
        Of ONNX.
    half : bool
        Whether a file with float16 convolutions can be made.
    tolerance : float or None
        Largest difference allowed from the model; None is `onnx_check.TOLERANCES`, by precision.
    """

    inputs: Ports
    outputs: Ports
    build: str | Callable[[Graph, FaceModel, ExportForm], None]
    expected: str | Callable[[FaceModel, Array, float], dict[str, Array]]
    file: str
    opset: int = 12
    half: bool = True
    tolerance: float | None = None

    def builder(self) -> Callable[[Graph, FaceModel, ExportForm], None]:
        """Return what `build` names."""
        return imported(self.build)

    def expectation(self) -> Callable[[FaceModel, Array, float], dict[str, Array]]:
        """Return the function that `expected` names.

        It takes a model, faces of shape (n, side, side, 3), float32 BGR in [0, 1], and a morph
        value; it gives each output of the file by name, float32 with the channels last.
        """
        return imported(self.expected)


FACE: Ports = {"in_face:0": ("N", -1, -1, 3)}
MORPH: Ports = {"morph_value:0": (1,)}
DFM_OUTPUTS: Ports = {
    "out_face_mask:0": ("N", -1, -1, 1),
    "out_celeb_face:0": ("N", -1, -1, 3),
    "out_celeb_face_mask:0": ("N", -1, -1, 1),
}
# XSeg's norms amplify rounding where channels are nearly dead: TensorFlow's float32 is up to 2e-4
# from float64 then (ONNX Runtime's is nearer).
_XSEG_TOLERANCE = 5e-4


def _dfm(name: str, inputs: Ports) -> dict[str, ExportForm]:
    form = ExportForm(
        inputs=inputs,
        outputs=DFM_OUTPUTS,
        build=f"dfl_tf.export.dfm:{name}",
        expected="dfl_tf.export.dfm:swapped",
        file="{name}_{model_class}_model.dfm",
    )
    return {"dfm": form}


def _xseg(file: str, inputs: Ports, mask: tuple[int | str, ...] = ("N", -1, -1, 1)) -> ExportForm:
    return ExportForm(
        inputs=inputs,
        outputs={"out_mask:0": mask},
        build="dfl_tf.export.xseg:xseg_graph",
        expected="dfl_tf.export.xseg:masked",
        file=file,
        opset=13,
        half=False,
        tolerance=_XSEG_TOLERANCE,
    )


SAEHD_FORMS = _dfm("saehd_graph", FACE)
AMP_FORMS = _dfm("amp_graph", FACE | MORPH)
XSEG_FORMS = {
    "dfl": _xseg("XSeg_model.onnx", FACE),
    "facefusion": _xseg("XSeg_model_facefusion.onnx", {"input": ("N", -1, -1, 3)}),
    "visomaster": _xseg(
        "XSeg_model_visomaster.onnx", {"in_face:0": (1, 3, -1, -1)}, (1, 1, -1, -1)
    ),
}
"""What programs want of an XSeg file, by the program; "dfl" is DeepFaceLab's own form."""


def form_of(kind: ModelKind, program: str | None = None) -> ExportForm:
    """Return the form of the files of a class for a program; by default its first.

    Raises
    ------
    UsageError
        If the class has no export, or none for the program.
    """
    forms = kind.export_forms()
    if not forms:
        known = ", ".join(name for name, other in KINDS.items() if other.exports)
        raise UsageError(
            f"{kind.name} has no export: no other program opens it. There is one for {known}."
        )
    if program is not None and program not in forms:
        raise UsageError(f"{kind.name} is not exported for {program!r}. Known: {', '.join(forms)}.")
    return forms[program or next(iter(forms))]


@dataclass(frozen=True)
class Entry:
    """How a file wants its faces: input name, side, layout, batch."""

    name: str
    side: int
    channels_first: bool
    single: bool

    @classmethod
    def of(cls, runner: InferenceSession) -> Entry:
        """Read it from an open session of ONNX Runtime."""
        port = runner.get_inputs()[0]
        first = is_channels_first(port.shape)
        return cls(port.name, port.shape[2 if first else 1], first, port.shape[0] == 1)

    def laid_out(self, images: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Bring images of shape (n, h, w, c), any dtype, to the layout of the file."""
        return np.ascontiguousarray(images.transpose(0, 3, 1, 2)) if self.channels_first else images


def fitting(inputs: Declared, outputs: Declared, model_class: str | None = None) -> tuple[str, str]:
    """Return the class and the program whose form is nearest to the ports of a file.

    Parameters
    ----------
    inputs, outputs : mapping of str to (type, shape)
        Ports of the file by name.
    model_class : str, optional
        Only forms of this class.

    Raises
    ------
    UsageError
        If the class has no export.
    """
    names = (model_class,) if model_class else tuple(KINDS)
    forms = {
        (name, program): form
        for name in names
        for program, form in KINDS[name].export_forms().items()
    }
    if not forms:
        raise UsageError(f"{model_class} has no export; no other program opens it.")

    def distance(key: tuple[str, str]) -> tuple[int, int, int, int]:
        form = forms[key]
        return (
            int((len(outputs) == 1) != (len(form.outputs) == 1)),
            int((len(inputs) > 1) != (len(form.inputs) > 1)),
            len(form.inputs.keys() ^ inputs.keys()) + len(form.outputs.keys() ^ outputs.keys()),
            sum(
                is_channels_first(form.inputs[name]) != is_channels_first(shape)
                for name, (_, shape) in inputs.items()
                if name in form.inputs
            ),
        )

    return min(forms, key=distance)


def is_channels_first(shape: Sequence[int | str | None]) -> bool:
    """Whether a declared shape of an image is (n, c, h, w)."""
    return len(shape) == 4 and shape[1] in (1, 3) and shape[3] not in (1, 3)

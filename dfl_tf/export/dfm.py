"""Export SAEHD and AMP models to DFM, the ONNX file that live and merge programs open.

References: models.md 6, tools.md 9, design decisions 10 and 23.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from dfl_tf.disk.durable import replacing
from dfl_tf.errors import UsageError
from dfl_tf.export import onnx_check
from dfl_tf.export.forms import ExportForm, form_of
from dfl_tf.export.onnx_graph import Graph, Tensors, Value
from dfl_tf.export.onnx_networks import FaceNetworks, dense
from dfl_tf.export.report import ExportReport, provenance, watch_memory
from dfl_tf.models.df_liae import Archi
from dfl_tf.models.keys import legacy_key
from dfl_tf.options import KINDS

if TYPE_CHECKING:
    from dfl_tf.models.amp.model import AMP
    from dfl_tf.models.base import FaceModel
    from dfl_tf.models.saehd.model import SAEHD
    from dfl_tf.models.swap import SwapModel

Precision = Literal["float32", "float16"]
AMP_ARCHI = Archi.parse("df-udt")  # AMP's encoder and decoder are those of these letters


def export_dfm(
    model: FaceModel,
    path: Path,
    *,
    precision: Precision = "float32",
    with_provenance: bool = True,
    verify: bool = True,
    tolerance: float | None = None,
) -> ExportReport:
    """Write a model as a DFM file.

    Parameters
    ----------
    model : FaceModel
        SAEHD or AMP; without discriminators and optimizers (``training=False``) is enough.
    path : Path
        Replaced only when the new file is whole and verified.
    precision : {"float32", "float16"}
        Of the convolutions inside; inputs and outputs are float32 always.
    with_provenance : bool
        Whether the file says what it is, see `report.provenance`.
    verify : bool
        Whether the file is checked and compared with the model before it takes its place.
    tolerance : float, optional
        Largest difference allowed; by default `onnx_check.TOLERANCES`.

    Returns
    -------
    ExportReport

    Raises
    ------
    UsageError
        If the class has no DFM form.
    ExportError
        If a package of the extra ``[export]`` is missing, the file would be too large, or it does
        not pass the checks.
    """
    if "dfm" not in model.kind.export_forms():
        known = ", ".join(name for name, kind in KINDS.items() if "dfm" in kind.export_forms())
        raise UsageError(f"{model.model_class} has no DFM export. It exists for: {known}.")
    return export_model(
        model,
        path,
        program="dfm",
        precision=precision,
        with_provenance=with_provenance,
        verify=verify,
        tolerance=tolerance,
    )


def export_model(
    model: FaceModel,
    path: Path,
    *,
    program: str | None = None,
    precision: Precision = "float32",
    with_provenance: bool = True,
    verify: bool = True,
    tolerance: float | None = None,
) -> ExportReport:
    """Write a model as a file for a program; see `export_dfm`.

    Parameters
    ----------
    program : str, optional
        Key of `ModelKind.exports`; by default the first.
    """
    form = form_of(model.kind, program)
    fixed = tolerance or form.tolerance or onnx_check.TOLERANCES[precision]
    if precision != "float32" and not form.half:
        raise UsageError(f"{model.model_class} is exported as float32 only.")
    return save(
        graph_of(model, program, half=precision == "float16"),
        model,
        path,
        precision=precision,
        opset=form.opset,
        with_provenance=with_provenance,
        tolerance=fixed if verify else None,
        program=program,
    )


def graph_of(model: FaceModel, program: str | None = None, *, half: bool = False) -> Graph:
    """Describe what the file of a model holds; no weight is fetched yet.

    Raises
    ------
    UsageError
        See `form_of`.
    """
    graph = Graph(tensors_of(model), half=half)
    form = form_of(model.kind, program)
    form.builder()(graph, model, form)
    return graph


def save(
    graph: Graph,
    model: FaceModel,
    path: Path,
    *,
    precision: str,
    opset: int,
    with_provenance: bool,
    tolerance: float | None,
    program: str | None = None,
) -> ExportReport:
    """Write a graph beside `path`, check it unless `tolerance` is None, and put it in its place.

    `program` is that of `onnx_check.check`.

    Raises
    ------
    ExportError
        See `export_dfm`; what was at `path` is still there then.
    """
    metadata = provenance(model, precision) if with_provenance else {}
    with replacing(path, suffix=path.suffix) as file:
        with watch_memory() as written:
            size = graph.write(file, opset=opset, metadata=metadata, name=path.name)
            file.flush()
        verification = None
        with watch_memory() as verified:
            if tolerance is not None:
                beside = Path(file.name)
                verification = onnx_check.check(
                    beside, model, graph, tolerance=tolerance, program=program
                )
    return ExportReport(
        path=path,
        model_class=model.model_class,
        precision=precision,
        opset=opset,
        parameters=graph.parameters,
        size=size,
        metadata=metadata,
        written_peak=written.bytes,
        verified_peak=verified.bytes,
        verification=verification,
    )


def tensors_of(model: FaceModel) -> Tensors:
    """Return the variables of a model's networks by part and legacy key."""
    return {
        part: {legacy_key(variable): variable for variable in network.weights}
        for part, network in model.networks.items()
    }


def saehd_graph(graph: Graph, model: SAEHD, form: ExportForm) -> None:
    """Add the networks of a SAEHD."""
    options = model.options
    archi = Archi.parse(options.archi)
    nets = FaceNetworks(graph, archi, options.resolution)
    code = nets.encode(_face(graph, options.resolution))
    if archi.flavor == "df":
        swap = dst = nets.inter(code, "inter")
        decoders = {"swap": "decoder_src", "dst": "decoder_dst"}
    else:
        ab, b = nets.inter(code, "inter_AB"), nets.inter(code, "inter_B")
        swap, dst = graph.add("Concat", ab, ab, axis=1), graph.add("Concat", b, ab, axis=1)
        decoders = {"swap": "decoder", "dst": "decoder"}
    _outputs(nets, swap, dst, decoders)


def amp_graph(graph: Graph, model: AMP, form: ExportForm) -> None:
    """Add the networks of an AMP."""
    options = model.options
    nets = FaceNetworks(graph, AMP_ARCHI, options.resolution)
    face = _face(graph, options.resolution)
    morph = graph.input("morph_value:0", [1])
    code = dense(graph, nets.encode(face), "encoder", "dense1")
    src, dst = nets.grid(code, "inter_src"), nets.grid(code, "inter_dst")
    swap = _morphed(graph, src, dst, morph, options.inter_dims)
    _outputs(nets, swap, dst, {"swap": "decoder", "dst": "decoder"})


def _morphed(graph: Graph, src: Value, dst: Value, morph: Value, channels: int) -> Value:
    """Take the first ``int(float32(channels) * morph)`` channels of src, the others of dst.

    Channel i (from 0) is within the truncated product if ``i + 1 <= product``, so the product
    needs no rounding.
    """
    count = graph.constant("inter_dims", np.array(channels, np.float32))
    numbers = np.arange(1, channels + 1, dtype=np.float32).reshape(1, channels, 1, 1)
    product = graph.add("Mul", morph, count)
    beyond = graph.add("Less", product, graph.constant("channel_numbers", numbers))
    return graph.add("Where", beyond, dst, src, half=src.half)


def _face(graph: Graph, resolution: int) -> Value:
    face = graph.input("in_face:0", ["batch", resolution, resolution, 3])
    return graph.add("Transpose", face, perm=[0, 3, 1, 2])


def _outputs(nets: FaceNetworks, swap: Value, dst: Value, decoders: Mapping[str, str]) -> None:
    """Add the decoders and declare the outputs in the order that programs take them."""
    size = nets.resolution
    outputs = {
        "out_face_mask:0": (nets.mask(dst, decoders["dst"]), 1),
        "out_celeb_face:0": (nets.image(swap, decoders["swap"]), 3),
        "out_celeb_face_mask:0": (nets.mask(swap, decoders["swap"]), 1),
    }
    for name, (value, channels) in outputs.items():
        nets.graph.output(name, value, ["batch", size, size, channels])


def swapped(
    model: SwapModel, face: npt.NDArray[np.float32], morph: float
) -> dict[str, npt.NDArray[np.float32]]:
    """Return what the outputs of a DFM file of a model must be; see `ExportForm.expectation`."""
    swap = model.swap(face, morph if model.takes_morph else None)
    return {
        "out_face_mask:0": swap.dst_mask,
        "out_celeb_face:0": swap.image,
        "out_celeb_face_mask:0": swap.mask,
    }

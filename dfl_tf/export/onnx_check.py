"""Check exported files: by form, as the programs that open them need it, and by numbers.

References: models.md 6, tools.md 9.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from dfl_tf.disk.plain_file import open_plain, path_or_content
from dfl_tf.errors import ExportError
from dfl_tf.export.forms import Declared, Entry, Ports, fitting, form_of, is_channels_first
from dfl_tf.export.onnx_graph import SIZE_LIMIT, Graph, need
from dfl_tf.export.report import Verification
from dfl_tf.options import KINDS

if TYPE_CHECKING:
    from google.protobuf.message import Message
    from onnx import ModelProto, ValueInfoProto
    from onnxruntime import InferenceSession

    from dfl_tf.models.base import FaceModel

TOLERANCES = {"float32": 1e-4, "float16": 2e-3}
MAX_OPSET = 13
MAX_IR_VERSION = 8
MAX_SIDE = 2048
BATCHES = (1, 2, 3)
MORPHS = (0.0, 0.65, 1.0)
_NAMED = 5


def check(
    path: Path, model: FaceModel, graph: Graph, *, tolerance: float, program: str | None = None
) -> Verification:
    """Lint a file, compare its weights with its graph's, and what it computes with its model.

    `program` is the key of `ModelKind.exports` that the file must fit.

    Raises
    ------
    ExportError
        With all errors, or with the differences above the tolerance.
    """
    name = path.name
    errors = lint(path, model.model_class, program) or weight_errors(path, graph)
    if errors:
        raise ExportError(f"Export rejected: {name}: {' '.join(errors)}")
    verification = verify(path, model, tolerance=tolerance)
    errors = verification.errors()
    if errors:
        advice = (
            "Take --precision float32, or allow more with --tolerance."
            if tolerance > TOLERANCES["float32"]
            else "The outputs of the file differ from the model's."
        )
        raise ExportError(f"Export rejected: {name}: {' '.join(errors)} {advice}")
    return verification


def lint(path: Path, model_class: str | None = None, program: str | None = None) -> list[str]:
    """Say everything about a file that DeepFaceLive, FaceFusion or VisoMaster would stumble over.

    Parameters
    ----------
    path : Path
    model_class : str, optional
        By default recognized by the names of inputs and outputs.
    program : str, optional
        Key of `ModelKind.exports`; by default recognized by name and layout of the input.

    Returns
    -------
    list of str
        Errors, one sentence each; empty for a good file.
    """
    onnx = need("onnx")
    try:
        open_plain(path).close()
    except OSError as error:
        return [f"It cannot be read ({error.strerror})."]
    if path.stat().st_size > SIZE_LIMIT:
        return [
            f"It is {path.stat().st_size} bytes large; ONNX cannot read more than {SIZE_LIMIT}."
        ]
    try:
        model = onnx.load_model(str(path), format="protobuf", load_external_data=False)
    except Exception as error:  # protobuf has an error class of its own in each of its builds
        return [f"It is not an ONNX file ({type(error).__name__}: {error})."]
    wrong = next(_wrong_texts(model, "model"), None)
    if wrong is not None:
        return [f"Its field {wrong} is not UTF-8 text; the file is damaged."]
    errors = _lint_file(onnx, path, model)
    inputs, outputs = _ports(model)
    found, nearest = fitting(inputs, outputs, model_class)
    form = KINDS[found].export_forms()[program or nearest]
    errors += _lint_ports(onnx, "input", inputs, form.inputs)
    errors += _lint_ports(onnx, "output", outputs, form.outputs)
    return errors + _lint_sizes({**_sides(inputs), **_sides(outputs)})


def weight_errors(path: Path, graph: Graph) -> list[str]:
    """Say which weights of a file of ours are not, bit for bit, those of the graph of its model.

    What a file computes shows a changed weight only if it matters to the images that are tried.

    Parameters
    ----------
    path : Path
        A file that passed `lint`. One of another program names its weights otherwise; about them
        nothing is said.
    graph : Graph
        Of the model, with the precision of the file.
    """
    model = need("onnx").load_model(str(path), format="protobuf")
    # their numbers are copied out one at a time
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    if not stored.keys() & graph.weights.keys():
        return []
    errors = [
        f"The weight {name} {'differs from the model' if name in stored else 'is missing'}."
        for name in graph.weights
        if name not in stored or graph.numbers(name) != memoryview(stored[name].raw_data)
    ]
    foreign = [f"The weight {name} is not of this model." for name in stored.keys() - graph.weights]
    more = len(errors + foreign) - _NAMED
    return (errors + foreign)[:_NAMED] + ([f"So are {more} more."] if more > 0 else [])


def verify(path: Path, model: FaceModel, *, tolerance: float) -> Verification:
    """Compare a file, run by ONNX Runtime on the CPU, with its model.

    Parameters
    ----------
    path : Path
    model : FaceModel
    tolerance : float
        Largest difference allowed of any output.

    Returns
    -------
    Verification
        Of several batch sizes and, for AMP, morph values; inputs are the same every time.

    Raises
    ------
    ExportError
        If the two are of different resolutions.
    """
    runner = session(path)
    names = [output.name for output in runner.get_outputs()]
    entry = Entry.of(runner)
    side = entry.side
    if side != model.options.resolution:
        raise ExportError(
            f"{path.name} is for faces of {side} pixels, the model {model.name} for "
            f"{model.options.resolution}: it was not made from this model."
        )
    expected_of = form_of(model.kind).expectation()
    worst = dict.fromkeys(names, 0.0)
    runs = 0
    for batch, morph in zip(BATCHES, MORPHS, strict=True):
        if batch > 1 and entry.single:
            break
        face = fixed_face(batch, side)
        arrays = {entry.name: entry.laid_out(face)}
        if len(runner.get_inputs()) > 1:
            arrays["morph_value:0"] = np.array([morph], np.float32)
        expected = expected_of(model, face, morph)
        for name, got in zip(names, _run(runner, arrays, path), strict=True):
            error = difference(got, entry.laid_out(expected[name]))
            # not max(): a NaN must stay
            worst[name] = error if not error <= worst[name] else worst[name]
        runs += 1
    return Verification(worst, tolerance, runs)


def try_out(path: Path) -> list[str]:
    """Run a file without its model: say what is not an image in [0, 1] of the declared size."""
    runner = session(path)
    inputs = [port.name for port in runner.get_inputs()]
    entry = Entry.of(runner)
    side = entry.side
    errors = []
    for batch in BATCHES[:1] if entry.single else BATCHES[:2]:
        arrays = {entry.name: entry.laid_out(fixed_face(batch, side))}
        if len(inputs) > 1:
            arrays["morph_value:0"] = np.array([0.5], np.float32)
        for port, array in zip(runner.get_outputs(), _run(runner, arrays, path), strict=True):
            sides = array.shape[2:] if entry.channels_first else array.shape[1:3]
            if (array.shape[0], *sides) != (batch, side, side):
                errors.append(f"The output {port.name} is {array.shape} for {batch} faces.")
            elif not (array.min() >= 0 and array.max() <= 1):
                errors.append(f"The output {port.name} has values outside of 0 … 1.")
    return errors


def made_for(path: Path) -> tuple[str, str]:
    """Return the class of model that a good file is of, and the program it is for."""
    model = need("onnx").load_model(str(path), format="protobuf")
    said = {entry.key: str(entry.value) for entry in model.metadata_props}.get("model_class", "")
    known = said in KINDS and KINDS[said].exports is not None
    return fitting(*_ports(model), said if known else None)


def tolerance_of(path: Path) -> float:
    """Return the tolerance of a good file, by its class and the precision of its weights."""
    model_class, program = made_for(path)
    fixed: float | None = KINDS[model_class].export_forms()[program].tolerance
    return fixed or TOLERANCES["float16" if is_half(path) else "float32"]


def is_half(path: Path) -> bool:
    """Whether a good file holds float16 weights."""
    onnx = need("onnx")
    weights = onnx.load_model(str(path), format="protobuf").graph.initializer
    return any(tensor.data_type == onnx.TensorProto.FLOAT16 for tensor in weights)


def difference(got: Floats, expected: Floats) -> float:
    """Return the largest absolute difference, any shape and dtype; infinite if shapes differ."""
    if got.shape != expected.shape:
        return float("inf")
    return float(np.abs(got.astype(np.float64) - expected).max())


def fixed_face(batch: int, side: int) -> npt.NDArray[np.float32]:
    """Make test images, the same every time: soft colors with some noise.

    Returns
    -------
    ndarray, shape (batch, side, side, 3), float32 in [0, 1]
    """
    rng = np.random.Generator(np.random.PCG64(batch))
    y, x = np.mgrid[0:side, 0:side] / side
    waves = rng.uniform(2, 12, (batch, 1, 1, 3)), rng.uniform(2, 12, (batch, 1, 1, 3))
    soft = 0.5 + 0.3 * np.sin(waves[0] * x[..., None]) * np.cos(waves[1] * y[..., None])
    noisy = soft + rng.normal(0, 0.05, (batch, side, side, 3))
    return np.clip(noisy, 0, 1).astype(np.float32)


def session(path: Path) -> InferenceSession:
    """Open a file in ONNX Runtime, sparing memory.

    Raises
    ------
    ExportError
        If ONNX Runtime refuses it.
    """
    runtime = need("onnxruntime")
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    options.enable_cpu_mem_arena = False
    options.add_session_config_entry("session.disable_prepacking", "1")
    try:
        return runtime.InferenceSession(
            path_or_content(path), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # ONNX Runtime raises classes that it does not export
        raise ExportError(f"{path.name} is refused by ONNX Runtime: {error}") from error


def _run(
    runner: InferenceSession, arrays: Mapping[str, npt.NDArray[np.generic]], path: Path
) -> list[Floats]:
    try:
        return runner.run(None, arrays)
    except Exception as error:  # see `session`
        raise ExportError(f"{path.name} cannot be run by ONNX Runtime: {error}") from error


def _wrong_texts(message: Message, place: str) -> Iterator[str]:
    """Name each text of a message that is none: protobuf gives it as bytes, or refuses it."""
    for field, value in message.ListFields():
        here = f"{place}.{field.name}"
        if field.type == field.TYPE_MESSAGE:
            for item in [value] if hasattr(value, "ListFields") else value:
                yield from _wrong_texts(item, here)
        elif field.type == field.TYPE_STRING:
            try:
                texts = [value] if isinstance(value, str | bytes) else list(value)
            except UnicodeDecodeError:
                texts = [b""]
            if not all(isinstance(text, str) for text in texts):
                yield here


def _lint_file(onnx: ModuleType, path: Path, model: ModelProto) -> list[str]:
    errors = []
    tensors = [*model.graph.initializer]
    outside = [t.name for t in tensors if t.data_location == onnx.TensorProto.EXTERNAL]
    if outside:
        errors.append(
            f"{len(outside)} weights lie in other files ({outside[0]}, …); it must be one file."
        )
    opsets = {entry.domain: entry.version for entry in model.opset_import}
    used = {node.domain for node in model.graph.node}
    opset = opsets.get("", opsets.get("ai.onnx", 0))
    if not 0 < opset <= MAX_OPSET:
        errors.append(f"Its opset is {opset}; live programs know up to {MAX_OPSET}.")
    foreign = sorted(used - {"", "ai.onnx"})
    if foreign:
        errors.append(f"It uses operators of {', '.join(foreign)}; only those of ONNX are known.")
    if model.ir_version > MAX_IR_VERSION:
        errors.append(
            f"Its IR version is {model.ir_version}; runtimes of live programs read up to "
            f"{MAX_IR_VERSION}."
        )
    if not outside:
        try:
            onnx.checker.check_model(path_or_content(path))
        except Exception as error:  # ValidationError, and what its C++ lets through
            errors.append(f"The ONNX checker says: {str(error).strip().splitlines()[0]}.")
    return errors


Floats = npt.NDArray[np.floating]


def _ports(model: ModelProto) -> tuple[Declared, Declared]:
    """Return name: (element type, shape) of inputs and of outputs, in order."""
    weights = {tensor.name for tensor in model.graph.initializer}

    def declared(ports: Iterable[ValueInfoProto]) -> Declared:
        tensors = {p.name: p.type.tensor_type for p in ports if p.name not in weights}
        return {
            name: (
                tensor.elem_type,
                tuple(d.dim_value or d.dim_param or "?" for d in tensor.shape.dim),
            )
            for name, tensor in tensors.items()
        }

    return declared(model.graph.input), declared(model.graph.output)


def _lint_ports(onnx: ModuleType, kind: str, found: Declared, wanted: Ports) -> list[str]:
    errors = []
    if list(found) != list(wanted):
        errors.append(
            f"Its {kind}s are {', '.join(found) or 'none'}; they must be {', '.join(wanted)}, in "
            "this order."
        )
    for name, (element, shape) in found.items():
        if element != onnx.TensorProto.FLOAT:
            types = {number: name.lower() for name, number in onnx.TensorProto.DataType.items()}
            held = types.get(element, f"of the unknown type {element}")
            errors.append(f"The {kind} {name} is {held}; it must be float32.")
        if name in wanted and not _fits(shape, wanted[name]):
            text = ", ".join(map(str, shape))
            errors.append(f"The {kind} {name} is declared as [{text}]; {_rule(wanted[name])}")
    return errors


def _fits(shape: tuple[int | str, ...], wanted: tuple[int | str, ...]) -> bool:
    """Whether a declared shape can be bound: only the batch may and must be free."""
    return len(shape) == len(wanted) and all(
        isinstance(size, str) if rule == "N" else isinstance(size, int) and rule in (-1, size)
        for size, rule in zip(shape, wanted, strict=True)
    )


def _rule(wanted: tuple[int | str, ...]) -> str:
    if wanted == (1,):
        return "it must be [1]."
    text = ", ".join("side" if size == -1 else str(size) for size in wanted)
    free = " with numbers for all but N" if "N" in wanted else ""
    return f"it must be [{text}]{free}."


def _sides(ports: Declared) -> dict[str, tuple[int | str, ...]]:
    return {
        name: shape[2:] if is_channels_first(shape) else shape[1:3]
        for name, (_, shape) in ports.items()
        if len(shape) == 4
    }


def _lint_sizes(sides: Mapping[str, tuple[int | str, ...]]) -> list[str]:
    found = {side for pair in sides.values() for side in pair}
    if len(found) == 1 and isinstance(side := found.pop(), int) and side > MAX_SIDE:
        return [f"It declares faces of {side} pixels; at most {MAX_SIDE} are tried."]
    if len(found) <= 1:
        return []
    text = ", ".join(f"{name}: {'x'.join(map(str, pair))}" for name, pair in sides.items())
    return [f"Its images are not of one square size ({text})."]

"""Where the time of a training step goes, by kind of operation: ``dfl-tf bench train --profile``.

Operations run one at a time (`one_at_a_time`), so that their wall times add up to that of the step.
An operation is recognized by its type, by its name (gradients have that of their layer) and by the
line of dfl_tf that made it.
"""

from __future__ import annotations

import re
import statistics
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dfl_tf.bench.flops import flops_of, nominal_graphs
from dfl_tf.disk.plain_file import read_plain
from dfl_tf.errors import UsageError

if TYPE_CHECKING:
    import tensorflow as tf

    from dfl_tf.bench.machine import Report
    from dfl_tf.models.base import FaceModel

FORWARD = "convolutions, forward"
BY_INPUT = "convolutions, by input"
BY_WEIGHTS = "convolutions, by weights"
DENSE = "dense layers"
CASTS = "casts"
ACTIVATIONS = "activations and norms"
BIASES = "bias gradients"
SHUFFLES = "shuffles and transposes"
DSSIM = "DSSIM"
LOSSES = "other losses"
UPDATE = "update"
REST = "the rest"
ALL = "all"
KINDS = (BY_WEIGHTS, BY_INPUT, FORWARD, DENSE, CASTS, ACTIVATIONS, BIASES, SHUFFLES, DSSIM, LOSSES,
         UPDATE, REST)  # fmt: skip
PRODUCTS = (BY_WEIGHTS, BY_INPUT, FORWARD, DENSE)
"""Kinds whose arithmetic is counted, and set beside the machine's own matrix products."""

_UPDATE_MODULES = {"legacy_optimizer", "optimizers", "optimizer_step", "flat_step", "loss_scale"}
_LOSS_MODULES = {"losses", "targets"}
_SHUFFLES = ("Transpose", "DepthToSpace", "SpaceToDepth", "Concat", "Split", "Slice", "Pad", "Pack",
             "Tile", "Reshape")  # fmt: skip
_ACTIVATIONS = ("Relu", "Sigmoid", "Tanh", "BiasAdd", "Frn", "Tlu", "BlurPool", "Rsqrt", "Cos",
                "Sin", "Maximum")  # fmt: skip
_CALLS = {"PartitionedCall", "StatefulPartitionedCall", "If", "StatelessIf", "While",
          "StatelessWhile", "Case", "StatelessCase"}  # fmt: skip
"""Operations that run others, which are counted themselves."""

_SHOWN = 4
"""Types of operations of the rest that a report names."""


_NUMBER = re.compile(r"_\d+$")
"""With which the name of a network ends that is called a second time."""


def one_at_a_time() -> None:
    """Let TensorFlow run one operation at a time; before it computes anything.

    Raises
    ------
    UsageError
        If it computes already.
    """
    import tensorflow as tf

    try:
        tf.config.threading.set_inter_op_parallelism_threads(1)
    except RuntimeError:
        raise UsageError(
            "a profile needs operations that run one at a time, and TensorFlow has begun to "
            "compute with others. Start a process for it."
        ) from None


@dataclass(frozen=True)
class Half:
    """The gradients of an update, or what they move, as a graph that can be called alone.

    Attributes
    ----------
    run : callable
        Does it and waits until it is done.
    graph : Graph
        What it runs.
    """

    run: Callable[[], object]
    graph: tf.Graph


@dataclass(frozen=True)
class TracedOp:
    """What is known of an operation of a traced graph.

    Attributes
    ----------
    type, name : str
        TensorFlow's; of a rewritten graph they may differ from those of the traced one.
    towards_input : bool
        Whether a Winograd convolution is that of a gradient.
    calls : tuple of (str, str)
        Module and function of the lines of dfl_tf that made it, the innermost one last; empty if
        Grappler made it.
    """

    type: str
    name: str
    towards_input: bool = False
    calls: tuple[tuple[str, str], ...] = ()


def origin_of(op: tf.Operation, *, executed_as: str | None = None) -> TracedOp:
    """Describe an operation of a graph, executed as itself or as another type."""
    calls = tuple(
        (Path(frame.filename).stem, frame.name)
        for frame in op.traceback or ()
        if "dfl_tf" in Path(frame.filename).parts or "dfl_tf_ops" in Path(frame.filename).parts
    )
    towards_input = op.type.endswith("WinogradConv2D") and bool(op.get_attr("towards_input"))
    return TracedOp(executed_as or op.type, op.name, towards_input, calls)


def kind_of(origin: TracedOp, networks: Iterable[str]) -> str:
    """Return which of `KINDS` an operation is of.

    Parameters
    ----------
    origin : TracedOp
    networks : iterable of str
        Names of the networks, with which the names of their operations begin.
    """
    modules = {module for module, _ in origin.calls}
    functions = {function for _, function in origin.calls}
    scopes = origin.name.split("/")
    is_gradient = scopes[0] == "gradient_tape"
    root = scopes[1] if is_gradient and len(scopes) > 1 else scopes[0]
    inside = not {root, _NUMBER.sub("", root)}.isdisjoint(networks)
    if modules & _UPDATE_MODULES or "ResourceApply" in origin.type:
        return UPDATE
    if root.startswith("dssim") or "_dssim" in functions:
        return DSSIM
    lost = bool(modules & _LOSS_MODULES) or (is_gradient and not inside)
    product = _product(origin, functions)
    if product and not (product == DENSE and lost):
        return product
    if origin.type == "Cast":
        return CASTS
    if lost:
        return LOSSES
    if "BiasAddGrad" in origin.type:
        return BIASES
    if any(word in origin.type for word in _ACTIVATIONS):
        return ACTIVATIONS
    return SHUFFLES if any(word in origin.type for word in _SHUFFLES) else REST


def _product(origin: TracedOp, functions: set[str]) -> str | None:
    kind = origin.type
    if "gradient_by_taps" in functions or kind.endswith("WinogradFilterGradient"):
        return BY_WEIGHTS
    if "Depthwise" in kind:
        return None
    if "Conv2DBackpropFilter" in kind:
        return BY_WEIGHTS
    if "Conv2DBackpropInput" in kind or origin.towards_input:
        return BY_INPUT
    if "Conv2D" in kind:
        return FORWARD
    return DENSE if "MatMul" in kind else None


def profile(
    model: FaceModel, halves: Iterable[tuple[Half, Half]], *, peak: float, rounds: int = 5
) -> Report:
    """Do a step under TensorFlow's profiler and add up what its operations took.

    Parameters
    ----------
    model : FaceModel
    halves : iterable of (Half, Half)
        Gradients and update of each of its updates, from `dfl_tf.bench.step.halves_of`.
    peak : float
        GFLOP/s of the machine's own matrix products in the model's precision.
    rounds : int
        Of which the medians are reported.

    Returns
    -------
    dict
        JSON-able; see `profile_lines`.

    Raises
    ------
    UsageError
        If the model computes on a GPU, whose operations are no calls of this process.
    """
    if not model.placement.on_cpu:
        raise UsageError("--profile times the operations of a CPU. Add --cpu, or leave it out.")
    networks = [network.name for network in model.networks.values()]
    found = [defaultdict[str, float](float) for _ in range(rounds)]
    rest = defaultdict[str, float](float)
    for gradients, update in halves:
        operations = {op.name: op for op in gradients.graph.get_operations()}
        for spent in found:
            for (name, executed), milliseconds in _executed(gradients.run).items():
                origin = TracedOp(executed, name)
                if name in operations:
                    origin = origin_of(operations[name], executed_as=executed)
                kind = kind_of(origin, networks)
                spent[kind] += model.run.accumulate * milliseconds
                if kind == REST:
                    rest[executed.removeprefix("_Mkl")] += milliseconds / rounds
            spent[UPDATE] += sum(_executed(update.run).values())
    largest = sorted(rest.items(), key=lambda pair: -pair[1])
    medians = {kind: statistics.median(spent[kind] for spent in found) for kind in KINDS}
    return {
        "rounds": rounds,
        "rest": {name: round(taken, 3) for name, taken in largest[:_SHOWN]},
        "kinds": _rows(medians, _arithmetic(model, networks), peak),
    }


def _executed(step: Callable[[], object]) -> Mapping[tuple[str, str], float]:
    """Milliseconds of the operations of a call, by name and type."""
    import tensorflow as tf
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    options = tf.profiler.experimental.ProfilerOptions(
        host_tracer_level=2, python_tracer_level=0, device_tracer_level=0
    )
    spent = defaultdict[tuple[str, str], float](float)
    with tempfile.TemporaryDirectory(prefix="dfl-tf-profile-") as folder:
        with tf.profiler.experimental.Profile(folder, options):
            step()
        for path in Path(folder).rglob("*.xplane.pb"):
            space = xplane_pb2.XSpace()
            space.ParseFromString(read_plain(path))
            for plane in space.planes:
                for event in (event for line in plane.lines for event in line.events):
                    label = plane.event_metadata[event.metadata_id].name
                    name, _, kind = label.partition(":")
                    # "Executor::Process" and "EagerExecute: name" are no operations
                    if kind and ":" not in kind and " " not in label and kind not in _CALLS:
                        spent[name, kind] += event.duration_ps / 1e9
    return spent


def _arithmetic(model: FaceModel, networks: Sequence[str]) -> Mapping[str, float]:
    """Floating-point operations of a step, by kind."""
    found = defaultdict[str, float](float)
    for graph in nominal_graphs(model):
        for op in graph.get_operations():
            flops = flops_of(op)
            if flops:
                found[kind_of(origin_of(op), networks)] += model.run.accumulate * flops
    return found


def _rows(
    milliseconds: Mapping[str, float], flops: Mapping[str, float], peak: float
) -> list[Report]:
    total = sum(milliseconds.values())
    rows: list[Report] = []
    for kind in (*KINDS, ALL):
        taken = total if kind == ALL else milliseconds[kind]
        done = sum(flops.get(each, 0.0) for each in (PRODUCTS if kind == ALL else (kind,)))
        row: Report = {"kind": kind, "ms": round(taken, 3), "share": round(taken / total, 4)}
        if kind in (*PRODUCTS, ALL) and taken:
            row["gflop"] = round(done / 1e9, 3)
            row["share_of_peak"] = round(done / 1e6 / taken / peak, 4)
        rows.append(row)
    return rows


def profile_lines(report: Report) -> list[str]:
    """The report for people."""
    lines = [
        "",
        f"one operation at a time, medians of {report['rounds']} steps (wall time); of the peak: "
        "of this machine's own matrix products",
        f"{'':<26}{'ms':>10}{'share':>9}{'GFLOP':>10}{'of the peak':>13}",
    ]
    for row in report["kinds"]:
        line = f"{row['kind']:<26}{row['ms']:>10.1f}{100 * row['share']:>7.1f} %"
        if "gflop" in row:
            line += f"{row['gflop']:>10.2f}{100 * row['share_of_peak']:>11.0f} %"
        lines.append(line)
    named = ", ".join(f"{name} {taken:.1f}" for name, taken in report["rest"].items())
    return [*lines, f"the largest of the rest (ms): {named}"]

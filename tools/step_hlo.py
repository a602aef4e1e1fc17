"""A whole training step as a StableHLO program, and the same with JAX on whatever device it has.

python tools/step_hlo.py export FOLDER [--model SAEHD] [--set KEY=VALUE …] [--small] [--numbers]
python tools/step_hlo.py run FOLDER [CASE …] [--steps 20] [--no-tf32]

`export` needs TensorFlow. It traces all updates of a step, to the moves of the weights, and writes
CASE.mlir.gz, with the shapes of what goes in and comes out in CASE.json; with --numbers CASE.npz is
what TensorFlow makes of the step on the CPU. `run` needs JAX and NumPy only. Weights do not travel:
both sides draw them from a seed. Where there are numbers, `run` compares losses, gradients, moves
and masks with them (`hlo_numbers.py`; of large variables a sample); it times the step and prints a
line of JSON a case. Exit code 1 if a number differs or a loss is not finite.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import re
import sys
import time
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parent))

import hlo_numbers
from hlo_numbers import pieces_of, sampled

Arrays = list[NDArray[Any]]
_DIMS = ("resolution=64", "ae_dims=32", "e_dims=16", "d_dims=16", "d_mask_dims=16", "batch_size=2")
SMALL: dict[str, tuple[str, ...]] = {
    "SAEHD": _DIMS,
    "AMP": (*_DIMS, "inter_dims=32"),
    "Quick96": ("batch_size=2",),
    "XSeg": ("batch_size=2",),
}
_LOCATION = re.compile(
    r' loc\((?:[^()"]|"[^"]*"|\((?:[^()"]|"[^"]*")*\))*\)|^#loc.*$', re.MULTILINE
)

# -- export -----------------------------------------------------------------------------------


def build(name: str, settings: Sequence[str], precision: str, *, small: bool) -> Any:
    """Make a model whose step consists of TensorFlow's own operations only."""
    from functools import partial

    from dfl_tf import models
    from dfl_tf.devices.placement import Placement
    from dfl_tf.models.xseg import model as xseg_model
    from dfl_tf.models.xseg.networks import XSegNetwork
    from dfl_tf.nn.tracing import Tracing
    from dfl_tf.options import OPTIONS, Layer, RunOptions, resolve

    if small and name == "XSeg":
        xseg_model.XSegNetwork = partial(XSegNetwork, base=4)
    given = dict(each.split("=", 1) for each in [*(SMALL[name] if small else ()), *settings])
    options = resolve(OPTIONS[name], [Layer(given, "--set")]).options
    model = models.create(
        name, options, RunOptions(seed=1, precision=precision), placement=Placement(flat=True)
    )
    model.step.tracing = Tracing(blur_as_depthwise=True)  # as on a GPU
    model.step.xla = dict.fromkeys(model.optimizers, True)
    return model


def whole_step(model: Any) -> Callable[..., Any]:
    """Return a function of the inputs of a step, and of what is drawn, that does all updates.

    What an update draws is drawn outside of a compiled step in a training, too: the bits of
    TensorFlow's own generators are others in compiled code.
    """
    count = sum(len(spec.outputs) for spec in model.sample_specs().values())

    def step(*given: Any) -> dict[str, Any]:
        inputs, further, found = given[:count], iter(given[count:]), {}
        for update in model.updates:
            drawn = [next(further) for _ in model.draws(update, 1)]
            found |= model.step.whole_update(update, [*inputs, *drawn])
        return found

    return step


def written_resources(graph: Any) -> set[int]:
    """Return which captures of a function graph are written, by their numbers."""
    numbers = {id(inner): n for n, (_, inner) in enumerate(graph.captures)}
    found = set()
    for operation in graph.get_operations():
        writes = operation.type.startswith(("Assign", "ResourceStridedSliceAssign"))
        if writes or operation.type in ("If", "While", "StatefulPartitionedCall"):
            found |= {numbers[id(x)] for x in operation.inputs if id(x) in numbers}
    return found


def export(args: argparse.Namespace) -> None:
    """Write one case; numbers are of TensorFlow's own operations, which the exported step has."""
    os.environ.setdefault("DFL_TF_NATIVE", "off")
    import tensorflow as tf

    model = build(args.model, args.set, args.precision, small=args.small)
    shapes = [shape for spec in model.sample_specs().values() for shape in spec.shapes.values()]
    count, dtype = model.samples_per_step, model.dtype
    wanted = [tf.TensorSpec((count, *shape), dtype) for shape in shapes]
    wanted += [
        tf.TensorSpec(x.shape, x.dtype) for u in model.updates for x in model.draws(u, count)
    ]
    compiled = tf.function(whole_step(model), autograph=False, jit_compile=True)
    traced = compiled.get_concrete_function(*wanted)
    holders = {id(v.handle): v for v in traced.variables}
    variables = [holders[id(handle)] for handle in traced.captured_inputs]
    names, first = names_of(model), len(wanted)
    kinds = ["input"] * len(shapes) + ["choice"] * (first - len(shapes))
    arguments = [
        described(f"{k}{n}", k, x) for n, (k, x) in enumerate(zip(kinds, wanted, strict=True))
    ]
    arguments += [described(*names.get(v.ref(), (v.name, "other")), v) for v in variables]
    results: list[dict[str, Any]] = [
        {"name": key, "of": None} for key in sorted(traced.structured_outputs)
    ]
    for n in sorted(written_resources(traced.graph)):
        results.append({"name": arguments[first + n]["name"], "of": first + n})
    values = drawn(arguments)
    for variable, value in zip(variables, values[first:], strict=True):
        variable.assign(value)
    inputs = [tf.constant(value) for value in values[:first]]
    text = compiled.experimental_get_compiler_ir(*inputs)(stage="stablehlo")
    text = _LOCATION.sub("", text)
    args.folder.mkdir(parents=True, exist_ok=True)
    about = {
        "case": args.name,
        "model": args.model,
        "precision": args.precision,
        "tensorflow": tf.__version__,
        "samples": count,
        "weights": sum(model.parameter_counts().values()),
        "optimizers": optimizers_of(model, {row["name"] for row in arguments}),
        "losses": list(model.loss_names),
        "arguments": arguments,
        "results": results,
    }
    (args.folder / f"{args.name}.json").write_text(json.dumps(about), encoding="utf-8")
    packed = gzip.compress(text.encode(), 6)
    (args.folder / f"{args.name}.mlir.gz").write_bytes(packed)
    if args.numbers:
        stored = stepped(model, whole_step(model), inputs, about)
        if args.precision not in hlo_numbers.LOSS:  # XLA rounds half precision in other places
            for variable, value in zip(variables, values[first:], strict=True):
                variable.assign(value)
            by_xla = stepped(model, compiled, inputs, about)
            stored |= {f"compiled {k}": v for k, v in by_xla.items()}
        if measure := hlo_numbers.MEASURE.get(args.precision):
            exact = build(args.model, args.set, measure, small=args.small)
            by_name = dict(zip((row["name"] for row in arguments), values, strict=True))
            for reference, (name, _) in names_of(exact).items():
                if name in by_name:
                    reference.deref().assign(by_name[name])
            inputs = [tf.cast(x, exact.dtype) if x.dtype.is_floating else x for x in inputs]
            found = stepped(exact, whole_step(exact), inputs, about)
            stored |= {f"exact {k}": v for k, v in found.items()}
        np.savez_compressed(args.folder / f"{args.name}.npz", **stored)
    line = {"case": args.name, "weights": about["weights"], "arguments": len(arguments)}
    print(json.dumps({**line, "results": len(results), "mlir_kib": len(packed) // 1024}))


def stepped(
    model: Any, step: Callable[..., Any], inputs: Sequence[Any], about: dict[str, Any]
) -> dict[str, NDArray[Any]]:
    """Do a step; returns its losses, and what `hlo_numbers.pieces_of` takes of what it moved."""
    import tensorflow as tf

    given = tf.function(step, autograph=False)(*inputs)
    after = {name: v.deref().numpy() for v, (name, _) in names_of(model).items()}
    losses = {name: np.asarray(given[name], np.float64) for name in about["losses"]}
    return {**losses, **pieces_of(about["optimizers"], after)}


def optimizers_of(model: Any, used: Collection[str]) -> list[dict[str, Any]]:
    """Describe the optimizers for `hlo_numbers.pieces_of`, with the weights that a step uses."""
    import tensorflow as tf

    from dfl_tf.nn.slot_storage import shapes_of

    names, found = names_of(model), []
    for stem, optimizer in model.optimizers.items():
        variables = model.optimizer_variables[stem]
        layout = shapes_of(variables)
        decays = ("beta_1", "beta_2") if "ms" in optimizer.slot_names else ("rho",)
        pieces = [
            (names[v.value.ref()][0], layout.start(i), layout.sizes[i])
            for i, v in enumerate(variables)
            if names[v.value.ref()][0] in used
        ]
        found.append({
            "name": stem, "slots": optimizer.slot_names, "pieces": pieces, "epsilon": 1e-6,
            "share": [1 - getattr(optimizer, decay) for decay in decays],
            "rate": float(optimizer.effective_rate(tf.constant(1, tf.int64), tf.float64)),
        })  # fmt: skip
    return found


def names_of(model: Any) -> dict[Any, tuple[str, str]]:
    """Names and kinds of the variables of a model, by reference."""
    found = {
        weight.value.ref(): (f"{part}: {weight.path}", "weight")
        for part, network in model.networks.items()
        for weight in network.weights
    }
    for stem, optimizer in model.optimizers.items():
        for slot in optimizer.slot_names:
            for n, variable in enumerate(optimizer.slot_variables(slot)):
                found[variable.value.ref()] = (f"{stem}: {slot} {n}", "slot")
    return found


def described(name: str, kind: str, of: Any) -> dict[str, Any]:
    """Describe an argument; a scalar with its value."""
    row = {"name": name, "kind": kind, "shape": list(of.shape), "dtype": of.dtype.name}
    return row | ({"value": of.numpy().item()} if not of.shape.rank else {})


# -- run --------------------------------------------------------------------------------------


def drawn(arguments: Sequence[dict[str, Any]]) -> Arrays:
    """Draw values for all arguments from a seed; slots are empty, scalars have their value."""
    rng, values = np.random.default_rng(0), []
    for argument in arguments:
        shape, kind, name = argument["shape"], argument["kind"], argument["name"]
        if "value" in argument:
            value: Any = argument["value"]
        elif kind == "input":
            small = rng.random((shape[0], 8, 8, shape[3]))  # smooth, as faces are
            value = small.repeat(-(-shape[1] // 8), 1).repeat(-(-shape[2] // 8), 2)
            value = value[:, : shape[1], : shape[2]]
        elif kind == "choice":
            value = rng.random(shape) < 0.5
        elif kind == "weight" and len(shape) > 1:
            value = rng.standard_normal(shape) * np.sqrt(1.5 / np.prod(shape[:-1]))
        elif kind == "weight":
            scale, z = name.endswith("weight"), rng.standard_normal(shape)
            value = 1e-6 if name.endswith("eps") else 1 + 0.05 * z if scale else 0.02 * z
        else:
            value = 0.0
        values.append(np.broadcast_to(np.asarray(value, argument["dtype"]), shape))
    return values


class Case:
    """An exported step, compiled for JAX's first device."""

    def __init__(self, folder: Path, name: str) -> None:
        import jax
        from jax._src import compiler

        self.name = name
        self.about = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
        numbers = folder / f"{name}.npz"
        self.numbers = dict(np.load(numbers)) if numbers.is_file() else {}
        self.device = jax.devices()[0]
        text = gzip.decompress((folder / f"{name}.mlir.gz").read_bytes()).decode()
        options = compiler.get_compile_options(
            num_replicas=1, num_partitions=1, device_assignment=np.array([[self.device.id]])
        )
        from jax._src.lib import xla_client

        started = time.perf_counter()
        devices = xla_client.DeviceList((self.device,))
        self._program = self.device.client.compile_and_load(text, devices, options)
        self.compile_seconds = time.perf_counter() - started

    def arguments(self) -> list[Any]:
        """Values of all arguments, on the device."""
        import jax

        values = drawn(self.about["arguments"])
        return [jax.device_put(np.ascontiguousarray(value), self.device) for value in values]

    def step(self, arguments: list[Any]) -> tuple[list[Any], list[Any]]:
        """Do a step; returns all results, and the arguments of the next one."""
        results = self._program.execute(arguments)
        following = list(arguments)
        for row, result in zip(self.about["results"], results, strict=True):
            if row["of"] is not None:
                following[row["of"]] = result
        return results, following

    def losses(self, results: list[Any]) -> dict[str, float]:
        """The losses among the results."""
        found = zip(self.about["results"], results, strict=True)
        return {
            row["name"]: float(np.mean(np.asarray(result)))
            for row, result in found
            if row["of"] is None and row["name"] in self.about["losses"]
        }

    def compare(self, results: list[Any]) -> dict[str, Any]:
        """Compare results with TensorFlow's; see `hlo_numbers.compare`."""
        rows = self.about["arguments"]
        drawn_before = zip(rows, drawn(rows), strict=True)
        start = {row["name"]: value for row, value in drawn_before}
        ours: dict[str, NDArray[Any]] = dict(start)
        for row, result in zip(self.about["results"], results, strict=True):
            if row["of"] is not None or row["name"] in self.about["losses"]:
                ours[row["name"]] = np.asarray(result)
        losses = {name: ours[name] for name in self.about["losses"]}
        others = ("exact ", "compiled ")
        theirs = {k: v for k, v in self.numbers.items() if not k.startswith(others)}
        exact, compiled = (
            {k: self.numbers.get(f"{other}{k}", v) for k, v in theirs.items()} for other in others
        )
        return hlo_numbers.compare(
            self.about,
            {row["name"]: sampled(start[row["name"]]) for row in rows if row["kind"] == "weight"},
            {**losses, **pieces_of(self.about["optimizers"], ours)},
            theirs,
            exact,
            compiled,
        )

    def timed(self, arguments: list[Any], steps: int) -> dict[str, Any]:
        """Milliseconds of a step, and whether the losses stay finite."""
        results, arguments = self.step(arguments)
        self.losses(results)  # waits
        started = time.perf_counter()
        for _ in range(steps):
            results, arguments = self.step(arguments)
        losses = self.losses(results)
        seconds = (time.perf_counter() - started) / steps
        return {
            "ms": round(seconds * 1e3, 3),
            "samples_per_second": round(self.about["samples"] / seconds, 1),
            "finite": bool(np.isfinite(list(losses.values())).all()),
        }


def run(args: argparse.Namespace) -> int:
    """Run cases; returns the exit code."""
    if args.no_tf32:
        os.environ["NVIDIA_TF32_OVERRIDE"] = "0"
    import jax

    jax.config.update("jax_enable_x64", True)  # counters are int64
    cases = args.cases or sorted(path.stem for path in args.folder.glob("*.json"))
    failed = not cases
    with ThreadPoolExecutor(args.jobs) as pool:
        for case in pool.map(lambda name: Case(args.folder, name), cases):
            row: dict[str, Any] = {"case": case.name, "device": str(case.device)}
            row |= {"jax": jax.__version__, "compile_s": round(case.compile_seconds, 1)}
            row |= {key: case.about[key] for key in ("precision", "weights", "samples")}
            arguments, good = case.arguments(), True
            results, arguments = case.step(arguments)  # the program takes over what it was given
            if case.numbers:
                row |= case.compare(results)
                good = row["passed"]
            row |= case.timed(arguments, args.steps)
            row["passed"] = good and row["finite"]
            failed |= not row["passed"]
            print(json.dumps(row), flush=True)
    return int(failed)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    writer = commands.add_parser("export", help="write a step of a model (needs TensorFlow)")
    writer.add_argument("folder", type=Path)
    writer.add_argument("--name", help="of the case; by default model and precision")
    writer.add_argument("--model", default="SAEHD", choices=list(SMALL))
    writer.add_argument("--precision", default="float32")
    writer.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    writer.add_argument("--small", action="store_true", help="a model of a few 100,000 weights")
    writer.add_argument("--numbers", action="store_true", help="store values and results as well")
    runner = commands.add_parser("run", help="run exported steps (needs JAX and NumPy only)")
    runner.add_argument("folder", type=Path)
    runner.add_argument("cases", nargs="*", metavar="CASE")
    runner.add_argument("--steps", type=int, default=20, help="of a case, to time it")
    runner.add_argument("--jobs", type=int, default=max(1, (os.cpu_count() or 2) // 4),
                        help="cases compiled at a time")  # fmt: skip
    runner.add_argument("--no-tf32", action="store_true", help="full float32 on NVIDIA GPUs")
    args = parser.parse_args(argv)
    if args.command == "run":
        return run(args)
    args.name = args.name or f"{args.model}-{args.precision}"
    export(args)
    return 0


if __name__ == "__main__":
    sys.exit(main())

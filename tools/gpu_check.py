"""All that can be proved on a machine with TensorFlow and one GPU, in under eight minutes.

python tools/gpu_check.py [PART …] [--small]

Each part is a process of its own, prints one line of JSON and is stopped at its limit. With --small
models are small, for a CPU. Exit code 1 if a part failed or was stopped.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
for place in (ROOT, ROOT / "ops"):
    if str(place) not in sys.path:
        sys.path.insert(0, str(place))

Facts = dict[str, Any]
DIMS = {"resolution": 64, "ae_dims": 32, "e_dims": 16, "d_dims": 16, "d_mask_dims": 16,
        "batch_size": 2}  # fmt: skip
LARGE = {"resolution": 128, "batch_size": 8}


def make(
    small: bool,
    name: str = "SAEHD",
    run: Facts | None = None,
    build: Callable[[Callable[..., Any]], Any] = lambda create: create(),
    **options: Any,
) -> Any:
    """Make a model and the tensors of one batch for it."""
    from functools import partial

    import tensorflow as tf

    from dfl_tf import models
    from dfl_tf.models.xseg import model as xseg_model
    from dfl_tf.models.xseg.networks import XSegNetwork
    from dfl_tf.options import OPTIONS, RunOptions, default

    if small and name == "XSeg":
        xseg_model.XSegNetwork = partial(XSegNetwork, base=4)
    values: Facts = (
        {"batch_size": 2} if name in ("XSeg", "Quick96") else dict(DIMS if small else LARGE)
    )
    values |= {"inter_dims": 32} if small and name == "AMP" else {}
    chosen = default(OPTIONS[name], **values | options)
    model = build(partial(models.create, name, chosen, RunOptions(seed=1, **(run or {}))))
    rng = np.random.default_rng(0)
    shapes = [shape for spec in model.sample_specs().values() for shape in spec.shapes.values()]
    count = model.samples_per_step
    return model, [tf.constant(rng.random((count, *shape)), model.dtype) for shape in shapes]


def loss_of(given: Facts, names: Sequence[str]) -> float:
    return float(sum(np.mean(given[name]) for name in names))


def versions(small: bool) -> Facts:
    """What is installed, and how much memory is free."""
    import tensorflow as tf

    from dfl_tf.devices.gpus import find_gpus, missing_parts

    return {
        "tensorflow": tf.__version__,
        "gpus": [vars(gpu) for gpu in find_gpus()],
        "seen": len(tf.config.list_physical_devices("GPU")),
        "missing": missing_parts() if find_gpus() else [],
    }


def steps(small: bool) -> Facts:
    """A step of each model with soft placement off: an operation without a kernel is an error."""
    import tensorflow as tf

    tf.config.set_soft_device_placement(False)
    found = {}
    for name in ("SAEHD", "AMP", "XSeg") if small else ("SAEHD", "AMP", "Quick96", "XSeg"):
        model, inputs = make(small, name)
        found[name] = loss_of(model.step.run(inputs), model.loss_names)
    return {"losses": found, "passed": bool(np.isfinite(list(found.values())).all())}


def goldens(small: bool) -> Facts:
    """The training goldens in float64."""
    words = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/models/test_golden_training.py"]
    words += ["-k", "saehd_df_adabelief"] if small else []
    done = subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True)
    lines = done.stdout.strip().splitlines()
    return {"pytest": lines[-1] if lines else "", "passed": done.returncode == 0}


def tf32(small: bool) -> Facts:
    """How far a step with TF32 is from one without."""
    import tensorflow as tf

    found = {}
    for used in (False, True):
        tf.config.experimental.enable_tensor_float_32_execution(used)
        model, inputs = make(small)
        found[used] = loss_of(model.step.run(inputs), model.loss_names)
    error = abs(found[True] - found[False]) / abs(found[False])
    return {"relative_difference": error, "passed": error < 1e-2}


def times(small: bool) -> Facts:
    """Milliseconds of gradients and update, by model, precision and XLA."""
    rows = []
    for archi in ("df-ud",) if small else ("df-ud", "liae-ud"):
        for precision in ("float32",) if small else ("float32", "bfloat16"):
            for xla in ("off",) if small else ("off", "on"):
                rows.append(_timed(small, archi, precision, xla))
    return {"rows": rows}


def _timed(small: bool, archi: str, precision: str, xla: str) -> Facts:
    import tensorflow as tf

    model, inputs = make(small, run={"precision": precision, "xla": xla}, archi=archi,
                         lr_dropout="y", clipgrad=True)  # fmt: skip
    update = model.updates[0]
    gradients = tf.function(lambda *given: model.step.gradients(update, given), autograph=False)

    def seconds(call: Callable[[], Any]) -> float:
        call()
        begin, count = time.perf_counter(), 3 if small else 20
        for _ in range(count):
            last = call()
        np.asarray(tf.nest.flatten(last)[0])  # waits
        return (time.perf_counter() - begin) / count

    parts = {"whole": lambda: model.step.run(inputs), "gradients": lambda: gradients(*inputs)}
    found = {name: round(1e3 * seconds(call), 2) for name, call in parts.items()}
    rest = round(found["whole"] - found["gradients"], 2)
    return {"archi": archi, "precision": precision, "xla": xla, **found, "update_and_rest": rest}


def waiting(small: bool) -> Facts:
    """The share of waiting for samples in a real training on the demo's faces."""
    import tempfile

    from dfl_tf.cli.demo import unpack
    from dfl_tf.cli.main import run as run_command

    with tempfile.TemporaryDirectory() as folder:
        unpack(Path(folder))
        dims = [f"--set={k}={v}" for k, v in DIMS.items()] if small else ["--resolution=128"]
        log = Path(folder) / "log.jsonl"
        count = 8 if small else 200
        words = ["train", folder, "--model=SAEHD", "--name=check", "--no-preview", "--yes", *dims]
        code = run_command([*words, f"--target-iter={count}", f"--log-json={log}"])
        ends = [row for row in map(json.loads, log.read_text().splitlines()) if "timing" in row]
    return {"timing": ends[-1]["timing"] if ends else {}, "passed": code == 0 and bool(ends)}


def memory(small: bool) -> Facts:
    """The peak of the GPU's memory beside what `--plan` counts."""
    import tensorflow as tf

    from dfl_tf.train.memory_use import memory as planned

    model, inputs = make(small)
    model.step.run(inputs)
    found: Facts = {"planned_mib": round(planned(model)["all of these"], 1)}
    if model.works_ahead:
        info = tf.config.experimental.get_memory_info("GPU:0")
        found |= {key: round(value / 2**20, 1) for key, value in info.items()}
    return found


def determinism(small: bool) -> Facts:
    """Two runs of equal steps with --deterministic end with the same bits."""
    import tensorflow as tf

    tf.config.experimental.enable_op_determinism()
    tf.config.experimental.enable_tensor_float_32_execution(False)
    ends = []
    for _ in range(2):
        model, inputs = make(small, lr_dropout="y")
        for _ in range(3):
            model.step.run(inputs)
        ends.append([w.numpy() for net in model.networks.values() for w in net.weights])
    return {"passed": all(map(np.array_equal, *ends))}


def host_optimizer(small: bool) -> Facts:
    """A step with weights and slots in the host's memory loses as one without."""
    found = []
    for on_gpu in (True, False):
        model, inputs = make(small, models_opt_on_gpu=on_gpu)
        model.step.run(inputs)
        found.append(loss_of(model.step.run(inputs), model.loss_names))
    return {"losses": found, "passed": bool(np.isclose(*found, rtol=1e-3))}


def two_devices(small: bool) -> Facts:
    """Two logical devices, each with half of a batch, train as one with both halves does."""
    from functools import partial

    import tensorflow as tf

    from dfl_tf.devices.cluster import Devices
    from dfl_tf.train.distribution import Distribution

    kind = "GPU" if tf.config.list_physical_devices("GPU") else "CPU"
    (device, *_) = tf.config.list_physical_devices(kind)
    limit = {} if kind == "CPU" else {"memory_limit": 8192}
    parts = [tf.config.LogicalDeviceConfiguration(**limit) for _ in range(2)]
    tf.config.set_logical_device_configuration(device, parts)
    distribution = Distribution(Devices(kind, (0, 1)))
    options = {"batch_size": 4}
    model, inputs = make(
        small, build=partial(distribution.build, models_opt_on_gpu=True), **options
    )
    alone, _ = make(small, **options)
    alone.step.replicas = 2
    found = [
        [loss_of(each.step.run(inputs), each.loss_names) for _ in range(2)]
        for each in (model, alone)
    ]
    return {"kind": kind, "losses": found, "passed": bool(np.allclose(*found, rtol=1e-4))}


def export(small: bool) -> Facts:
    """A model becomes an ONNX file that computes what the model does."""
    import tempfile

    from dfl_tf.export.dfm import export_model

    model, _ = make(small)
    with tempfile.TemporaryDirectory() as folder:
        report = export_model(model, Path(folder) / "model.dfm")
    return {"report": str(report)[:200]}


PARTS: dict[str, tuple[Callable[[bool], Facts], int]] = {
    "versions": (versions, 30),
    "steps": (steps, 90),
    "goldens": (goldens, 90),
    "tf32": (tf32, 40),
    "times": (times, 150),
    "waiting": (waiting, 60),
    "memory": (memory, 30),
    "determinism": (determinism, 40),
    "host_optimizer": (host_optimizer, 40),
    "two_devices": (two_devices, 30),
    "export": (export, 40),
}
"""What is done, and the seconds that it may take. On a GPU parts end well before."""


def run_part(name: str, small: bool) -> Facts:
    """Run a part in a process of its own; returns its line."""
    limit = PARTS[name][1] * (10 if small else 1)  # a busy CPU
    words = [sys.executable, __file__, "--inside", name, *(["--small"] if small else [])]
    begin = time.monotonic()
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=limit)
        lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
        facts = json.loads(lines[-1]) if lines and not done.returncode else {
            "passed": False, "error": (done.stderr.strip().splitlines() or ["?"])[-1][:300]
        }  # fmt: skip
    except subprocess.TimeoutExpired:
        facts = {"passed": False, "error": f"stopped after {limit} s"}
    seconds = round(time.monotonic() - begin, 1)
    return {"part": name, "seconds": seconds, "passed": True, **facts}


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--small", action="store_true", help="small models, for a CPU")
    parser.add_argument("--inside", choices=list(PARTS), help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.inside:
        print(json.dumps(PARTS[args.inside][0](args.small)))
        return 0
    if wrong := set(args.parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(wrong))}; there are {', '.join(PARTS)}")
    failed = False
    for name in args.parts or PARTS:
        line = run_part(name, args.small)
        failed |= not line["passed"]
        print(json.dumps(line), flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())

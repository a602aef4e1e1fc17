#!/usr/bin/env python3
"""Train the same model in float32 and in bfloat16 on the same batches and compare what they learn.

    python tools/compare_precision.py [WORKSPACE] [--iterations 3000] [--resolution 64]

Without a workspace the faces of `dfl-tf demo` are used. All models start from the same weights and
see the same samples, in turn, so the time of a step can be compared as well. A third model is the
control: float32 again, its first weights moved by one part in ten million. What it differs by is
what any change of the order of summation would do; only what bfloat16 differs beyond that is a
matter of precision. The curves are kept in `--output` as `precision.json` while the run goes on
(interrupting it loses nothing) and are drawn into `precision.png`.

Printed: mean losses in ten parts of the run, SSIM of the reconstructions with their targets, SSIM
of the previews of two models with each other, and the median time of a step.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "ops")]

import cv2  # noqa: E402
import numpy as np  # noqa: E402

from dfl_tf.cli.demo import OPTIONS, unpack  # noqa: E402
from dfl_tf.formats.sessions.workspace import Workspace  # noqa: E402
from dfl_tf.options import RunOptions, SAEHDOptions, default  # noqa: E402

CONTROL = "float32, weights moved by 1e-7"
COLORS = {"float32": (40, 40, 40), CONTROL: (200, 150, 60), "low": (40, 90, 230)}
SHIFT = 1e-7


def build(options: Any, precision: str, *, seed: int, shift: float = 0.0) -> Any:
    """A fresh model; with `shift` every weight is multiplied by about ``1 + shift``."""
    from dfl_tf import models

    model = models.create("SAEHD", options, RunOptions(seed=seed, precision=precision))
    if shift:
        rng = np.random.default_rng(seed)
        for network in model.networks.values():
            for variable in network.weights:
                factor = 1 + shift * rng.standard_normal(variable.shape)
                variable.assign(np.asarray(variable) * factor.astype(np.float32))
    return model


def views(model: Any, batches: Any) -> list[np.ndarray]:
    """Source and destination reproduced, and the swap, each (n, r, r, 3)."""
    images = model.view(*model.tensors(*(batch["target"] for batch in batches)))
    return [np.clip(np.asarray(image, np.float32), 0, 1) for image, _ in images]


def ssim(a: np.ndarray, b: np.ndarray) -> float:
    """Mean structural similarity of batches of images (n, r, r, 3)."""
    from skimage.metrics import structural_similarity

    return float(
        np.mean(
            [
                structural_similarity(x, y, channel_axis=2, data_range=1)
                for x, y in zip(a, b, strict=True)
            ]
        )
    )


def judge(models: dict[str, Any], batches: Any) -> dict[str, dict[str, float]]:
    """SSIM of the reconstructions with their targets, and of all images with float32's."""
    shown = {name: views(model, batches) for name, model in models.items()}
    targets = [batch["target"] for batch in batches]
    found = {}
    for name, images in shown.items():
        good = [ssim(p, t) for p, t in zip(images[:2], targets, strict=True)]
        pairs = zip(images, shown["float32"], strict=True)
        src, dst, swap = (ssim(a, b) for a, b in pairs)
        found[name] = {
            "with targets": float(np.mean(good)),
            "reconstructions with float32": (src + dst) / 2,
            "swap with float32": swap,
        }
    return found


def train(
    models: dict[str, Any], batch_source: Any, args: argparse.Namespace, result: dict[str, Any]
) -> None:
    """Step all models on each batch, in an order that turns; keep the result on disk."""
    fixed = next(batch_source)
    names = list(models)
    started = time.monotonic()
    for number in range(1, args.iterations + 1):
        batches = next(batch_source)
        for name in names[number % len(names) :] + names[: number % len(names)]:
            begin = time.perf_counter()
            losses = models[name].train_step(*batches)
            row = [float(np.mean(losses[key])) for key in ("src", "dst")]
            result["seconds"][name].append(time.perf_counter() - begin)
            result["losses"][name].append(row)
        if number % args.every == 0 or number == args.iterations:
            result["previews"][str(number)] = judge(models, fixed)
            keep(args.output, result)
            print(
                f"{number}: {time.monotonic() - started:.0f} s, load {os.getloadavg()[0]:.1f}",
                flush=True,
            )


def keep(folder: Path, result: dict[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "precision.json").write_text(json.dumps(result), encoding="utf-8")


def report(result: dict[str, Any]) -> str:
    """The tables of a finished (or interrupted) run."""
    losses = {name: np.asarray(rows) for name, rows in result["losses"].items()}
    names = list(losses)
    count = min(len(rows) for rows in losses.values())
    lines = [f"{count} iterations; mean losses src / dst, relative difference to float32"]
    edges = np.linspace(0, count, min(10, count) + 1).astype(int)
    for first, last in itertools.pairwise(edges):
        means = {name: rows[first:last].mean(axis=0) for name, rows in losses.items()}
        cells = []
        for name in names:
            src, dst = means[name]
            off = (means[name] / means["float32"] - 1).mean()
            cells.append(f"{src:.4f} / {dst:.4f} ({off:+.2%})")
        lines.append(f"{first + 1:>6}-{last:<6} " + "   ".join(cells))
    lines.insert(1, " " * 14 + "   ".join(names))
    for number, row in result["previews"].items():
        for name, values in row.items():
            shown = ", ".join(f"{what} {value:.4f}" for what, value in values.items())
            lines.append(f"{number:>6} SSIM {name}: {shown}")
    medians = {
        name: statistics.median(times[1:] or times) for name, times in result["seconds"].items()
    }
    for name, median in medians.items():
        lines.append(f"{name}: {median * 1e3:.0f} ms a step, {medians['float32'] / median:.2f}x")
    return "\n".join(lines)


def plot(result: dict[str, Any], path: Path, *, size: tuple[int, int] = (1100, 420)) -> None:
    """Draw the smoothed curves of both losses on a logarithmic scale."""
    width, height = size
    left, top, bottom = 60, 40, 40
    image = np.full((height, width, 3), 255, np.uint8)
    half = width // 2
    everything = [smooth(np.asarray(rows)) for rows in result["losses"].values()]
    low = min(float(rows[len(rows) // 20 :].min()) for rows in everything) * 0.95
    high = max(float(rows[len(rows) // 20 :].max()) for rows in everything) * 1.05
    for side, title in enumerate(("src loss", "dst loss")):
        x0, x1 = side * half + left, (side + 1) * half - 15
        y0, y1 = top, height - bottom
        cv2.rectangle(image, (x0, y0), (x1, y1), (160, 160, 160), 1)
        write(image, title, (x0, top - 12), 0.55)
        for value in np.geomspace(low, high, 6):
            y = round(y1 - (y1 - y0) * np.log(value / low) / np.log(high / low))
            cv2.line(image, (x0, y), (x1, y), (225, 225, 225), 1)
            write(image, f"{value:.2f}", (x0 - 42, y + 4), 0.4)
        for (name, _), rows in zip(result["losses"].items(), everything, strict=True):
            x = np.linspace(x0, x1, len(rows))
            y = y1 - (y1 - y0) * np.log(np.clip(rows[:, side], low, high) / low) / np.log(
                high / low
            )
            points = (np.stack([x, y], axis=1) * 8).round().astype(np.int32)
            cv2.polylines(
                image, [points], False, COLORS.get(name, COLORS["low"]), 1, cv2.LINE_AA, 3
            )
        write(image, f"iteration 1 to {len(everything[0])}, mean of 50", (x0, height - 14), 0.42)
    for row, name in enumerate(result["losses"]):
        write(image, name, (width - 270, top + 20 + 20 * row), 0.5, COLORS.get(name, COLORS["low"]))
    cv2.imwrite(str(path), image)


def smooth(rows: np.ndarray, window: int = 50) -> np.ndarray:
    window = min(window, max(1, len(rows) // 4))
    padded = np.concatenate([np.repeat(rows[:1], window - 1, axis=0), rows])
    total = np.cumsum(np.concatenate([np.zeros((1, rows.shape[1])), padded]), axis=0)
    return (total[window:] - total[:-window]) / window


def write(
    image: np.ndarray, text: str, at: tuple[int, int], scale: float, color: Any = (0, 0, 0)
) -> None:
    cv2.putText(image, text, at, cv2.FONT_HERSHEY_SIMPLEX, scale, color, 1, cv2.LINE_AA)


def compare(args: argparse.Namespace, workspace: Workspace) -> dict[str, Any]:
    """Train all models; returns the curves."""
    from dfl_tf.devices.configure import configure_devices
    from dfl_tf.train.batch_source import Facesets, open_batch_source

    configure_devices(RunOptions(threads=args.threads))
    values = {**OPTIONS, "resolution": args.resolution, "face_type": args.face_type,
              "archi": args.archi, "batch_size": args.batch_size}  # fmt: skip
    for key in ("ae_dims", "e_dims", "d_dims", "d_mask_dims"):
        values[key] = getattr(args, key) or values[key]
    options = default(SAEHDOptions, **values)
    models = {"float32": build(options, "float32", seed=args.seed)}
    if args.control:
        models[CONTROL] = build(options, "float32", seed=args.seed, shift=SHIFT)
    models[args.precision] = build(options, args.precision, seed=args.seed)
    result: dict[str, Any] = {
        "options": values,
        "seed": args.seed,
        "losses": {name: [] for name in models},
        "seconds": {name: [] for name in models},
        "previews": {},
    }
    run = RunOptions(seed=args.seed)
    batch_source = open_batch_source(
        models["float32"], Facesets.open(workspace, pretrain=False), run, {}
    )
    try:
        with suppress(KeyboardInterrupt):
            train(models, batch_source, args, result)
    finally:
        batch_source.close()
    keep(args.output, result)
    return result


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("workspace", type=Path, nargs="?")
    parser.add_argument("--iterations", type=int, default=3000)
    parser.add_argument("--resolution", type=int, default=64)
    parser.add_argument("--face-type", default="f")
    parser.add_argument("--archi", default="liae-ud")
    parser.add_argument("--batch-size", type=int, default=4)
    for key in ("ae-dims", "e-dims", "d-dims", "d-mask-dims"):
        parser.add_argument(f"--{key}", type=int, default=0, help="default: as in the demo")
    parser.add_argument("--precision", choices=("bfloat16", "float16"), default="bfloat16")
    parser.add_argument("--control", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--every", type=int, default=250, help="iterations between previews")
    parser.add_argument("--output", type=Path, default=Path("precision"))
    parser.add_argument("--redraw", action="store_true", help="only read --output and draw again")
    args = parser.parse_args()
    if args.redraw:
        result = json.loads((args.output / "precision.json").read_text(encoding="utf-8"))
    elif args.workspace is not None:
        result = compare(args, Workspace.open(args.workspace))
    else:
        with tempfile.TemporaryDirectory() as folder:
            unpack(Path(folder))
            result = compare(args, Workspace.open(Path(folder)))
    plot(result, args.output / "precision.png")
    print(report(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())

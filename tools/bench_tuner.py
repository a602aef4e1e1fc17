#!/usr/bin/env python3
"""Milliseconds until the merge tuner shows a frame after a setting was changed.

    python tools/bench_tuner.py [--size 1280x720] [--rounds N] [--case NAME ...] [--model DIR]

A rendering process is started as `dfl-tf web` does, and asked over its socket for one frame, each
time with another width of the mask's blur, so that no image is remembered and no network is needed.
What is printed is the median, and the longest, from the request to the whole PNG. The target is a
median under 300 ms at 1280 x 720 for the cases above the line. Frames are drawn at random with one
face a third of the height. Without --model the network is a small NumPy function; with it the
newest model of the folder is asked, once.
"""

from __future__ import annotations

import argparse
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "ops"), str(ROOT / "tools")]

from bench_merge import fake_networks, make_frames, model_networks  # noqa: E402

from dfl_tf.face import FaceType  # noqa: E402
from dfl_tf.merge.tuner.messages import Failed, Open, Opened, Render, Rendered  # noqa: E402
from dfl_tf.merge.tuner.renderer import Renderer  # noqa: E402
from dfl_tf.merge.tuner.serving import serve  # noqa: E402
from dfl_tf.merge.tuner.stage import Stage  # noqa: E402
from dfl_tf.options.merge import SLOW  # noqa: E402

TARGET = 300.0
MODES = ("overlay", "hist-match", "raw-rgb", "raw-predict")
TRANSFERS = ("none", "rct", "lct", "mkl")
CASES: dict[str, dict[str, object]] = {
    f"{mode} + {transfer}": {"mode": mode, "color_transfer_mode": transfer}
    for mode in MODES
    for transfer in (TRANSFERS if not mode.startswith("raw") else ("none",))
}
SLOW_CASES: dict[str, dict[str, object]] = {
    "seamless + rct": {"mode": "seamless"},
    "overlay + idt": {"color_transfer_mode": "idt"},
    "overlay + sot-m": {"color_transfer_mode": "sot-m"},
    "overlay + mix-m": {"color_transfer_mode": "mix-m"},
}


def open_scene(about: Mapping[str, object]) -> tuple[Stage, Opened]:
    """What the rendering process of this tool renders."""
    width, height = (int(part) for part in str(about["size"]).split("x"))
    tasks = make_frames(Path(str(about["folder"])), width, height, 1)
    networks, face_type = fake_networks(256), FaceType.WHOLE_FACE
    if about["model"]:
        networks, face_type = model_networks(Path(str(about["model"])))
    models: Any = SimpleNamespace(
        face_type=face_type, networks=lambda **_: networks, loaded=lambda **_: True
    )
    return Stage(tasks, models), Opened("bench", "SAEHD", (tasks[0].path.name,), (1,))


def measure(renderer: Renderer, case: Mapping[str, object], rounds: int) -> list[float]:
    """Milliseconds of each round."""
    found = []
    for turn in range(rounds + 1):
        values = {**case, "blur_mask_modifier": turn}
        start = time.perf_counter()
        answer = renderer.ask(Render(0, "bench", 0, values)).result()
        if isinstance(answer, Failed):
            raise SystemExit(answer.text)
        assert isinstance(answer, Rendered)
        if turn:  # the first one asks the network, and compiles kernels
            assert not answer.asked, "a network was asked"
            found.append(1000 * (time.perf_counter() - start))
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--size", default="1280x720", help="WIDTHxHEIGHT")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--case", action="append", choices=[*CASES, *SLOW_CASES])
    parser.add_argument("--model", type=Path, help="folder of model files")
    args = parser.parse_args()
    missed = []
    with tempfile.TemporaryDirectory() as folder:
        about = {"folder": folder, "size": args.size, "model": str(args.model or "")}
        renderer = Renderer([sys.executable, __file__, "--child"], Open(about))
        try:
            for name, case in {**CASES, **SLOW_CASES}.items():
                if args.case and name not in args.case:
                    continue
                slow = any(case.get(key) in choices for key, choices in SLOW.items())
                taken = measure(renderer, case, args.rounds)
                median = statistics.median(taken)
                late = not slow and median >= TARGET
                missed += [name] if late else []
                note = "slow: the old image is greyed" if slow else "MISSED" if late else ""
                print(f"{args.size}  {name:20} {median:6.0f} ms  {max(taken):6.0f} ms  {note}")
        finally:
            renderer.close()
    return 1 if missed else 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        serve(socket.socket(fileno=int(sys.argv[2])), open_scene)
    else:
        sys.exit(main())

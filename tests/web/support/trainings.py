"""Models as trainings leave them, without training: logs, previews, snapshots, locks."""

from __future__ import annotations

import json
import os
import platform
import time
from pathlib import Path

import cv2
import numpy as np

BEGUN = time.time() - 4000
TAG = '<img src=x onerror="window.broken=1">'
MARKUP = TAG + "\x1b[2J\u202eevil"
"""What must be shown as text, wherever it stands."""


def line(event: str, **values: object) -> str:
    """A line of a log."""
    values = {"time": BEGUN, **values}
    return json.dumps({"event": event, **values}) + "\n"


def iteration(number: int, **more: object) -> str:
    """The line of an iteration."""
    losses = {"src": 2.0 / (1 + number / 500), "dst": 1.5 / (1 + number / 400)}
    scalars = {"learning_rate/src_dst_opt": 5e-05, "term/src_mask": 1.0 / (1 + number)}
    values = {"losses": losses, "ms": 250.0, "wait_ms": 5.0, "scalars": scalars}
    return line("iteration", time=BEGUN + number, iteration=number, **{**values, **more})


def image(path: Path, shade: int, *, size: tuple[int, int] = (96, 160)) -> None:
    """Write an image of one shade, with its number as a pattern."""
    path.parent.mkdir(parents=True, exist_ok=True)
    made = np.full((*size, 3), shade % 256, np.uint8)
    made[: size[0] // 2, : (shade * 7) % size[1]] = (40, 120, 220)
    assert cv2.imwrite(str(path), made)


OPTIONS = {
    "resolution": 128, "face_type": "wf", "archi": "liae-ud", "ae_dims": 256, "e_dims": 64,
    "d_dims": 64, "d_mask_dims": 22, "batch_size": 4, "gan_power": 0.01, "random_warp": True,
    "true_face_power": 0.01, "pretrain": False, "lr_dropout": "n",
}  # fmt: skip


def write_log(path: Path, last: int = 4000, step: int = 10) -> None:
    """The log of a training with everything that can happen in it."""
    lines = [
        line("log", schema=1),
        line("message", text=f"src: faces in {MARKUP}"),
        line("start", model="new", model_class="SAEHD", folder="/", iteration=0, seed=1,
             options=OPTIONS),
    ]  # fmt: skip
    for number in range(step, last + 1, step):
        lines.append(iteration(number))
        if number == 500:
            lines.append(line("save", iteration=500, copy_seconds=0.1))
        if number == 1000:
            changes = {"gan_power": [0.01, 0.05]}
            lines.append(line("segment", iteration=1000, changes=changes, rebuilt=True,
                              seconds=1.0, messages=[]))  # fmt: skip
            lines.append(line("request", name="options", options={"gan_power": 0.05}, refused=""))
        if number in (1500, 3000):
            metrics = {"ssim": 0.5 + number / 10_000, "identity_src": None}
            lines.append(line("validation", iteration=number, metrics=metrics, best=True, faces=9,
                              seconds=1.0))  # fmt: skip
        if number == 2500:
            lines.append(line("rollback", iteration=2000, undone_until=2500, reason="collapse",
                              remedy="clipgrad is on", retry=1))  # fmt: skip
        if number == 3500:
            lines.append(line("backup", iteration=3500, folder="/01"))
            lines.append(
                line("snapshot", iteration=3500, name=MARKUP[:20], why="manual", folder="/")
            )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(lines))


def lock(folder: Path, prefix: str = "new_SAEHD", pid: int | None = None) -> Path:
    """The lock of a training that runs: this process."""
    path = folder / f"{prefix}.lock"
    path.write_text(f"{os.getpid() if pid is None else pid} {platform.node()}\n")
    return path


def make_workspace(root: Path) -> Path:
    """A workspace with models, hostile names, and links that lead out of it."""
    model = root / "model"
    for side in ("data_src", "data_dst"):
        (root / side / "aligned").mkdir(parents=True)
    write_log(model / "new_SAEHD_log.jsonl")
    (model / "new_SAEHD_data.dat").touch()
    for number, name in enumerate(("SAEHD", "SAEHD masked")):
        image(model / "new_SAEHD_preview" / f"{name}.jpg", 60 + number)
        for finished in (100, 200, 1300):
            image(model / "new_SAEHD_history" / name / f"{finished:07d}.jpg", finished)
        image(model / "new_SAEHD_history" / name / "_last.jpg", 1300)
    image(model / "new_SAEHD_preview" / "loss.png", 90)
    kept = model / "new_SAEHD_snapshots" / "young"
    image(kept / "preview_SAEHD.jpg", 33)
    (kept / "new_SAEHD_data.dat").touch()
    (model / "XSeg_data.dat").touch()
    os.utime(model / "XSeg_data.dat", (BEGUN, BEGUN))
    (model / f"{TAG}_SAEHD_data.dat").touch()
    outside = root.parent / "outside"
    image(outside / "secret.jpg", 7)
    image(outside / "0000007.jpg", 7)
    (model / "new_SAEHD_preview" / "linked.jpg").symlink_to(outside / "secret.jpg")
    (model / "new_SAEHD_history" / "linked").symlink_to(outside)
    return root

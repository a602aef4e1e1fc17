"""`dfl-tf status`: how trainings go, on whatever host they run."""

from __future__ import annotations

from pathlib import Path

import click

from dfl_tf.cli.speaking import Command
from dfl_tf.train.status import TrainingStatus, status_of
from dfl_tf.train.time_left import duration

from .model_choice import json_flag, print_json
from .paths import MODEL_FOLDER


@click.command(cls=Command)
@click.argument("folder", metavar="[WORKSPACE|MODEL_DIR]", type=MODEL_FOLDER, default=".")
@json_flag
def command(folder: Path, as_json: bool) -> None:
    """Say how the trainings of a workspace go: iteration, speed, last save, health.

    Reads the log beside each model, its lock and its last save; no server is needed, and the
    training may run on any host that shares the folder.
    """
    found = status_of(folder)
    if as_json:
        print_json([each.record() for each in found])
    else:
        click.echo("\n\n".join("\n".join(_lines(each)) for each in found))


def _lines(status: TrainingStatus) -> list[str]:
    rows = [
        ("state", f"{status.state}: {status.reason}" if status.reason else status.state),
        ("iteration", None if status.iteration is None else f"{status.iteration}{_phase(status)}"),
        ("speed", None if status.ms is None else f"{status.ms:.0f} ms an iteration"),
        ("losses", _losses(status)),
        ("last save", _saved(status)),
        ("last sign", _ago(status.heartbeat_seconds_ago)),
        ("left", _left(status.seconds_left)),
        ("health", status.health),
    ]
    lines = [f"  {name + ':':11}{value}" for name, value in rows if value]
    return [f"{status.name} ({status.model_class})", *lines]


def _phase(status: TrainingStatus) -> str:
    return f", phase {status.phase}" if status.phase else ""


def _losses(status: TrainingStatus) -> str:
    losses = status.losses or {}
    return ", ".join(
        f"{name} {value:.4f}" for name, value in losses.items() if isinstance(value, float)
    )


def _saved(status: TrainingStatus) -> str:
    at = "" if status.saved_iteration is None else f"iteration {status.saved_iteration}, "
    return f"{at}{_ago(status.saved_seconds_ago)}"


def _ago(seconds: float | None) -> str:
    return "" if seconds is None else f"{duration(seconds)} ago"


def _left(seconds: list[float | None] | None) -> str:
    if not seconds or seconds[0] is None:
        return ""
    most = seconds[-1]
    least = duration(seconds[0])
    if most is None:
        return f"{least} or more"
    return least if least == duration(most) else f"{least} to {duration(most)}"

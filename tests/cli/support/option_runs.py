"""Trainings of one iteration from the command line, and what came out of each.

The workspace is made from the demo's faces so that an option shows: faces of dst are blue, and on
both sides one face of eight is turned to the side, and green.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import os
import shutil
import threading
from collections import OrderedDict
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import cv2
import numpy as np
import yaml

from dfl_tf.cli.main import run
from dfl_tf.data import Faceset
from dfl_tf.formats import read_pak
from dfl_tf.formats.faces.dfljpg import embed_metadata, read_metadata
from dfl_tf.models.base import PreviewImage
from dfl_tf.train.trainer import Trainer

from .workspaces import DEMO

SMALL = {"resolution": 64, "ae_dims": 32, "e_dims": 16, "d_dims": 16, "d_mask_dims": 16}
SHARED = {"seed": 3, "workers": 1, "prefetch": 1, "no_preview": True, "target_iter": 1}
BASE: dict[str, dict[str, Any]] = {
    "SAEHD": {**SMALL, **SHARED, "face_type": "wf", "archi": "df", "batch_size": 4},
    "AMP": {**SMALL, **SHARED, "face_type": "wf", "inter_dims": 48, "batch_size": 4},
    "Quick96": {**SHARED, "batch_size": 2},
    "XSeg": {**SHARED, "face_type": "wf", "batch_size": 2},
}
TINTS = {"data_src": (0.6, 0.6, 1.0), "data_dst": (1.0, 0.5, 0.3)}
KEPT = 3
BLACK = [PreviewImage("stand-in", np.zeros((8, 8, 3), np.float32))]
GREEN = (0.1, 1.0, 0.1)


def make_workspace(root: Path) -> Path:
    """Eight faces a side: one that looks ahead in seven brightnesses, one turned away."""
    for side, tint in TINTS.items():
        folder = root / side / "aligned"
        folder.mkdir(parents=True)
        path = DEMO / side / "aligned"
        yaws = np.abs([sample.pitch_yaw_roll()[1] for sample in Faceset.open(path)])
        ahead, away = (
            read_pak(path / "faceset.pak").jpeg(n) for n in (yaws.argmin(), yaws.argmax())
        )
        for number in range(7):
            _tinted(ahead, folder / f"{number:05d}_0.jpg", tint, 1 - number / 50)
        _tinted(away, folder / "00007_0.jpg", GREEN)
    shutil.copytree(root / "data_dst" / "aligned", root / "pretrain")
    return root


def _tinted(
    jpeg: bytes, path: Path, color: tuple[float, float, float], brightness: float = 1.0
) -> None:
    image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    tinted = (image * np.array(color) * brightness).astype(np.uint8)
    encoded = cv2.imencode(".jpg", tinted)[1].tobytes()
    metadata = read_metadata(jpeg)
    assert metadata is not None
    frame = f"{path.stem.partition('_')[0]}.png"
    path.write_bytes(embed_metadata(encoded, replace(metadata, source_filename=frame)))


@dataclass
class Outcome:
    """What a training left: its exit code, what it was given and gave, and its folder."""

    code: int = 0
    said: str = ""
    folder: Path = Path()
    batches: list[Any] = field(default_factory=list)
    losses: list[dict[str, np.ndarray]] = field(default_factory=list)
    before: dict[str, np.ndarray] = field(default_factory=dict)
    shown: list[Any] = field(default_factory=list)
    threads: int = 0
    environ: dict[str, str] = field(default_factory=dict)
    trainer: Any = None

    @property
    def model(self) -> Any:
        return self.trainer.model

    def files(self, pattern: str = "**/*") -> dict[str, bytes]:
        """Files of the model folder by name."""
        return {
            path.relative_to(self.folder).as_posix(): path.read_bytes()
            for path in sorted(self.folder.glob(pattern))
            if path.is_file()
        }

    def size(self, part: str) -> int:
        """Numbers in a network."""
        return sum(int(np.prod(v.shape)) for v in self.model.networks[part].weights)

    def side(self, number: int, output: str) -> np.ndarray:
        """Array `output` of all samples of a side that were trained on."""
        return np.concatenate([batches[number][output] for batches in self.batches])

    def events(self) -> list[dict[str, Any]]:
        """The lines of --log-json."""
        return [json.loads(line) for line in (self.folder / "log.json").read_text().splitlines()]


def weights(model: Any) -> dict[str, np.ndarray]:
    return {
        part: np.concatenate([v.numpy().ravel() for v in network.weights])
        for part, network in model.networks.items()
    }


class Trainings:
    """Runs `dfl-tf train`; of command lines that are equal to a recent one, none runs again.

    The last `KEPT` models stay in memory and on disk: all of them fill both.

    Without `step` the network is not asked: all losses are 0.5 and previews black, for what shows
    elsewhere.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._known: OrderedDict[str, Outcome] = OrderedDict()
        self._folders = itertools.count()

    def __call__(
        self,
        cls: str,
        *,
        step: bool,
        by_file: bool = False,
        apart: str = "",
        after: Outcome | None = None,
        **given: Any,
    ) -> Outcome:
        """Train with `BASE` and what is given; None leaves an option out.

        Runs that are `apart`, under patches say, are not taken for others with their options.
        With `after` a copy of that run's model is trained on.
        """
        values = {**BASE[cls], **given}
        resumed = after and after.folder.name
        key = json.dumps([cls, step, by_file, apart, resumed, values], sort_keys=True)
        if key not in self._known:
            folder = self.root / f"model{next(self._folders)}"
            if after is None:
                folder.mkdir()
            else:
                shutil.copytree(after.folder, folder)
                (folder / "log.json").unlink()
            self._known[key] = self._run(cls, step, by_file, values, folder)
            while len(self._known) > KEPT:
                _, oldest = self._known.popitem(last=False)
                shutil.rmtree(oldest.folder)
        self._known.move_to_end(key)
        return self._known[key]

    def _run(
        self, cls: str, step: bool, by_file: bool, values: dict[str, Any], folder: Path
    ) -> Outcome:
        outcome = Outcome(folder=folder)
        values = {key: value for key, value in values.items() if value is not None}
        values.setdefault("log_json", str(folder / "log.json"))
        words = ["train", str(self.root), f"--model={cls}", f"--model-dir={folder}"]
        words.append(f"--pretrain-dir={self.root / 'pretrain'}")
        if by_file:
            config = self.root / f"{folder.name}.yaml"
            config.write_text(yaml.safe_dump(values))
            words.append(f"--config={config}")
        else:
            words += [flag(key, value) for key, value in values.items()]
        return self.command(words, outcome, step=step)

    def command(self, words: list[str], outcome: Outcome, *, step: bool = True) -> Outcome:
        """Run any command line of `train`, and look at its trainer."""
        real = Trainer.run

        def watched(trainer: Trainer) -> Any:
            outcome.trainer, model = trainer, trainer.model
            outcome.before = weights(model)
            train_step = model.train_step

            def seen(*batches: Any) -> Any:
                outcome.batches.append(batches)
                names = [thread.name for thread in threading.enumerate()]
                outcome.threads = sum(name.startswith("samples-") for name in names)
                losses = train_step(*batches) if step else stubbed(model, batches)
                outcome.losses.append({name: np.asarray(losses[name]) for name in losses})
                return losses

            model.train_step = seen
            if not step:
                model.preview = lambda *batches: outcome.shown.append(batches) or BLACK
            return real(trainer)

        said = io.StringIO()
        to_memory = contextlib.redirect_stdout(said), contextlib.redirect_stderr(said)
        watching = patch.object(Trainer, "run", watched)
        with to_memory[0], to_memory[1], watching, patch.dict(os.environ):
            os.environ.pop("CUDA_VISIBLE_DEVICES", None)
            outcome.code = run(words)
            outcome.environ = dict(os.environ)
        outcome.said = said.getvalue()
        return outcome


def stubbed(model: Any, batches: Any) -> dict[str, np.ndarray]:
    """Losses without a network: 0.5, and from iteration 105 on ten times that."""
    loss = 0.5 if model.iteration < 105 else 5.0
    return {name: np.full(batches[0].size, loss) for name in model.loss_names}


def flag(key: str, value: Any) -> str:
    """An option as it is written on the command line."""
    name = key.replace("_", "-")
    if isinstance(value, bool):
        return f"--{name}" if value else f"--no-{name}"
    return f"--{name}={value}"

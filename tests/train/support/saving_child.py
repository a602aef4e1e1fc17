"""A trainer of the fake model in a process of its own, which saves after every iteration.

    python -m tests.train.support.saving_child MODEL_DIR [SECONDS]

With DFL_TF_WORKS_AHEAD=1 it saves every third one, and reads losses late between. It resumes what
it finds; an iteration takes SECONDS. Killed at any moment it must leave a whole model.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from dfl_tf.devices.cpu import cpu_works_ahead
from dfl_tf.formats import find_models, read_model
from dfl_tf.jobs.events import Events
from dfl_tf.train.sinks.console import ConsoleLog

from .fake_model import FakeModel
from .runs import trainer


class SlowModel(FakeModel):
    seconds = 0.0

    def train_step(self, *batches):
        time.sleep(self.seconds)
        return super().train_step(*batches)


def main(folder: Path, seconds: float) -> int:
    model = SlowModel(size=100_000)
    model.seconds = seconds
    model.works_ahead = cpu_works_ahead()
    found = find_models(folder, "SAEHD")
    position = 0
    if found:
        state = read_model(folder, "new", "SAEHD")
        model.load_state(state)
        position = state.run["positions"]["src"]
    run = trainer(
        folder,
        model,
        first=not found,
        position=position,
        save_every_iters=3 if model.works_ahead else 1,
        no_preview=True,
        guard_collapse=False,
        log=Events([ConsoleLog(10**9)]),
    )
    return run.run().exit_code


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), float((*sys.argv, 0.0)[2])))

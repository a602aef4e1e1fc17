"""A trainer of the fake model in a process of its own, which saves after every iteration.

    python -m tests.train.support.saving_child MODEL_DIR

It resumes what it finds. Killed at any moment it must leave a whole model.
"""

from __future__ import annotations

import sys
from pathlib import Path

from dfl_tf.formats import find_models, read_model
from dfl_tf.train.logging import ConsoleLog

from .fake_model import FakeModel
from .runs import trainer


def main(folder: Path) -> int:
    model = FakeModel(size=100_000)
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
        save_every_iters=1,
        no_preview=True,
        guard_collapse=False,
        log=ConsoleLog(10**9),
    )
    return run.run().exit_code


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))

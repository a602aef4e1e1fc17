"""A training in a process of its own: the real trainer around the fake model of tests/train.

python live_training.py MODEL_DIR
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "train"))

from dfl_tf.formats import ModelLock
from dfl_tf.jobs.events import Events
from dfl_tf.train.events import Start
from dfl_tf.train.sinks.json_lines import JsonLinesLog, log_beside
from support import runs
from support.fake_model import FakeModel


class SlowModel(FakeModel):
    """One that takes its time."""

    def train_step(self, *batches: object) -> object:
        """As the fake model, 20 ms later."""
        time.sleep(0.02)
        return super().train_step(*batches)


def main(folder: Path) -> int:
    """Train until somebody asks for the end."""
    with ModelLock(folder, "new", "SAEHD"):
        log = Events([JsonLinesLog(log_beside(folder, "new_SAEHD"), 5, rotated=True)])
        trainer = runs.trainer(folder, SlowModel(), log=log)
        options = trainer.segment.settings.legacy()
        log.emit(Start("new", "SAEHD", str(folder), 0, 1, options))
        result = trainer.run()
        log.close()
        return result.exit_code


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))

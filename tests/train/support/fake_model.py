"""A tiny NumPy model with the interface of `FaceModel`: what is tested is the trainer around it.

Every weight always equals a function of the iteration and of the samples consumed, so a torn or
mixed save can be told from its content alone.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np

from dfl_tf.data import Batch
from dfl_tf.formats.models.state import ModelState
from dfl_tf.options import SAEHDOptions, default, to_legacy

PARTS = ("encoder", "inter", "decoder_src", "decoder_dst", "src_dst_opt")


class FakeModel:
    """Networks of one tensor each; training adds the mean of the batch."""

    model_class = "SAEHD"
    loss_names = ("src", "dst")
    previous = ()
    history_period = 10
    previews_one_face = False
    average = None
    works_ahead = False
    placement = SimpleNamespace(on_cpu=True)
    uncounted = 0

    def __init__(self, given: SAEHDOptions | None = None, *, size: int = 64) -> None:
        self.options = given or options()
        self.effective = self.options
        self.variance = {"src": 0.05, "dst": 0.05}
        self.step = SimpleNamespace(
            scalars=lambda report=None: {"learning_rate/src_dst_opt": 5e-5},
            output_variance=lambda report=None: dict(self.variance),
            report=None,
        )
        self.iteration = 0
        self.loss_history: list[list[float]] = []
        self.extra: dict[str, object] = {}
        self.size = size
        self.weight = np.zeros(size, np.float32)
        self.losses_to_give: dict[int, float] = {}
        self.spoil_weights_at: int | None = None

    @property
    def begun(self) -> int:
        """Iterations that are finished or begun."""
        return self.iteration + self.uncounted

    def train_step(self, *batches):
        mean = np.float32(np.mean([batch["image"].mean() for batch in batches]))
        self.weight = self.weight + mean
        step = self.begun + 1
        if step == self.spoil_weights_at:
            self.weight = self.weight * np.nan
        loss = self.losses_to_give.get(step, 1.0 / step)
        return {"src": np.full(2, loss), "dst": np.full(2, 2 * loss)}

    def preview(self, *batches):
        image = np.clip(batches[0]["image"][0], 0, 1)
        return [
            SimpleNamespace(name="SAEHD", image=image, captions=(), further=False),
            SimpleNamespace(name="SAEHD masked", image=image * 0.5, captions=(), further=False),
        ]

    @contextmanager
    def weights_from(self, tensors):
        yield

    def state(self, *, views: bool = False) -> ModelState:
        tensors = {
            part: {
                "layer/weight:0": self.weight + index,
                "layer/mark:0": np.full(self.size, self.iteration, np.float32),
            }
            for index, part in enumerate(PARTS)
        }
        tensors["src_dst_opt"]["iters:0"] = np.int64(self.iteration)
        return ModelState(
            model_class=self.model_class,
            iteration=self.iteration,
            options=to_legacy(self.options),
            loss_history=self.loss_history,
            tensors=tensors,
            extra=self.extra,
            run={},
        )

    def load_state(self, state: ModelState, *, reinit=()) -> list[str]:
        self.iteration = state.iteration
        self.loss_history = [list(entry) for entry in state.loss_history]
        self.extra = dict(state.extra)
        self.weight = np.array(state.tensors["encoder"]["layer/weight:0"])
        self.size = len(self.weight)
        return []

    @property
    def networks(self) -> dict[str, None]:
        return dict.fromkeys(PARTS[:-1])

    @property
    def optimizers(self) -> dict[str, None]:
        return dict.fromkeys(PARTS[-1:])

    def parameter_counts(self) -> dict[str, int]:
        return {part: self.size for part in PARTS[:-1]}


def check_whole(state: ModelState) -> None:
    """Assert that every part of a read state is of one and the same iteration."""
    assert len(state.loss_history) == state.iteration
    assert int(state.tensors["src_dst_opt"]["iters:0"]) == state.iteration
    weight = state.tensors["encoder"]["layer/weight:0"]
    for index, part in enumerate(PARTS):
        marks = np.unique(state.tensors[part]["layer/mark:0"])
        assert marks.tolist() == [state.iteration], (part, marks, state.iteration)
        np.testing.assert_array_equal(state.tensors[part]["layer/weight:0"], weight + index)


@dataclass
class FakeStream:
    """Batches that depend on the seed and the position only."""

    seed: int = 0
    position: int = 0
    batch_size: int = 2
    side: int = 32
    wait_seconds: float = 0.0
    closed: bool = field(default=False)

    def __next__(self):
        rng = np.random.RandomState((self.seed * 1000003 + self.position) % 2**31)
        self.position += self.batch_size
        shape = (self.batch_size, self.side, self.side)
        channels = {"image": 3, "target": 3, "mask": 1, "eyes_mouth": 1}
        return Batch(
            {n: rng.random_sample((*shape, c)).astype(np.float32) for n, c in channels.items()}
        )

    def close(self) -> None:
        self.closed = True


def options(**values) -> SAEHDOptions:
    small = {"resolution": 64, "archi": "df", "batch_size": 2}
    return default(SAEHDOptions, **{**small, **values})

"""Which batches a run gets, also one that goes on where another was stopped."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np

import dfl_tf
from dfl_tf.data import Faceset, OutputSpec, SampleSpec
from dfl_tf.face import FaceType
from dfl_tf.options import RunOptions
from dfl_tf.train.batch_source import Facesets, open_batch_source

DEMO = Path(dfl_tf.__file__).parent / "demo_data"
SPEC = SampleSpec(
    resolution=32,
    face_type=FaceType.FULL,
    outputs={"image": OutputSpec(warp=True), "target": OutputSpec()},
)


def model(*, repeats: bool) -> SimpleNamespace:
    """What a batch source asks of a Quick96."""
    return SimpleNamespace(
        name="new",
        seed=3,
        options=SimpleNamespace(batch_size=2),
        works_ahead=False,
        sample_specs=lambda: {"src": SPEC, "dst": SPEC},
        preview_specs=dict,
        samples_per_step=2,
        effective=SimpleNamespace(),
        repeats_batch=lambda iteration: repeats and iteration == 3,
        previous=(),
    )


def same(a, b) -> bool:
    pairs = list(zip(a, b, strict=True))
    assert all(p.samples == q.samples for p, q in pairs)
    return all(np.array_equal(p[name], q[name]) for p, q in pairs for name in p.names)


def test_a_resumed_run_has_the_batch_before_where_it_is_taken_again():
    sides = [Faceset.open(DEMO / side / "aligned") for side in ("data_src", "data_dst")]
    facesets = Facesets(*sides)
    batch_source = open_batch_source(model(repeats=False), facesets, RunOptions(), {})
    drawn = [next(batch_source) for _ in range(3)]
    stored = batch_source.run_state()
    drawn.append(next(batch_source))
    batch_source.close()
    assert stored["positions"] == {"src": 6, "dst": 6}

    for again in (True, False):
        resumed = model(repeats=again)
        batch_source = open_batch_source(resumed, facesets, RunOptions(), stored, iteration=3)
        assert batch_source.run_state() == stored
        assert same(next(batch_source), drawn[3])
        assert same(resumed.previous, drawn[2]) if again else resumed.previous == ()
        batch_source.close()
    # Of a model of the legacy program nobody knows what it had drawn.
    legacy = model(repeats=True)
    open_batch_source(legacy, facesets, RunOptions(), {}, iteration=3).close()
    assert legacy.previous == ()


def test_a_roll_back_draws_other_samples_and_each_try_its_own():
    sides = [Faceset.open(DEMO / side / "aligned") for side in ("data_src", "data_dst")]
    facesets, drawn = Facesets(*sides), []
    for retry in (0, 1, 2, 1):
        stored = {"seed": 3, "positions": {"src": 6, "dst": 6}, "retry": retry}
        batch_source = open_batch_source(
            model(repeats=False), facesets, RunOptions(), stored, iteration=3
        )
        assert batch_source.run_state() == {"seed": 3, "positions": {"src": 6, "dst": 6}}
        drawn.append(next(batch_source))
        batch_source.close()
    assert same(drawn[1], drawn[3])
    faces = [[face.face for batch in each for face in batch.samples] for each in drawn]
    assert faces[0] != faces[1] != faces[2] != faces[0]

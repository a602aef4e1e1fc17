"""What options of a run change, as small statements about a run without and one with it."""

from __future__ import annotations

import json
from pathlib import Path, PurePath

import cv2
import numpy as np

from .option_checks import losses_differ
from .option_runs import Outcome

CALLS: dict[str, int] = {}
"""Calls that a test has counted, by what it calls them."""


def no_model(base: Outcome, run: Outcome) -> None:
    assert base.files("*.npy")
    assert not run.files("*.npy")


def reinitialized(base: Outcome, run: Outcome) -> None:
    """The named network starts over, and no other."""
    for part, values in base.before.items():
        assert np.array_equal(values, run.before[part]) == (part != "decoder_src")


def previews(base: Outcome, run: Outcome) -> None:
    assert base.files("*_preview/*.jpg")
    assert not run.files("*_preview/*.jpg")


def legacy_look(base: Outcome, run: Outcome) -> None:
    """Two rows of five faces of 64 pixels below the graph; else enlarged, with captions."""
    assert len(base.files("*_preview/SAEHD*.jpg")) == 4
    shown = run.files("*_preview/SAEHD*.jpg")
    assert {PurePath(name).name for name in shown} == {"SAEHD.jpg", "SAEHD masked.jpg"}
    sizes = [
        cv2.imdecode(np.frombuffer(image, np.uint8), cv2.IMREAD_COLOR).shape
        for outcome in (run, base)
        for name, image in outcome.files("*_preview/SAEHD.jpg").items()
    ]
    rows, caption, gap = 4, 18, 2
    enlarged = (rows * (128 + caption + gap) + gap, 5 * (128 + gap) + gap)
    assert sizes == [(100 + rows * 64, 5 * 64, 3), (100 + enlarged[0], enlarged[1], 3)]


def in_other_folder(base: Outcome, run: Outcome) -> None:
    assert base.files("*_preview/*.jpg")
    assert not run.files("*_preview/*.jpg")
    assert list((run.folder.parent / "shown here").glob("*.jpg"))


def new_faces(base: Outcome, run: Outcome) -> None:
    one, other = (o.model.extra["sample_for_preview"][0][1] for o in (base, run))
    assert not np.array_equal(one, other)
    stored = base.trainer.model.extra["sample_for_preview"]
    assert len(stored) == 2


def fewer_lines(base: Outcome, run: Outcome) -> None:
    for outcome, expected in ((base, [1, 2, 3, 4, 5]), (run, [2, 4])):
        lines = [e["iteration"] for e in outcome.events() if e["event"] == "iteration"]
        assert lines == expected


def no_remarks(base: Outcome, run: Outcome) -> None:
    for outcome, expected in ((base, True), (run, False)):
        lines = [str(e.get("text")) for e in outcome.events() if e["event"] == "message"]
        assert any(line.startswith("advice: ") for line in lines) is expected


def log_elsewhere(base: Outcome, run: Outcome) -> None:
    assert base.files("log.json")
    assert not run.files("log.json")
    lines = (run.folder.parent / "other.json").read_text().splitlines()
    assert json.loads(lines[-1])["event"] == "end"
    # the plot, the page and `status` read the one beside the model, which is kept all the same
    beside = next(run.folder.glob("*_log.jsonl")).read_text().splitlines()
    assert json.loads(beside[-1])["event"] == "end"
    assert len(beside) < len(lines)


def tensorboard_asked(base: Outcome, run: Outcome) -> None:
    """Its event files; without the extra, which one has to install."""
    if run.code == 0:
        assert list((run.folder.parent / "board").glob("events.*"))
    else:
        assert run.code == 2
        assert 'pip install "tensorboard>=2.20"' in run.said


def stopped_early(base: Outcome, run: Outcome) -> None:
    assert base.model.iteration == 45
    assert run.model.iteration < 45


def unguarded(base: Outcome, run: Outcome) -> None:
    """Losses jump at iteration 105; the guard ends the run with exit code 3."""
    assert (base.code, run.code) == (3, 0)
    assert run.model.iteration == 140


def bfloat16(base: Outcome, run: Outcome) -> None:
    losses_differ(base, run)
    np.testing.assert_allclose(base.losses[0]["src"], run.losses[0]["src"], rtol=0.1)


def twice_the_samples(base: Outcome, run: Outcome) -> None:
    assert len(run.losses[0]["src"]) == 2 * len(base.losses[0]["src"])


def same_step(base: Outcome, run: Outcome) -> None:
    np.testing.assert_array_equal(base.losses[0]["src"], run.losses[0]["src"])
    first = CALLS["both"] - CALLS["recompute on"]
    assert CALLS["recompute on"] > 1.5 * first > 0


def more_threads(base: Outcome, run: Outcome) -> None:
    assert (base.threads, run.threads) == (2, 6)  # of two streams


def saved_marker(base: Outcome, run: Outcome) -> None:
    """The command ran: it made a file in the folder that the run was started from."""
    assert Path("saved").exists()


def snapshots_of(outcome: Outcome) -> list[str]:
    return sorted(path.name for path in outcome.folder.glob("*_snapshots/*"))


def more_snapshots(base: Outcome, run: Outcome) -> None:
    assert snapshots_of(base) == ["regular-3", "regular-4"]
    assert snapshots_of(run) == ["regular-2", "regular-3", "regular-4"]


def the_best(base: Outcome, run: Outcome) -> None:
    assert not snapshots_of(base)
    (name,) = snapshots_of(run)
    values = [e["metrics"]["ssim"] for e in run.events() if e["event"] == "validation"]
    assert name == f"best-{1 + values.index(max(values))}"


def no_room(base: Outcome, run: Outcome) -> None:
    assert snapshots_of(base) == ["regular-1"]
    assert not snapshots_of(run)
    assert "more than the limit of 1e-06 GB (--snapshots-max-gb)" in run.said

"""What an option changes, as small statements about a training without it and one with it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .option_runs import Outcome, weights

Check = Callable[[Outcome, Outcome], None]
SRC, DST = 0, 1
WARPED, TARGET, MASK = "image", "target", "mask"


def same(one: Outcome, other: Outcome, side: int, *outputs: str) -> bool:
    """Whether arrays that were trained on are equal, bit by bit."""
    return all(np.array_equal(one.side(side, n), other.side(side, n)) for n in outputs)


def only_side(changed: int) -> Check:
    """All images of one side differ in some sample, and those of the other are the same."""

    def check(base: Outcome, run: Outcome) -> None:
        assert not same(base, run, changed, TARGET)
        assert same(base, run, 1 - changed, WARPED, TARGET, MASK)

    return check


def data_differs(base: Outcome, run: Outcome) -> None:
    assert not same(base, run, SRC, TARGET)
    assert not same(base, run, DST, TARGET)


def losses_differ(base: Outcome, run: Outcome) -> None:
    """From the same samples other losses follow."""
    assert all(same(base, run, side, WARPED, TARGET, MASK) for side in (SRC, DST))
    assert not np.array_equal(base.losses[0]["src"], run.losses[0]["src"])


def update_differs(base: Outcome, run: Outcome) -> None:
    """From the same samples and losses other weights follow."""
    assert all(same(base, run, side, WARPED, TARGET, MASK) for side in (SRC, DST))
    np.testing.assert_array_equal(base.losses[0]["src"], run.losses[0]["src"])
    one, other = weights(base.model), weights(run.model)
    assert any(not np.array_equal(one[part], other[part]) for part in one)


def smaller_step(base: Outcome, run: Outcome) -> None:
    """The same direction, a fiftieth of the way."""
    update_differs(base, run)
    far, near = (
        np.abs(weights(outcome.model)["encoder"] - outcome.before["encoder"]).mean()
        for outcome in (base, run)
    )
    assert far / near > 20


def drops_updates(base: Outcome, run: Outcome) -> None:
    """Seven of ten weights stay where they are."""

    def moved(outcome: Outcome) -> float:
        after = weights(outcome.model)["encoder"]
        return float(np.mean(after != outcome.before["encoder"]))

    assert moved(base) > 0.95
    assert 0.25 < moved(run) < 0.35


def clips(base: Outcome, run: Outcome) -> None:
    """The first moment is that of a gradient of norm 1 at most."""

    def norm(outcome: Outcome) -> float:
        slots = outcome.model.state().tensors["src_dst_opt"]
        moments = [v for k, v in slots.items() if k.startswith("ms_")]
        return float(np.sqrt(sum(np.sum(np.square(v)) for v in moments)))

    update_differs(base, run)
    assert norm(run) < norm(base)
    assert norm(run) <= 0.1 + 1e-5


def no_warp(base: Outcome, run: Outcome) -> None:
    """The network is shown what it is to draw."""
    for side in (SRC, DST):
        assert not np.array_equal(base.side(side, WARPED), base.side(side, TARGET))
        np.testing.assert_array_equal(run.side(side, WARPED), run.side(side, TARGET))


def hsv(base: Outcome, run: Outcome) -> None:
    """Colors of what the network sees of src change; targets and dst do not."""
    assert same(base, run, SRC, TARGET, MASK)
    assert same(base, run, DST, WARPED, TARGET, MASK)
    assert not same(base, run, SRC, WARPED)


def colors_of_dst(base: Outcome, run: Outcome) -> None:
    """Faces of src turn from red to the blue of dst (or its green); those of dst stay."""
    blue, _, red = np.moveaxis(run.side(SRC, TARGET).mean((1, 2)), -1, 0)
    assert base.side(SRC, TARGET)[..., 2].mean() > 0.4
    assert red.max() < 0.25
    assert blue.mean() > 0.15
    assert same(base, run, SRC, MASK)
    assert same(base, run, DST, WARPED, TARGET, MASK)


def turned(outcome: Outcome, side: int) -> int:
    """How many of the samples are the face that is turned away: it is the green one."""
    means = outcome.side(side, TARGET).mean((1, 2))
    return int(np.sum(means[:, 1] > 2 * np.maximum(means[:, 0], means[:, 2])))


def turned_more_often(base: Outcome, run: Outcome) -> None:
    """The turned face is alone in its bin of yaw, the others share one: it comes as often."""
    for side in (SRC, DST):
        assert turned(base, side) == 3  # 24 samples are three rounds of eight faces
        assert turned(run, side) == 12


def pretraining(base: Outcome, run: Outcome) -> None:
    """Both sides are the faces of the folder for pretraining, which are blue."""
    for side in (SRC, DST):
        samples = run.side(side, TARGET)
        assert samples[..., 0].mean() > samples[..., 2].mean()
    assert base.side(SRC, TARGET)[..., 2].mean() > base.side(SRC, TARGET)[..., 0].mean()


def sizes(*parts: str, same_in: str = "") -> Check:
    """Networks that have another number of weights; `same_in` is one that has not."""

    def check(base: Outcome, run: Outcome) -> None:
        for part in parts:
            assert base.size(part) != run.size(part), part
        if same_in:
            assert base.size(same_in) == run.size(same_in)

    return check


def new_file(pattern: str) -> Check:
    """There are files of such a name, and without the option there are none."""

    def check(base: Outcome, run: Outcome) -> None:
        assert not base.files(pattern)
        assert run.files(pattern)

    return check


def trained(iterations: int) -> Check:
    def check(base: Outcome, run: Outcome) -> None:
        assert (base.model.iteration, run.model.iteration) == (1, iterations)

    return check


def batch_of(count: int) -> Check:
    def check(base: Outcome, run: Outcome) -> None:
        assert base.batches[0][0].size != count
        assert run.batches[0][0].size == count

    return check


def image_side(pixels: int) -> Check:
    def check(base: Outcome, run: Outcome) -> None:
        assert base.batches[0][0]["image"].shape[1] != pixels
        assert run.batches[0][0]["image"].shape[1:3] == (pixels, pixels)

    return check


def saves_at(*iterations: int) -> Check:
    """The iterations of all saves; the base saves the first of three and the last one."""

    def check(base: Outcome, run: Outcome) -> None:
        def saves(outcome: Outcome) -> list[int]:
            return [e["iteration"] for e in outcome.events() if e["event"] == "save"]

        assert saves(base) == [1, 3]
        assert saves(run) == list(iterations)

    return check


def events_at(kind: str, *iterations: int) -> Check:
    def check(base: Outcome, run: Outcome) -> None:
        found = [event["iteration"] for event in run.events() if event["event"] == kind]
        assert found == list(iterations)

    return check

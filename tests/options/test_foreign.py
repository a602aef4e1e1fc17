"""Options of forks: kept, said once where they ask for something, marked in the summary."""

from __future__ import annotations

import pytest

from dfl_tf.options import (
    AMPOptions,
    Layer,
    Quick96Options,
    SAEHDOptions,
    XSegOptions,
    kept_unused,
    resolve,
    summary_text,
    unused_note,
)
from dfl_tf.options.legacy import legacy_layer
from dfl_tf.options.resolve import OptionErrors

NEUTRAL = {
    "loss_function": "SSIM",
    "random_noise": False,
    "random_shadow": "none",
    "random_shadow_src": [{"enabled": False, "strength": 3}],
    "background_power": 0.0,
    "gan_smoothing": 0.1,
    "session_name": "",
    "use_fp16": False,
}
ASKING = {
    "loss_function": "MS-SSIM+L1",
    "random_blur": True,
    "random_shadow_dst": {"enabled": True},
}


def test_only_values_that_ask_for_something_are_listed():
    assert unused_note(NEUTRAL) == []
    (line,) = unused_note(NEUTRAL | ASKING | {"odd_key": 3})
    assert line.startswith("options of another program, kept with the model but not used: ")
    assert "loss_function=MS-SSIM+L1" in line
    assert "random_blur=True" in line
    assert "random_shadow_dst" in line
    assert "odd_key=3" in line
    assert "use_fp16" not in line


def test_the_summary_marks_them():
    options = {"resolution": 64, **ASKING}
    unused = kept_unused({key: value for key, value in options.items() if key != "resolution"})
    text = summary_text("new_SAEHD", 1, options, unused=unused)
    assert "loss_function: MS-SSIM+L1 (kept, not used)" in text
    assert "resolution: 64 " in text
    assert text.count("(kept, not used)") == 3
    assert len({len(line) for line in text.splitlines()}) == 1  # the frame stays straight


@pytest.mark.parametrize(
    ("cls", "rate"),
    [(SAEHDOptions, 5e-5), (AMPOptions, 5e-5), (Quick96Options, 2e-4), (XSegOptions, 1e-4)],
)
def test_the_learning_rate_is_an_option_and_its_default_stays_out_of_the_dictionary(cls, rate):
    outcome = resolve(cls, [])
    assert outcome.options.lr == rate
    assert "lr" not in outcome.legacy()
    changed = resolve(cls, [Layer({"lr": "2e-5"}, "a flag")])
    assert changed.options.lr == 2e-5
    assert changed.legacy()["lr"] == 2e-5
    for wrong in ("1e-2", "1e-7", "nan"):
        with pytest.raises(OptionErrors, match="lr"):
            resolve(cls, [Layer({"lr": wrong}, "a flag")])


@pytest.mark.parametrize("rate", [5e-5, 1e-4])
def test_the_rate_that_a_fork_stored_is_taken_and_kept(rate):
    stored = {"resolution": 64, "lr": rate, "random_noise": True}
    outcome = resolve(SAEHDOptions, [legacy_layer(SAEHDOptions, stored, origin="data.dat")])
    assert outcome.options.lr == rate
    assert outcome.legacy()["lr"] == rate
    assert outcome.unknown == {"random_noise": True}

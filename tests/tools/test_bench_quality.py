"""How the curves of ways of training are compared."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import bench_quality
import pytest
from bench_quality import Clock, Curve, Variant, time_to, verdict


def curve(*points: tuple[float, float]) -> Curve:
    found = Curve(Variant(), Path())
    found.points = [{"seconds": seconds, "ssim": ssim} for seconds, ssim in points]
    return found


def test_the_time_to_a_level_lies_on_the_line_between_stops():
    one = curve((10.0, 0.4), (30.0, 0.8), (50.0, 0.7))
    assert time_to(one, 0.2) == pytest.approx(5)
    assert time_to(one, 0.4) == pytest.approx(10)
    assert time_to(one, 0.6) == pytest.approx(20)
    assert time_to(one, 0.9) is None


def test_the_first_to_the_level_that_all_reached_comes_first():
    lines = verdict({"slow": curve((20.0, 0.5), (40.0, 0.9)), "fast": curve((10.0, 0.5))})
    assert lines[0].startswith("to an SSIM of 0.5000")
    assert [line.split()[0] for line in lines[1:]] == ["fast", "slow"]
    assert lines[2].split()[1:] == ["20.0", "s", "2.00", "x"]


def test_first_iterations_of_a_round_count_as_the_usual_ones():
    clock = Clock()
    for seconds in (30.0, 5.0, 1.0, 1.0, 2.0):
        clock(SimpleNamespace(kind="iteration", seconds=seconds))
    clock(SimpleNamespace(kind="validation", seconds=7.0))
    assert clock.seconds == pytest.approx(4.0 + 2 * 1.0)
    assert clock.validations == [7.0]


def test_a_variant_says_what_differs():
    for variant in bench_quality.VARIANTS.values():
        assert variant.options.keys() <= {"lr_dropout", "random_warp", "ema"}
        assert variant.ema == ("ema" in variant.options)
        assert variant.run.keys() <= {"precision"}

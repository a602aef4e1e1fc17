"""Several devices are one device with the definition's arithmetic, to the last digits of float64.

Figures come from child processes (`support/spread_child.py`) with four CPU devices: one for every
run of the suite, one with the further models for `tools/full.sh`.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
TOLERANCE = 1e-10


FURTHER = ("offloaded", "golden", "four", "amp")
MODELS = ("offloaded", "four", "amp")
CASES = ["two", *(pytest.param(case, marks=pytest.mark.slow) for case in MODELS)]


def figures(*cases: str) -> dict[str, Any]:
    child = subprocess.run(
        [sys.executable, "-m", "tests.train.support.spread_child", *cases],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": "tools", "TF_CPP_MIN_LOG_LEVEL": "2"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert child.returncode == 0, child.stderr[-3000:]
    return json.loads(child.stdout)


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    return figures("trap", "two", "lost")


@pytest.fixture(scope="module")
def further() -> dict[str, Any]:
    return figures(*FURTHER)


@pytest.fixture
def result(case: str, request: pytest.FixtureRequest) -> Any:
    return request.getfixturevalue("further" if case in FURTHER else "found")[case]


def test_keras_sums_over_replicas_and_we_average(found):
    # gradients 1 and 3 move a variable by 4 in Keras; DFL means 2
    assert (found["trap"]["keras"], found["trap"]["ours"]) == (4.0, 2.0)


@pytest.mark.parametrize("case", CASES)
def test_devices_equal_the_split_definition(result):
    assert result["start"] == 0
    assert result["losses"] <= TOLERANCE
    assert result["arrays"] <= TOLERANCE
    assert result["moved"] >= 0.8 * result["variables"]
    assert result["copies"] == 0  # also of the masks of lr-dropout


@pytest.mark.parametrize("case", CASES)
def test_state_of_mirrored_variables_is_an_ordinary_state(result):
    assert result["same_keys"]
    assert result["loaded"] == 0


@pytest.mark.slow
def test_four_devices_have_their_copies(further):
    assert further["four"]["variable devices"] == [["CPU:0", "CPU:1", "CPU:2", "CPU:3"]]


def test_every_device_has_its_copy_and_computes_its_share(found):
    assert found["two"]["variable devices"] == [["CPU:0", "CPU:1"]]
    places = {f"{what} CPU:{n}" for what in ("convolution", "update") for n in range(2)}
    assert set(found["two"]["operation devices"]) == places


@pytest.mark.slow
def test_offloaded_weights_and_slots_are_in_host_memory_and_the_networks_elsewhere(further):
    assert further["offloaded"]["variable devices"] == [["CPU:0"]]
    places = {"convolution CPU:1", "convolution CPU:2", "update CPU:0"}
    assert set(further["offloaded"]["operation devices"]) == places


def test_a_step_that_was_begun_with_a_worker_is_finished_without_it(found):
    lost = found["lost"]
    assert lost["steps"] == {"src_dst_opt": 1, "GAN_opt": 1}
    assert lost["losses"] == 2
    assert lost["told"] == "worker 1 (two:2) was lost."


@pytest.mark.slow
def test_two_devices_match_the_golden_run_of_two_devices(further):
    # error / tolerance of the worst check of saehd_multigpu2_clipgrad
    assert further["golden"]["checks"] > 10
    assert further["golden"]["worst"] <= 1

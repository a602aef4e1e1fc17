"""Options that came with the files are compared with the weights before memory is taken."""

from __future__ import annotations

import math
from dataclasses import replace

import keras
import pytest

from dfl_tf.errors import ModelFileError, OptionError
from dfl_tf.models.restore import restore
from dfl_tf.options import OPTIONS, Layer, resolve

pytestmark = pytest.mark.usefixtures("eagerly")

HUGE = 1_000_000
SIZES = {
    "SAEHD": ("ae_dims", "e_dims", "d_dims", "d_mask_dims", "gan_dims"),
    "AMP": ("ae_dims", "e_dims", "d_dims", "d_mask_dims", "inter_dims", "gan_dims"),
}


@pytest.fixture
def memory(monkeypatch):
    """Fail when a variable with more elements than the largest of a small model gets its value."""
    initialize = keras.Variable._initialize_with_initializer

    def guarded(self, initializer):
        assert math.prod(self._shape) <= 2**22
        initialize(self, initializer)

    monkeypatch.setattr(keras.Variable, "_initialize_with_initializer", guarded)


@pytest.mark.parametrize(("cls", "key"), [(cls, key) for cls in SIZES for key in SIZES[cls]])
def test_sizes_that_the_weights_do_not_have_take_no_memory(make, memory, cls, key):
    state = make(cls, gan_power=0.1).state()
    if key != "gan_dims":  # a discriminator of another size starts over
        with pytest.raises(ModelFileError, match=r"do not fit the options: .* misshapen"):
            make(cls, gan_power=0.1, settings={"expected": state}, **{key: HUGE})
    # a saved size above the range stays, so that models of forks load, but not one like this
    with pytest.raises(OptionError, match=f"{key}={HUGE} .* by far: no model can have it"):
        restore(_with(state, {key: HUGE}), name="x")
    with pytest.raises(ModelFileError, match="misshapen"):
        restore(_with(state, {key: 4000, "gan_power": 0.1}), name="x")


def _with(state, options):
    return replace(state, options={**state.options, **options})


def test_a_part_that_is_named_for_reinit_is_not_compared(make):
    model = make(archi="df")
    state = model.state()
    state.tensors["inter"]["dense1/bias:0"] = state.tensors["inter"]["dense1/bias:0"][:5]
    with pytest.raises(ModelFileError, match="inter: 1 misshapen"):
        make(archi="df", settings={"expected": state})
    assert make(archi="df", settings={"expected": state, "reinit": ("inter",)})


def test_nothing_of_the_comparison_waits_for_memory_later(make, memory):
    state = make().state()
    with pytest.raises(ModelFileError):
        make(settings={"expected": state}, ae_dims=HUGE)
    # the end of a scope gives values to all variables that wait for them
    with keras.StatelessScope():
        pass


def test_defaults_of_earlier_models_out_of_range_are_not_taken_over():
    layer = Layer({"ae_dims": HUGE, "batch_size": 6}, "defaults.dat", kind="defaults")
    outcome = resolve(OPTIONS["SAEHD"], [layer], new=True)
    assert (outcome.options.ae_dims, outcome.options.batch_size) == (256, 6)
    assert any("ae_dims=1000000 is outside" in text for text in outcome.warnings)

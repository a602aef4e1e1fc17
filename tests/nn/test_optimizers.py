from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from dfl_tf_ops import native
from dfl_tf_ops.reference import optimizers as reference

from dfl_tf.errors import ModelFileError
from dfl_tf.nn.optimizers import AdaBelief, RMSprop

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden" / "training"
CLASSES = {"AdaBelief": AdaBelief, "RMSprop": RMSprop}
NAMES = ["net/v0:0", "net/v1:0"]


@pytest.fixture(params=["fallback", pytest.param("native", marks=pytest.mark.native)])
def backend(request, monkeypatch):
    """Run the test on plain TensorFlow ops and on the C++ library."""
    monkeypatch.setenv("DFL_TF_NATIVE", "off" if request.param == "fallback" else "require")
    native.forget()
    if request.param == "native":
        assert native.backend().name == "native"
    yield request.param
    native.forget()


def make(cls, values, dtype="float32", **settings):
    """An optimizer built on variables with these values."""
    optimizer = cls(**settings)
    variables = [
        keras.Variable(np.asarray(v), dtype=dtype, name=f"v{i}") for i, v in enumerate(values)
    ]
    optimizer.build(variables)
    return optimizer, variables


def numbers(seed, shapes=((7,), (3, 5)), dtype=np.float32):
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(s).astype(dtype) for s in shapes]


@pytest.mark.golden
class TestGolden:
    @pytest.mark.parametrize("tag", ["clip0", "clip1", "clip1_small", "lr2e-4", "fp16"])
    @pytest.mark.parametrize("name", list(CLASSES))
    def test_ten_steps(self, backend, name, tag):
        with np.load(GOLDEN / "unit_optimizers.npz") as arrays:
            golden = {
                k.removeprefix(f"{name}_{tag}_"): arrays[k] for k in arrays if f"{name}_{tag}_" in k
            }
        starts = [golden["v0_init"], golden["v1_init"]]
        optimizer, variables = make(
            CLASSES[name],
            starts,
            starts[0].dtype.name,
            learning_rate=2e-4 if tag == "lr2e-4" else 5e-5,
            clipnorm=1.0 if tag.startswith("clip1") else 0.0,
        )

        @tf.function
        def apply(a, b):
            optimizer.apply([a, b], variables)

        slot_names = [n.removeprefix("opt/") for n in golden["slot_names"]]
        for step in range(10):
            apply(*(tf.constant(golden[f"v{i}_grads"][step]) for i in (0, 1)))
            for i, variable in enumerate(variables):
                expected = golden[f"v{i}_traj"][step].astype(np.float64)
                np.testing.assert_allclose(np.asarray(variable), expected, rtol=0, atol=1e-8)
            state = optimizer.state_arrays(NAMES)
            assert list(state) == slot_names
            for j, key in enumerate(slot_names):
                expected = golden[f"slot{j}_traj"][step].astype(np.float64)
                np.testing.assert_allclose(state[key], expected, rtol=1e-6, atol=0)

    def test_cosine_factors(self):
        with np.load(GOLDEN / "unit_lrcos.npz") as golden:
            for name, cls in CLASSES.items():
                optimizer = cls(1.0, lr_cos=500)
                for before, factor in zip(
                    golden["iterations_before_step"],
                    golden[f"eff_factor_{name.lower()}"],
                    strict=True,
                ):
                    rate = float(optimizer.effective_rate(int(before) + 1))
                    assert rate == pytest.approx(factor, abs=1e-6)


class TestStep:
    def test_float64_is_exact_and_keeps_the_rate_in_double(self, backend):
        start = numbers(0, dtype=np.float64)
        optimizer, variables = make(AdaBelief, start, "float64", learning_rate=5e-5, clipnorm=1.0)
        assert optimizer.learning_rate == 5e-5
        expected = [(w, np.zeros_like(w), np.zeros_like(w)) for w in start]
        for step in range(5):
            grads = numbers(step + 1, dtype=np.float64)
            optimizer.apply([tf.constant(g) for g in grads])
            scale = 1 / reference.global_norm(grads)
            expected = [
                reference.adabelief(*e, g * scale, learning_rate=5e-5)
                for e, g in zip(expected, grads, strict=True)
            ]
        for i, variable in enumerate(variables):
            np.testing.assert_allclose(variable, expected[i][0], rtol=0, atol=1e-15)
            for slot, value in zip(("ms", "vs"), expected[i][1:], strict=True):
                np.testing.assert_allclose(optimizer.slot(slot, variable), value, rtol=1e-13)

    def test_cosine_in_float64(self):
        rate = AdaBelief(5e-5, lr_cos=500).effective_rate(tf.constant(7, tf.int64), tf.float64)
        exact = 5e-5 * (np.cos(7 * (2 * 3.1415926535 / 500)) + 1) / 2
        assert float(rate) == pytest.approx(exact, rel=1e-15)

    def test_the_norm_is_that_of_all_gradients_of_the_call(self, backend):
        """Two variables whose own norms are below the bound, but not together."""
        optimizer, _ = make(RMSprop, [np.zeros(1), np.zeros(1)], clipnorm=1.0)
        optimizer.apply([tf.constant([0.8]), tf.constant([0.8])])
        slots = optimizer.state_arrays(NAMES)
        expected = 0.1 * (0.8 / np.hypot(0.8, 0.8)) ** 2
        for name in ("acc_net/v0_0:0", "acc_net/v1_0:0"):
            np.testing.assert_allclose(slots[name], expected, rtol=1e-6)

    def test_a_subset_leaves_the_others_alone(self, backend):
        """Frozen inter_AB: not moved, slots unchanged, not in the norm."""
        start = numbers(0)
        optimizer, variables = make(AdaBelief, start, clipnorm=1.0)
        alone, one = make(AdaBelief, start[1:], clipnorm=1.0)
        optimizer.apply([tf.constant(g) for g in numbers(1)])
        before = {k: np.array(v) for k, v in optimizer.state_arrays(NAMES).items()}
        frozen = variables[0].numpy()
        for slot in ("ms", "vs"):
            alone.slot(slot, one[0]).assign(optimizer.slot(slot, variables[1]))
        one[0].assign(variables[1])
        grad = tf.constant(10 * numbers(2)[1])
        optimizer.apply([grad], variables[1:])
        alone.apply([grad])
        after = optimizer.state_arrays(NAMES)
        np.testing.assert_array_equal(variables[0], frozen)
        for key in ("ms_net/v0_0:0", "vs_net/v0_0:0"):
            np.testing.assert_array_equal(after[key], before[key])
        np.testing.assert_array_equal(variables[1], one[0])
        assert after["iters:0"] == 2

    def test_a_subset_keeps_the_masks_of_its_variables(self, backend):
        """The mask belongs to the variable's place in `build`, whatever else moves."""
        moved = []
        for subset in (slice(None), slice(1, None)):
            optimizer, variables = make(
                RMSprop, [np.zeros(500), np.zeros(500)], lr_dropout=0.3, seed=3, learning_rate=1.0
            )
            optimizer.apply([tf.ones(500)] * len(variables[subset]), variables[subset])
            moved.append(np.asarray(variables[1]) != 0)
        np.testing.assert_array_equal(*moved)

    @pytest.mark.parametrize("name", list(CLASSES))
    def test_lr_dropout_facts(self, backend, name):
        """Share 0.3, redrawn each step, the rest bit-equal, slots move everywhere."""
        start = numbers(0, ((40_000,), (200, 300)))
        optimizer, variables = make(CLASSES[name], start, lr_dropout=0.3, learning_rate=1e-3)

        @tf.function
        def apply(*grads):
            optimizer.apply(grads, variables)

        changed = []
        for step in range(3):
            before = [v.numpy() for v in variables]
            apply(*numbers(step + 1, ((40_000,), (200, 300))))
            changed.append(
                np.concatenate(
                    [(np.asarray(v) != b).ravel() for v, b in zip(variables, before, strict=True)]
                )
            )
        # lr_dropout_stats of the golden: 0.30 a step, overlap of consecutive steps 0.09
        assert [c.mean() for c in changed] == pytest.approx([0.3] * 3, abs=0.006)
        assert (changed[0] & changed[1]).mean() == pytest.approx(0.09, abs=0.006)
        for key, value in optimizer.state_arrays(NAMES).items():
            assert np.all(value != 0), key

    def test_same_seed_and_iteration_give_the_same_step(self, backend):
        results = []
        for seed in (1, 1, 2):
            optimizer, variables = make(
                AdaBelief, [np.zeros(3000)], lr_dropout=0.3, seed=seed, learning_rate=1.0
            )
            optimizer.apply([tf.ones(3000)])
            results.append(variables[0].numpy())
        np.testing.assert_array_equal(results[0], results[1])
        assert np.any(results[0] != results[2])

    def test_injected_masks(self, backend):
        optimizer, variables = make(RMSprop, [np.zeros(4), np.zeros(2)], learning_rate=1.0)
        optimizer.inject_masks = [np.array([1, 0, 1, 0]), np.array([0, 1])]
        optimizer.apply([tf.ones(4), tf.ones(2)])
        assert [(np.asarray(v) != 0).tolist() for v in variables] == [
            [True, False, True, False],
            [False, True],
        ]

    def test_no_weight_is_written_before_the_last_gradient_is_known(self, backend):
        """The gradient of the first variable needs the old value of the second."""
        optimizer, (a, b) = make(RMSprop, [[2.0], [3.0]], learning_rate=1.0)

        @tf.function
        def step():
            with tf.GradientTape() as tape:
                loss = a.value * b.value
            optimizer.apply(tape.gradient(loss, [a.value, b.value]), [a, b])

        step()
        state = optimizer.state_arrays(NAMES)
        np.testing.assert_allclose(state["acc_net/v0_0:0"], [0.9], rtol=1e-6)
        np.testing.assert_allclose(state["acc_net/v1_0:0"], [0.4], rtol=1e-6)

    def test_missing_gradients_are_named(self):
        optimizer, _ = make(AdaBelief, numbers(0))
        with pytest.raises(ValueError, match="src_dst_opt: no gradient for v1"):
            optimizer.apply([tf.ones(7), None])
        with pytest.raises(ValueError, match="1 gradients for 2 variables"):
            optimizer.apply([tf.ones(7)])
        with pytest.raises(ValueError, match="Unknown variable"):
            optimizer.apply([tf.ones(1)], [keras.Variable([1.0])])

    def test_it_is_a_keras_optimizer(self):
        optimizer = AdaBelief(1e-4, lr_dropout=0.3, lr_cos=500, clipnorm=1.0, name="GAN_opt")
        assert isinstance(optimizer, keras.optimizers.Optimizer)
        again = AdaBelief.from_config(optimizer.get_config())
        assert again.get_config() == optimizer.get_config()
        optimizer.learning_rate = 3e-4
        assert optimizer.learning_rate == 3e-4
        model = keras.Sequential([keras.layers.Input((2,)), keras.layers.Dense(1)])
        model.compile(RMSprop(1e-2), loss="mse")
        x, y = np.eye(2, dtype=np.float32), np.ones((2, 1), np.float32)
        losses = model.fit(x, y, epochs=30, verbose=0).history["loss"]
        assert losses[-1] < losses[0]


class TestState:
    def trained(self, cls, steps=3):
        optimizer, variables = make(cls, numbers(0))
        for step in range(steps):
            optimizer.apply([tf.constant(g) for g in numbers(step + 1)])
        return optimizer, variables

    @pytest.mark.parametrize("name", list(CLASSES))
    def test_round_trip_continues_to_the_bit(self, name):
        optimizer, variables = self.trained(CLASSES[name])
        state = optimizer.state_arrays(NAMES)
        assert isinstance(state["iters:0"], np.int64)
        again, copies = make(CLASSES[name], [v.numpy() for v in variables])
        assert again.load_state_arrays(state, NAMES) == []
        for o, v in ((optimizer, variables), (again, copies)):
            o.apply([tf.constant(g) for g in numbers(9)], v)
        for a, b in zip(variables, copies, strict=True):
            np.testing.assert_array_equal(a, b)
        for key, value in again.state_arrays(NAMES).items():
            np.testing.assert_array_equal(value, optimizer.state_arrays(NAMES)[key])

    def test_switching_empties_the_slots_and_counts_on(self):
        state = self.trained(AdaBelief)[0].state_arrays(NAMES)
        optimizer, _ = self.trained(RMSprop, 1)
        (message,) = optimizer.load_state_arrays(state, NAMES)
        assert "another optimizer wrote it" in message
        after = optimizer.state_arrays(NAMES)
        assert after["iters:0"] == 3
        assert all(np.all(after[k] == 0) for k in after if k.startswith("acc_"))

    def test_all_errors_are_named_at_once_and_nothing_is_changed(self):
        optimizer, _ = self.trained(AdaBelief)
        state = optimizer.state_arrays(NAMES)
        broken = {k: v for k, v in state.items() if k not in ("iters:0", "vs_net/v0_0:0")}
        broken["ms_net/v1_0:0"] = np.zeros((4, 5))
        with pytest.raises(ModelFileError) as caught:
            optimizer.load_state_arrays(broken, NAMES)
        for part in (
            "iters:0 is missing",
            "vs_net/v0_0:0 is missing",
            "ms_net/v1_0:0 has shape (4, 5), not 3x5",
        ):
            assert part in str(caught.value)
        for key, value in optimizer.state_arrays(NAMES).items():
            np.testing.assert_array_equal(value, state[key])

    def test_other_shapes_of_equal_size_and_half_files_are_taken(self):
        optimizer, _ = self.trained(RMSprop)
        state = optimizer.state_arrays(NAMES)
        state["acc_net/v1_0:0"] = state["acc_net/v1_0:0"].astype(np.float16).reshape(15)
        fresh, _ = make(RMSprop, numbers(0))
        fresh.load_state_arrays(state, NAMES)
        got = fresh.state_arrays(NAMES)["acc_net/v1_0:0"]
        assert got.shape == (3, 5)
        assert got.dtype == np.float32

    @pytest.mark.parametrize("count", [np.array([7]), np.array([[7.0]], np.float32), np.int32(7)])
    def test_any_array_of_one_element_is_a_count(self, count):
        state = self.trained(RMSprop)[0].state_arrays(NAMES) | {"iters:0": count}
        fresh, _ = make(RMSprop, numbers(0))
        fresh.load_state_arrays(state, NAMES)
        assert fresh.state_arrays(NAMES)["iters:0"] == 7

    @pytest.mark.parametrize("count", [np.arange(2), np.array([]), -1, 1.5, np.nan, np.inf, 2**63])
    def test_anything_else_is_an_error_that_says_so(self, count):
        state = self.trained(RMSprop)[0].state_arrays(NAMES) | {"iters:0": np.asarray(count)}
        fresh, _ = make(RMSprop, numbers(0))
        with pytest.raises(ModelFileError, match=r"iters:0 is .* one whole number"):
            fresh.load_state_arrays(state, NAMES)

    def test_reset_and_optional_scopes_start_empty(self):
        names = ["inter_AB/w:0", "decoder/w:0"]
        optimizer, variables = self.trained(AdaBelief)
        state = optimizer.state_arrays(names)
        (message,) = optimizer.load_state_arrays(state, names, reset=["inter_AB"])
        assert "slots of inter_AB start empty" in message
        assert not np.any(optimizer.slot("ms", variables[0]))
        assert np.all(optimizer.slot("ms", variables[1]))
        del state["ms_decoder/w_0:0"], state["vs_decoder/w_0:0"]
        (message,) = optimizer.load_state_arrays(state, names, optional=["decoder"])
        assert "decoder" in message
        assert not np.any(optimizer.slot("vs", variables[1]))
        assert np.all(optimizer.slot("vs", variables[0]))

    def test_names_must_fit_the_variables(self):
        optimizer, _ = self.trained(AdaBelief)
        with pytest.raises(ValueError, match="built with 2 variables, got 1 names"):
            optimizer.state_arrays(["a:0"])


OFFLOAD = """
    import json, sys
    import numpy as np, tensorflow as tf, keras
    tf.config.threading.set_intra_op_parallelism_threads(1)
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    from dfl_tf.nn.optimizers import AdaBelief
    from dfl_tf_ops import native, optimizer_step
    keras.utils.set_random_seed(1)
    report = {}
    x = np.random.RandomState(0).rand(4, 8).astype("f")

    def train(variables_on_cpu, slots_on_cpu):
        start = np.random.RandomState(1).normal(size=(8, 300)).astype("f")
        with tf.device("CPU:0" if variables_on_cpu else "CPU:1"):
            w = keras.Variable(start, name="w")
            b = keras.Variable(np.zeros(300, "f"), name="b")
        optimizer = AdaBelief(1e-3, clipnorm=0.1, lr_dropout=0.3, dropout_on_cpu=True,
                              slots_on_cpu=slots_on_cpu)
        with tf.device("CPU:1"):
            optimizer.build([w, b])

        @tf.function
        def step(x):
            with tf.device("CPU:1"):
                with tf.GradientTape() as tape:
                    y = tf.matmul(x, w.value) + b.value
                    loss = tf.reduce_sum(tf.square(y - 1))
                grads = tape.gradient(loss, [w.value, b.value])
            optimizer.apply(grads, [w, b])
            return y

        for _ in range(3):
            step(tf.constant(x))
        total = float(np.abs(np.asarray(w)).sum())
        y = step.python_function(tf.constant(x))  # eagerly: tells where it was computed
        ops = step.get_concrete_function(tf.TensorSpec((4, 8))).graph.get_operations()
        return {
            "variables": [v.value.device[-5:] for v in (w, b)],
            "slots": [optimizer.slot(s, v).value.device[-5:] for s in ("ms", "vs") for v in (w, b)],
            "output": y.device[-5:],
            "fused": any("Adabelief" in op.type for op in ops),
            "sum": total,
            "products": sorted({op.device[-5:] for op in ops if op.type == "MatMul"}),
            "masks": sorted({op.device[-5:] for op in ops if "FullInt" in op.type}),
        }

    report["offloaded"] = train(True, True)
    report["slots only"] = train(False, True)
    report["all on device"] = train(False, False)
    values = [tf.constant(np.random.RandomState(2).normal(size=n).astype("f"))
              for n in (3, 65536, 200_001)]
    report["norm"] = float(optimizer_step.global_norm(values)).hex()
    report["backend"] = native.backend().name
    print(json.dumps(report))
"""


@pytest.fixture(scope="module")
def offload_report():
    """Train in a process with two logical CPU devices, device 1 in the role of the accelerator."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(OFFLOAD)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={"PYTHONPATH": f"{ROOT}:{ROOT / 'ops'}", "TF_CPP_MIN_LOG_LEVEL": "3", "PATH": ""},
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
class TestPlacement:
    """`models_opt_on_gpu = n`: shown on two logical CPU devices; not run on a GPU."""

    def test_variables_and_slots_stay_in_host_memory_while_the_network_runs_elsewhere(
        self, offload_report
    ):
        report = offload_report["offloaded"]
        assert report["variables"] == ["CPU:0"] * 2
        assert report["slots"] == ["CPU:0"] * 4
        assert report["output"] == "CPU:1"
        assert report["products"] == ["CPU:1"]
        assert report["fused"] == (offload_report["backend"] == "native")

    def test_slots_alone(self, offload_report):
        report = offload_report["slots only"]
        assert report["variables"] == ["CPU:1"] * 2
        assert report["slots"] == ["CPU:0"] * 4
        assert not report["fused"]
        assert report["masks"] == ["CPU:0"]  # dropout_on_cpu

    def test_without_offload_all_follows_the_variable(self, offload_report):
        report = offload_report["all on device"]
        assert report["variables"] == ["CPU:1"] * 2
        assert report["slots"] == ["CPU:1"] * 4

    def test_placement_does_not_change_the_result(self, offload_report):
        sums = [offload_report[k]["sum"] for k in ("offloaded", "slots only", "all on device")]
        assert sums == pytest.approx([sums[0]] * 3, rel=1e-6)

    @pytest.mark.native
    def test_the_norm_does_not_depend_on_the_number_of_threads(self, offload_report):
        """That process had one thread, this one has one for each core."""
        from dfl_tf_ops import optimizer_step

        assert offload_report["backend"] == "native"
        values = [
            tf.constant(np.random.RandomState(2).normal(size=n).astype("f"))
            for n in (3, 65536, 200_001)
        ]
        native.forget()
        assert float(optimizer_step.global_norm(values)).hex() == offload_report["norm"]

from __future__ import annotations

import threading

import numpy as np
import pytest
import tensorflow as tf
from dfl_tf_ops import native, optimizer_step
from dfl_tf_ops.reference import optimizers as reference

# Around the edges of a tile (1024) and of a job (65536).
SHAPES = [(1,), (5, 7), (1023,), (1024,), (1025,), (3, 3, 64, 115), (65537,)]
SEED = 0xDEADBEEF


def arrays(dtype, seed=0, shapes=SHAPES, scale=1.0):
    rng = np.random.default_rng(seed)
    return [(scale * rng.standard_normal(s)).astype(dtype) for s in shapes]


def variables(values):
    return [tf.Variable(v) for v in values]


def close(actual, expected, dtype):
    # README of the golden: 1e-8 absolute for weights of order 1 is one unit in the last place
    tolerance = 2e-7 if dtype == np.float32 else 1e-15
    np.testing.assert_allclose(np.asarray(actual), expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("keep", [1.0, 0.3])
def test_adabelief_equals_the_reference(backend, dtype, keep):
    start, zeros = arrays(dtype), [np.zeros(s, dtype) for s in SHAPES]
    var, m, v = variables(start), variables(zeros), variables(zeros)
    expected = [(w, z, z) for w, z in zip(start, zeros, strict=True)]
    indices = tuple(range(3, 3 + len(SHAPES)))
    dropout = optimizer_step.Dropout(keep=keep, seed=SEED, indices=indices)
    for step in (1, 2, 3):
        grads = arrays(dtype, step)
        optimizer_step.adabelief_step(
            var,
            m,
            v,
            [tf.constant(g) for g in grads],
            learning_rate=1e-2,
            clip_scale=0.25,
            step=tf.constant(step, tf.int64),
            dropout=dropout,
        )
        for i, grad in enumerate(grads):
            mask = reference.dropout_mask(grad.shape, keep, seed=SEED, index=indices[i], step=step)
            expected[i] = reference.adabelief(
                *expected[i], grad * dtype(0.25), learning_rate=1e-2, mask=mask
            )
            for actual, wanted in zip((var[i], m[i], v[i]), expected[i], strict=True):
                close(actual, wanted, dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("keep", [1.0, 0.3])
def test_rmsprop_equals_the_reference(backend, dtype, keep):
    start, zeros = arrays(dtype), [np.zeros(s, dtype) for s in SHAPES]
    var, acc = variables(start), variables(zeros)
    expected = list(zip(start, zeros, strict=True))
    indices = tuple(range(len(SHAPES)))
    for step in (1, 2, 3):
        grads = arrays(dtype, step)
        optimizer_step.rmsprop_step(
            var,
            acc,
            [tf.constant(g) for g in grads],
            learning_rate=1e-2,
            clip_scale=1.0,
            step=tf.constant(step, tf.int64),
            dropout=optimizer_step.Dropout(keep=keep, seed=SEED, indices=indices),
        )
        for i, grad in enumerate(grads):
            mask = reference.dropout_mask(grad.shape, keep, seed=SEED, index=i, step=step)
            expected[i] = reference.rmsprop(*expected[i], grad, learning_rate=1e-2, mask=mask)
            close(var[i], expected[i][0], dtype)
            close(acc[i], expected[i][1], dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_masks_are_the_same_bits_in_all_ways(backend, dtype):
    """Where the rate is so large that every kept entry must move, the moved ones are the mask."""
    shapes = [(n,) for n in (1, 1023, 1024, 1025, 65535, 65536, 70001)]
    var = variables([np.zeros(s, dtype) for s in shapes])
    acc = variables([np.zeros(s, dtype) for s in shapes])
    indices, step = (0, 1, 2, 7, 2**31, 2**32 - 1, 5), 2**33 + 12345
    optimizer_step.rmsprop_step(
        var,
        acc,
        [tf.ones(s, dtype) for s in shapes],
        learning_rate=1.0,
        clip_scale=1.0,
        step=tf.constant(step, tf.int64),
        dropout=optimizer_step.Dropout(keep=0.3, seed=SEED, indices=indices),
    )
    for index, value in zip(indices, var, strict=True):
        expected = reference.dropout_mask(value.shape, 0.3, seed=SEED, index=index, step=step)
        np.testing.assert_array_equal(np.asarray(value) != 0, expected)
        in_graph = optimizer_step.dropout_mask(
            value.shape, 0.3, seed=SEED, index=index, step=tf.constant(step, tf.int64)
        )
        np.testing.assert_array_equal(in_graph.numpy(), expected)


def test_philox_meets_the_published_vectors():
    """Known answers of Philox4x32-10 (Random123: kat_vectors), counter and key all zero."""
    assert [hex(x) for x in reference.philox(1, 0, 0, 0)[0]] == [
        "0x6627e8d5",
        "0xe169c58d",
        "0xbc57ac4c",
        "0x9b00dbd8",
    ]


def test_masks_keep_the_asked_share_and_differ_between_steps():
    masks = [reference.dropout_mask((300_000,), 0.3, seed=1, index=4, step=step) for step in (1, 2)]
    assert [m.mean() for m in masks] == pytest.approx([0.3, 0.3], abs=0.003)
    assert (masks[0] & masks[1]).mean() == pytest.approx(0.09, abs=0.003)


@pytest.mark.parametrize(("keep", "moved"), [(0.0, False), (1.0, True)])
def test_keep_zero_moves_none_and_one_moves_all(backend, keep, moved):
    var, acc = tf.Variable(tf.zeros(2000)), tf.Variable(tf.zeros(2000))
    optimizer_step.rmsprop_step(
        [var],
        [acc],
        [tf.ones(2000)],
        learning_rate=1.0,
        clip_scale=1.0,
        step=1,
        dropout=optimizer_step.Dropout(keep=keep, indices=(0,)),
    )
    assert np.all((np.asarray(var) != 0) == moved)
    assert np.all(np.asarray(acc) != 0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_global_norm_is_that_of_float64(backend, dtype):
    values = [*arrays(dtype, 3, scale=1e-3), np.full((1,), 7, dtype)]
    norm = optimizer_step.global_norm([tf.constant(v) for v in values])
    assert norm.dtype == dtype
    tolerance = 1e-6 if dtype == np.float32 else 1e-14
    assert float(norm) == pytest.approx(reference.global_norm(values), rel=tolerance)


@pytest.mark.native
class TestNative:
    """What only the C++ library does."""

    @pytest.fixture(autouse=True)
    def library(self):
        native.forget()
        ops = native.library()
        assert ops is not None
        return ops

    def apply(self, ops, var, acc, grad, **changes):
        arguments = {
            "learning_rate": tf.constant(0.1, grad[0].dtype),
            "clip_scale": tf.constant(1, grad[0].dtype),
            "step": tf.constant(1, tf.int64),
            "rho": 0.9,
            "epsilon": 1e-6,
            "indices": list(range(len(var))),
        }
        ops.dfl_tf_resource_apply_rmsprop(
            var=[v.handle for v in var],
            acc=[v.handle for v in acc],
            grad=grad,
            **arguments | changes,
        )

    def test_shape_function_names_both_shapes(self, library):
        var, acc = tf.Variable(tf.zeros((2, 3))), tf.Variable(tf.zeros((2, 3)))

        @tf.function
        def step(grad):
            self.apply(library, [var], [acc], [grad])

        with pytest.raises(ValueError, match=r"grad\[0\] has shape \[3,2\], but var\[0\].*\[2,3\]"):
            step(tf.zeros((3, 2)))

    def test_shape_function_wants_scalars(self, library):
        var, acc = tf.Variable(tf.zeros(2)), tf.Variable(tf.zeros(2))

        @tf.function
        def step(rate):
            self.apply(library, [var], [acc], [tf.zeros(2)], learning_rate=rate)

        with pytest.raises(ValueError, match="rank 0"):
            step(tf.zeros(2))

    def test_kernel_errors_name_shapes_and_dtypes(self, library):
        var, acc = tf.Variable(tf.zeros((2, 3))), tf.Variable(tf.zeros((2, 3)))
        invalid = tf.errors.InvalidArgumentError
        with pytest.raises(invalid, match=r"var\[0\] is float of shape \[2,3\].*shape \[6\]"):
            self.apply(library, [var], [acc], [tf.zeros(6)])
        with pytest.raises(invalid, match=r"var\[0\] is float.*gradient double"):
            self.apply(library, [var], [acc], [tf.zeros((2, 3), tf.float64)])
        with pytest.raises(invalid, match="given twice"):
            self.apply(library, [var], [var], [tf.zeros((2, 3))])
        with pytest.raises(invalid, match=r"keep must lie in 0 \.\.\. 1, got 1\.5"):
            self.apply(library, [var], [acc], [tf.zeros((2, 3))], keep=1.5)
        with pytest.raises(invalid, match="2 indices for 1 variables"):
            self.apply(library, [var], [acc], [tf.zeros((2, 3))], indices=[0, 1])
        with pytest.raises(invalid, match=r"learning_rate must be a scalar, got shape \[2\]"):
            self.apply(library, [var], [acc], [tf.zeros((2, 3))], learning_rate=tf.zeros(2))

    def test_a_tensor_read_before_the_step_keeps_its_values(self, library):
        var, acc = tf.Variable(tf.zeros(100)), tf.Variable(tf.zeros(100))
        before = var.read_value()
        self.apply(library, [var], [acc], [tf.ones(100)])
        assert np.all(before.numpy() == 0)
        assert np.all(np.asarray(var) < 0)

    def test_steps_and_reads_from_many_threads(self, library):
        """All entries of a variable are moved alike, so a torn read would show two values.

        The threads name the variables in opposite orders: locks taken in the order of the
        arguments would soon wait for each other.
        """
        size, rounds = 200_000, 40
        var = [tf.Variable(tf.zeros(size)) for _ in range(3)]
        acc = [tf.Variable(tf.zeros(size)) for _ in range(3)]
        grads = [tf.ones(size)] * 3
        torn: list[np.ndarray] = []

        def write(order):
            for _ in range(rounds):
                self.apply(library, [var[i] for i in order], [acc[i] for i in order], grads)

        def read():
            while writers[0].is_alive() or writers[1].is_alive():
                for v in (*var, *acc):
                    value = v.numpy()
                    if np.any(value != value[0]):
                        torn.append(value)

        writers = [threading.Thread(target=write, args=(o,)) for o in ((0, 1, 2), (2, 1, 0))]
        reader = threading.Thread(target=read)
        for thread in (*writers, reader):
            thread.start()
        for thread in (*writers, reader):
            thread.join()
        assert not torn
        expected_acc = 1 - 0.9 ** (2 * rounds)
        for a in acc:
            assert a.numpy()[0] == pytest.approx(expected_acc, rel=1e-5)

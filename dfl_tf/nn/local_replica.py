"""One copy of a mirrored variable: that of the replica at hand, or the first of this process."""

from __future__ import annotations

import keras
import tensorflow as tf


def local_replica(variable: keras.Variable | tf.Variable) -> tf.Variable:
    """Return the TensorFlow variable; of a mirrored one the copy of the calling replica."""
    value = variable.value if isinstance(variable, keras.Variable) else variable
    replica = tf.distribute.get_replica_context()
    if replica is None or not isinstance(value, tf.distribute.DistributedValues):
        return value
    copies = replica.strategy.experimental_local_results(value)
    return copies[int(tf.get_static_value(replica.replica_id_in_sync_group)) % len(copies)]


def first_replica(variable: keras.Variable | tf.Variable) -> tf.Variable:
    """Return the TensorFlow variable; of a mirrored one the first copy of this process."""
    value = variable.value if isinstance(variable, keras.Variable) else variable
    if not isinstance(value, tf.distribute.DistributedValues):
        return value
    return value.values[0]

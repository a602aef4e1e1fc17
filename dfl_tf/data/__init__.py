"""Facesets → batches of training samples. NumPy only, no TensorFlow."""

from dfl_tf.data.batch import Batch, SampleId
from dfl_tf.data.cache import ArrayCache, cache_bytes
from dfl_tf.data.cache_need import CacheNeed
from dfl_tf.data.disk_cache import DiskCache
from dfl_tf.data.faceset import FaceSample, Faceset
from dfl_tf.data.sample import make_sample
from dfl_tf.data.spec import OutputSpec, SampleSpec, XSegSpec
from dfl_tf.data.stream import BatchStream
from dfl_tf.data.xseg import XSegStream, segmented_samples

__all__ = [
    "ArrayCache",
    "Batch",
    "BatchStream",
    "CacheNeed",
    "DiskCache",
    "FaceSample",
    "Faceset",
    "OutputSpec",
    "SampleId",
    "SampleSpec",
    "XSegSpec",
    "XSegStream",
    "cache_bytes",
    "make_sample",
    "segmented_samples",
]

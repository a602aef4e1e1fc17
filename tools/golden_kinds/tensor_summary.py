"""Rules by which the golden training files make weights and summarize tensors (their README)."""

from __future__ import annotations

import zlib
from collections.abc import Mapping

import numpy as np

SAMPLES = 32


def weight(key: str, shape: tuple[int, ...], salt: str = "") -> np.ndarray:
    """The deterministic start value of a weight; `key` is its full name ending in ``:0``."""
    rng = np.random.Generator(np.random.PCG64(zlib.crc32((salt + key).encode())))
    z = rng.standard_normal(shape)
    last = key.rsplit("/", 1)[-1]
    if len(shape) >= 2:
        value = z * np.sqrt(1.5 / np.prod(shape[:-1]))
    elif last == "eps:0":
        value = np.full(shape, 1e-6)
    elif last == "weight:0":
        value = 1.0 + 0.05 * z
    else:
        value = 0.02 * z
    return value.astype(np.float32)


def sample(key: str, array: np.ndarray) -> np.ndarray:
    """32 entries of the flattened array; a smaller one is padded with NaN."""
    flat = np.asarray(array, np.float64).reshape(-1)
    if flat.size <= SAMPLES:
        return np.concatenate((flat, np.full(SAMPLES - flat.size, np.nan)))
    rng = np.random.Generator(np.random.PCG64(zlib.crc32(f"idx/{key}".encode())))
    return flat[rng.integers(0, flat.size, SAMPLES)]


def stat(array: np.ndarray) -> np.ndarray:
    """Sum, L2 norm, largest absolute value."""
    flat = np.asarray(array, np.float64).reshape(-1)
    return np.array([flat.sum(), np.linalg.norm(flat), np.abs(flat).max()])


class Rows:
    """One group of summarized tensors: golden rows beside ours."""

    def __init__(
        self, golden: Mapping[str, np.ndarray], prefix: str, tensors: Mapping[str, np.ndarray]
    ) -> None:
        self.has_samples = f"{prefix}_smp" in golden
        self.has_stat = f"{prefix}_stat" in golden
        self.names = list(tensors)
        marker = "pred/" if prefix == "pred" else ""
        self.got = np.array([sample(marker + k, v) for k, v in tensors.items()])
        self.got_stat = np.array([stat(v) for v in tensors.values()])
        # A file may have only one of the two: the other is then not compared.
        self.want, self.want_stat = self.got, self.got_stat
        if self.has_samples:
            self.want = np.atleast_2d(golden[f"{prefix}_smp"]).astype(np.float64)
        if self.has_stat:
            self.want_stat = np.atleast_2d(golden[f"{prefix}_stat"])
        self.sizes = np.array([np.size(v) for v in tensors.values()])
        if self.got.shape != self.want.shape or self.got_stat.shape != self.want_stat.shape:
            raise ValueError(f"{prefix}: {self.got.shape} rows and samples, not {self.want.shape}")

    @property
    def scale(self) -> np.ndarray:
        """Largest absolute value of each golden tensor (1 where it is all zero)."""
        largest = self.want_stat[:, 2]
        return np.where(largest > 0, largest, 1.0)

    def errors(self) -> np.ndarray:
        """Absolute differences of the samples, (rows, 32); NaN where there is no sample."""
        if not np.array_equal(np.isnan(self.want), np.isnan(self.got)):
            return np.full_like(self.want, np.inf)
        return np.abs(self.want - self.got)

    def row_errors(self) -> np.ndarray:
        """Largest difference of each row's samples."""
        return np.nanmax(self.errors(), axis=1)

    def stat_errors(self) -> np.ndarray:
        """Differences of sum, norm and maximum as differences of a typical entry, (rows, 3)."""
        size = self.sizes[:, None].astype(np.float64)
        parts = np.concatenate((size, np.sqrt(size), np.ones_like(size)), axis=1)
        return np.abs(self.want_stat - self.got_stat) / parts

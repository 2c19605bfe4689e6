"""Counts users who have exactly the ratings of another user: the same people under other ids."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from pyspark import RDD

from spark.ingest.chunks import Chunk, ChunkStatistics, unpacked

LEAST = 10  # ratings of a user; shorter lists can be the same by chance


def doubled_users(packed: RDD[Any]) -> int:
    """How many users have the same movies and ratings as a user before them, at least LEAST.

    Args:
        packed: chunks, see `ratings.Ratings`.
    """
    found = packed.mapPartitions(_fingerprints).collect()
    fingerprints = np.concatenate([np.empty(0, np.uint64), *map(_array, found)])
    return int(fingerprints.size - np.unique(fingerprints).size)


def _fingerprints(packed: Iterable[Chunk | ChunkStatistics]) -> Iterator[bytes]:
    """A fingerprint of each user's ratings, uint64: the sum of hashes of movie and rating."""
    for chunk in packed:
        if isinstance(chunk, Chunk):
            _, starts, movies, halves = unpacked(chunk)
            sums = np.add.reduceat(_mixed(movies.astype(np.uint64) << 8 | halves), starts[:-1])
            yield sums[np.diff(starts) >= LEAST].tobytes()


def _mixed(keys: np.ndarray) -> np.ndarray:
    """Hashes of numbers, uint64: the finalizer of SplitMix64 (Steele, Lea and Flood 2014)."""
    keys = (keys + np.uint64(0x9E3779B97F4A7C15)).astype(np.uint64)
    keys = (keys ^ keys >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
    keys = (keys ^ keys >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
    return keys ^ keys >> np.uint64(31)


def _array(blob: bytes) -> np.ndarray:
    return np.frombuffer(blob, np.uint64)

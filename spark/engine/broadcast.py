"""Broadcasts of anything, NumPy arrays too, where Spark encrypts its files."""

import pickle
from collections.abc import Callable
from functools import cache
from typing import Any, cast

from pyspark import Broadcast, SparkContext


def broadcast[T](context: SparkContext, value: T) -> Callable[[], T]:
    """Send a value to all workers; what comes back gives it to a task, unpickled once per worker.

    Under `spark.io.encryption.enabled` PySpark writes a broadcast to a stream that takes bytes and
    nothing else, and pickle hands it the buffers of large arrays as they are: a TypeError. So what
    Spark is given are bytes.

    Args:
        context: Spark's.
        value: which tasks must not change.
    """
    packed = context.broadcast(pickle.dumps(value, pickle.HIGHEST_PROTOCOL))
    return lambda: cast(T, _unpacked(packed))


@cache  # a worker has each broadcast as one object for as long as it lives
def _unpacked(packed: Broadcast[bytes]) -> Any:
    return pickle.loads(packed.value)  # noqa: S301  # this job's own

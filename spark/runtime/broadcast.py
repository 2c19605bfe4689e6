"""Broadcasts of any value, including NumPy arrays, also when Spark encrypts its files."""

import pickle
from collections.abc import Callable
from functools import cache
from typing import Any, cast

from pyspark import Broadcast, SparkContext


def broadcast[T](context: SparkContext, value: T) -> Callable[[], T]:
    """Send a value to all workers. Tasks call the result to get it; a worker unpickles it once.

    With `spark.io.encryption.enabled`, PySpark writes a broadcast to a stream that takes only
    bytes, but pickle hands it the buffers of large arrays unchanged: a TypeError. So Spark gets
    bytes that are already pickled.

    Args:
        context: the Spark context.
        value: tasks must not change it.
    """
    packed = context.broadcast(pickle.dumps(value, pickle.HIGHEST_PROTOCOL))
    return lambda: cast(T, _unpacked(packed))


@cache  # a worker keeps one object per broadcast for its lifetime
def _unpacked(packed: Broadcast[bytes]) -> Any:
    return pickle.loads(packed.value)  # noqa: S301  # this job pickled it

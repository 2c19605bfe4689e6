"""The process that forks an executor's Python workers: imports what they need, once for all.

Without it each worker imports everything again, and after each task looks through all of it for
garbage. Spark starts it in place of `pyspark.daemon` (`spark.python.daemon.module`).
"""

import gc

import numpy  # noqa: F401
import pyarrow.compute
import pyarrow.fs
import pyarrow.parquet  # noqa: F401
from pyspark.daemon import manager

from spark.runtime.native import library

if __name__ == "__main__":
    library()  # compiled, if need be, by one process
    gc.freeze()
    manager()  # type: ignore[no-untyped-call]

"""The process that forks an executor's Python workers: imports what they need, once for all.

Without it each worker imports everything again, and after each task looks through all of it for
garbage. Spark starts it in place of `pyspark.daemon` (`spark.python.daemon.module`).
"""

import gc
import os

# As many threads as a task has cores; a variable of the machine's would count more than Spark's.
os.environ["OPENBLAS_NUM_THREADS"] = os.environ.get("OMP_NUM_THREADS", "1")

import numpy  # noqa: F401
import pyarrow.compute
import pyarrow.fs
import pyarrow.parquet  # noqa: F401
from pyspark.daemon import manager

from spark.runtime.native import library
from spark.runtime.start import MODULES, import_all

if __name__ == "__main__":
    library()  # compiled, if need be, by one process
    import_all(os.environ.get(MODULES, "").split())
    gc.freeze()
    manager()  # type: ignore[no-untyped-call]

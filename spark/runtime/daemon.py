"""The process that forks an executor's Python workers: imports what they need, once for all.

Without it each worker imports everything again, and after each task looks through all of it for
garbage. Spark starts it in place of `pyspark.daemon` (`spark.python.daemon.module`).
"""

import gc
import os

from spark.runtime.bytecode import prefer_bytecode


def main() -> None:
    """Import what the workers need, then fork them until Spark ends."""
    prefer_bytecode()
    # NumPy's threads: as many as a task has cores. This variable counts more than the one that
    # Spark sets, and the machine may have it.
    os.environ["OPENBLAS_NUM_THREADS"] = os.environ.get("OMP_NUM_THREADS", "1")

    import numpy  # noqa: F401
    import pyarrow.compute
    import pyarrow.fs
    import pyarrow.parquet  # noqa: F401
    from pyspark.daemon import manager

    from spark.runtime.native import library
    from spark.runtime.start import MODULES, import_all

    library()  # compiled, if need be, by one process
    import_all(os.environ.get(MODULES, "").split())
    gc.freeze()
    manager()  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    main()

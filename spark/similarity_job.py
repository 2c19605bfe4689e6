"""The entry point of the job: `spark-submit spark/similarity_job.py --help`."""

import sys
from pathlib import Path

# The only change of sys.path beside runtime/bytecode.py. spark-submit puts this file's own folder
# first; from there, each module would have a second name. The folder above has the package. On a
# cluster this file is alone, and PYTHONPATH says where the package is.
sys.path[0] = str(Path(__file__).resolve().parent.parent)

try:
    from spark.runtime.bytecode import prefer_bytecode

    prefer_bytecode()
    from spark.job import main
except (ImportError, SyntaxError) as error:
    if (getattr(error, "name", None) or "").startswith("spark"):
        raise
    # Older Pythons read this file, but not the package.
    sys.exit(
        f"error: the job cannot run on {sys.executable}, Python {sys.version.split()[0]} "
        f"({error}): set PYSPARK_PYTHON to the project's .venv/bin/python"
    )

if __name__ == "__main__":
    sys.exit(main())

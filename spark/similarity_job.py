"""The entry point of the job: `spark-submit spark/similarity_job.py --help`."""

import sys
from pathlib import Path

# The only change of sys.path. spark-submit puts this file's own folder first; from there, each
# module would have a second name. The folder above has the package. On a cluster this file is
# alone, and PYTHONPATH says where the package is.
sys.path[0] = str(Path(__file__).resolve().parent.parent)

from spark.job import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())

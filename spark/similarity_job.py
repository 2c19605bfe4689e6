"""The job's entry: `spark-submit spark/similarity_job.py --help`."""

import sys
from pathlib import Path

# The one place that changes the path. spark-submit puts this file's own folder first, where each
# module would have a second name; the package is found from the folder above. On a cluster this
# file comes alone, and PYTHONPATH says where the package is.
sys.path[0] = str(Path(__file__).resolve().parent.parent)

from spark.job import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())

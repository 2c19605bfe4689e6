"""Imports PySpark from the folder where it is installed, not from Spark's zip.

Spark puts python/lib/pyspark.zip before all other places. Python keeps no bytecode in a zip, so the
driver and the workers' parent would each compile PySpark in every run, which takes about a second.
"""

import sys
from pathlib import Path


def prefer_bytecode() -> None:
    """Take the zips of an installed PySpark out of sys.path. Call it before importing PySpark."""
    sys.path[:] = [each for each in sys.path if _installed(each) not in sys.path]


def _installed(entry: str) -> str | None:
    """The folder that has the same modules as a zip of an installed PySpark."""
    package = Path(entry).parent.parent.parent
    is_of_spark = entry.endswith(".zip") and Path(entry).parent.parent.name == "python"
    is_package = package.name == "pyspark" and (package / "__init__.py").is_file()
    return str(package.parent) if is_of_spark and is_package else None

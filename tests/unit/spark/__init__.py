"""The job without Spark: arithmetic, parsing, measures."""

"""Tests of the job that need no Spark session: arithmetic, parsing, measures."""

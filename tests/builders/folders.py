"""Folders of a data set, and ratings as a DataFrame."""

from pathlib import Path

from pyspark.sql import DataFrame, SparkSession


def folder(path: Path, **files: str | bytes) -> Path:
    """Write files into a folder; `ratings_dat=` becomes ratings.dat."""
    path.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        body = content.encode() if isinstance(content, str) else content
        (path / name.replace("_", ".")).write_bytes(body)
    return path


def ratings_frame(spark: SparkSession, rows: list[tuple[int, int, float]]) -> DataFrame:
    """Ratings as a DataFrame: user, movie, rating."""
    return spark.createDataFrame(rows, "user int, movie int, rating double")

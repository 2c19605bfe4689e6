"""Writes what a run computed, and reads back what of it the manifest vouches for."""

import json
import math

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from manifest import FAILURE, MANIFEST, NEIGHBOURS, REJECTS, SIMILARITIES, TITLES, Manifest, Part
from storage import child, delete, literal, name_of, write_text

MOVIES_PER_PART = 2000  # a part is a few seconds' work for the indexer


def clear(spark: SparkSession, output: str) -> None:
    """Remove what an earlier attempt left, the manifest first; what is not ours stays."""
    for name in (MANIFEST, FAILURE, SIMILARITIES, NEIGHBOURS, TITLES, REJECTS):
        delete(spark, child(output, name))


def write_neighbours(lists: DataFrame, movies: int, output: str) -> None:
    """Write one line per movie, in parts by rising movie id.

    Args:
        lists: from `neighbour_lists`.
        movies: how many there are.
        output: the run's prefix.
    """
    parts = max(1, math.ceil(movies / MOVIES_PER_PART))
    ordered = lists.repartitionByRange(parts, "movie_id").sortWithinPartitions("movie_id")
    _write_lines(ordered, child(output, NEIGHBOURS))


def write_titles(catalogue: DataFrame, output: str) -> None:
    """Write the titles catalogue, one part, by rising movie id."""
    ordered = catalogue.repartition(1).sortWithinPartitions("movie_id")
    _write_lines(ordered, child(output, TITLES))


def write_rejects(rejects: DataFrame, output: str) -> None:
    """Write the lines that were no data, each with its file and defect."""
    rejects.write.json(child(output, REJECTS), compression="gzip")


def write_manifest(spark: SparkSession, manifest: Manifest, output: str) -> None:
    """Write the manifest, which says that all else is there: last of all."""
    write_text(spark, child(output, MANIFEST), manifest.to_json())


def write_failure(
    spark: SparkSession, output: str, error: str, message: str, report: list[dict[str, str]]
) -> None:
    """Write why the job could not compute.

    Args:
        spark: session.
        output: the run's prefix.
        error: its kind.
        message: one sentence for a person.
        report: samples of rejected lines, each with `file`, `defect` and `line`.
    """
    failure = {"error": error, "message": message, "report": report}
    write_text(spark, child(output, FAILURE), json.dumps(failure, indent=2, ensure_ascii=False))


def parts_of(spark: SparkSession, output: str, folder: str) -> list[Part]:
    """The files in a folder of the output, by name: records, bytes and SHA-256 of each.

    All are of what storage gives back, so that a part that was written badly shows.
    """
    source = literal(child(output, folder))
    stored = spark.read.format("binaryFile").load(source)
    sums = stored.select("path", "length", F.sha2("content", 256).alias("sha256")).collect()
    lines = spark.read.text(source).groupBy(F.col("_metadata.file_path").alias("path")).count()
    records = {name_of(row.path): row["count"] for row in lines.collect()}
    return [
        Part(f"{folder}/{name}", records.get(name, 0), row.length, row.sha256)
        for name, row in sorted((name_of(row.path), row) for row in sums)
    ]


def _write_lines(lines: DataFrame, uri: str) -> None:
    lines.write.json(uri, compression="gzip", ignoreNullFields=False)

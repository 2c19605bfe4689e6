"""Writes what a run computed, and reads back what of it the manifest vouches for."""

import json
import math

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from manifest import FAILURE, MANIFEST, NEIGHBOURS, REJECTS, SIMILARITIES, TITLES, Manifest, Part
from storage import child, delete, literal, name_of, write_text

MOVIES_PER_PART = 2000  # a part is a few seconds' work for the indexer
REJECTED_LINE = 500  # characters of a rejected line that are kept


def clear(spark: SparkSession, output: str) -> None:
    """Remove what an earlier attempt left, the manifest first; what is not ours stays."""
    for name in (MANIFEST, FAILURE, SIMILARITIES, NEIGHBOURS, TITLES, REJECTS):
        delete(spark, child(output, name))


def write_similarities(pairs: DataFrame, output: str) -> None:
    """Write the pairs as Parquet."""
    pairs.write.parquet(child(output, SIMILARITIES))


def write_neighbours(lists: DataFrame, movies: int, output: str) -> list[Part]:
    """Write one line per movie, in parts by rising movie id.

    Args:
        lists: from `neighbour_lists`.
        movies: how many there are.
        output: the run's prefix.
    """
    parts = max(1, math.ceil(movies / MOVIES_PER_PART))
    ordered = lists.repartitionByRange(parts, "movie_id").sortWithinPartitions("movie_id")
    return _write_lines(ordered, output, NEIGHBOURS)


def write_titles(catalogue: DataFrame, output: str) -> Part:
    """Write the titles catalogue, one part, by rising movie id."""
    ordered = catalogue.repartition(1).sortWithinPartitions("movie_id")
    return _write_lines(ordered, output, TITLES)[0]


def write_rejects(rejects: DataFrame, output: str) -> None:
    """Write the lines that were no data, each with its file and defect."""
    cut = rejects.withColumn("line", F.substring("line", 1, REJECTED_LINE))
    cut.write.json(child(output, REJECTS), compression="gzip")


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


def _write_lines(lines: DataFrame, output: str, folder: str) -> list[Part]:
    """Write gzip JSON Lines and tell size, lines and SHA-256 of each file as it is stored."""
    target = child(output, folder)
    lines.write.json(target, compression="gzip", ignoreNullFields=False)
    spark = lines.sparkSession
    # The sums are over what storage gives back, so that a part that was written badly shows.
    stored = spark.read.format("binaryFile").load(literal(target))
    sums = stored.select("path", "length", F.sha2("content", 256).alias("sha256")).collect()
    counted = spark.read.text(literal(target)).groupBy(F.col("_metadata.file_path").alias("path"))
    records = {name_of(row.path): row["count"] for row in counted.count().collect()}
    return [
        Part(f"{folder}/{name}", records.get(name, 0), row.length, row.sha256)
        for name, row in sorted((name_of(row.path), row) for row in sums)
    ]

"""ALS: neighbours by the cosine of item factors, which Spark's own ALS learns.

Off by default, because it needs Spark SQL and many passes over the ratings. MLlib implements Hu,
Koren, Volinsky, Collaborative Filtering for Implicit Feedback Datasets, ICDM 2008.
"""

from collections.abc import Iterable, Iterator, Mapping

import numpy as np
import pyarrow as pa
from pyspark import SparkContext
from pyspark.ml.recommendation import ALS
from pyspark.sql import SparkSession

from spark import arrow
from spark.engine.blocks import Blocks
from spark.engine.top_k import NeighbourLists, top_k_of_rows
from spark.ingest.chunks import Chunk, ChunkStatistics, unpacked
from spark.ingest.ratings import Ratings
from spark.parquet import write_parquet
from spark.storage import child

ROWS_AT_ONCE = 64
RATINGS = pa.schema([("user", pa.int32()), ("movie", pa.int32()), ("rating", pa.float32())])


def als(
    context: SparkContext,
    ratings: Ratings,
    blocks: Blocks,
    parameters: Mapping[str, float],
    scratch: str,
    count: int,
) -> Iterator[NeighbourLists]:
    """Each movie's best neighbours by the cosine of item factors.

    Args:
        context: the Spark context.
        ratings: packed.
        blocks: the movies that are compared; the `limit` most popular ones get neighbours.
        parameters: `rank`, `iterations`, `regularisation`, `alpha`, `limit`.
        scratch: absolute URI of a folder for the ratings, which ALS reads from there.
        count: most neighbours per movie.

    Yields:
        The neighbours of some movies at a time, without co-raters and cosine.
    """
    folder = child(scratch, "ratings")

    def write(part: int, packed: Iterable[Chunk | ChunkStatistics]) -> Iterator[int]:
        batches = (_batch(each) for each in packed if isinstance(each, Chunk))
        yield write_parquet(batches, RATINGS, f"{folder}/part-{part:05d}.parquet")

    ratings.packed.mapPartitionsWithIndex(write).count()
    factors = _factorise(context, folder, parameters)
    popular = slice(int(parameters["limit"]))
    ids, raters = blocks.ids[popular], blocks.raters[popular]
    directions = np.zeros((ids.size, int(parameters["rank"])))
    for place, id in enumerate(ids.tolist()):
        directions[place] = factors[id]
    lengths = np.linalg.norm(directions, axis=1, keepdims=True)
    directions /= np.where(lengths > 0, lengths, 1)
    for start in range(0, ids.size, ROWS_AT_ONCE):
        some = slice(start, start + ROWS_AT_ONCE)
        yield top_k_of_rows(ids[some], directions[some] @ directions.T, ids, raters, count)


def _factorise(
    context: SparkContext, folder: str, parameters: Mapping[str, float]
) -> dict[int, list[float]]:
    """The factors of each movie, by id, from a folder of ratings."""
    algorithm = ALS(
        userCol="user",
        itemCol="movie",
        ratingCol="rating",
        implicitPrefs=True,
        rank=int(parameters["rank"]),
        maxIter=int(parameters["iterations"]),
        regParam=parameters["regularisation"],
        alpha=parameters["alpha"],
        seed=1,
    )
    model = algorithm.fit(SparkSession(context).read.parquet(folder))
    return {row["id"]: row["features"] for row in model.itemFactors.collect()}


def _batch(chunk: Chunk) -> pa.RecordBatch:
    """The ratings of a chunk as rows."""
    users, starts, movies, halves = unpacked(chunk)
    columns = np.repeat(users, np.diff(starts)), movies, halves / np.float32(2)
    return pa.RecordBatch.from_arrays([arrow.numbers(each) for each in columns], schema=RATINGS)

"""Neighbours by matrix factorisation: the cosine of the movies' factors by Spark's own ALS.

Off by default: it needs Spark SQL and many passes over the ratings. Hu, Koren, Volinsky,
Collaborative Filtering for Implicit Feedback Datasets, ICDM 2008, is what MLlib implements.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping

import numpy as np
import pyarrow as pa
from pyspark import SparkContext
from pyspark.ml.recommendation import ALS
from pyspark.sql import SparkSession

from spark.engine.engine import Blocks
from spark.engine.top_k import NeighbourLists, top_k_of_rows
from spark.ingest.ratings import Chunk, ChunkStatistics, Ratings
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
        context: Spark's.
        ratings: packed.
        blocks: the movies that are compared, of which the `limit` most popular get neighbours.
        parameters: `rank`, `iterations`, `regularisation`, `alpha`, `limit`.
        scratch: absolute URI of a folder in which the ratings stand meanwhile.
        count: at most so many neighbours of each movie.

    Yields:
        Neighbours of some movies at a time, without co-raters and cosine.
    """
    folder = child(scratch, "ratings")
    ratings.packed.mapPartitionsWithIndex(_writer(folder)).count()
    factorise = ALS(
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
    model = factorise.fit(SparkSession(context).read.parquet(folder))
    found = model.itemFactors.collect()
    popular = slice(int(parameters["limit"]))
    ids, raters = blocks.ids[popular], blocks.raters[popular]
    factors = np.zeros((ids.size, int(parameters["rank"])))
    of = {row["id"]: row["features"] for row in found}
    for place, id in enumerate(ids.tolist()):
        factors[place] = of[id]
    lengths = np.linalg.norm(factors, axis=1, keepdims=True)
    factors /= np.where(lengths > 0, lengths, 1)
    for start in range(0, ids.size, ROWS_AT_ONCE):
        some = slice(start, start + ROWS_AT_ONCE)
        yield top_k_of_rows(ids[some], factors[some] @ factors.T, ids, raters, count)


def _writer(folder: str) -> Callable[[int, Iterable[Chunk | ChunkStatistics]], Iterator[int]]:
    def write(part: int, packed: Iterable[Chunk | ChunkStatistics]) -> Iterator[int]:
        """Write the ratings of a part of the users."""
        batches = (_batch(each) for each in packed if isinstance(each, Chunk))
        yield write_parquet(batches, RATINGS, f"{folder}/part-{part:05d}.parquet")

    return write


def _batch(chunk: Chunk) -> pa.RecordBatch:
    starts = np.frombuffer(chunk.starts, np.int64)
    lengths = starts[1:] - starts[:-1]
    users = np.repeat(np.frombuffer(chunk.users, np.int32), lengths)
    stars = np.frombuffer(chunk.halves, np.uint8) / np.float32(2)
    columns = users, np.frombuffer(chunk.movies, np.int32), stars
    return pa.RecordBatch.from_arrays([pa.array(each) for each in columns], schema=RATINGS)

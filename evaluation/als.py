"""Spark MLlib's ALS on implicit feedback: what the tutorial goes on to, as a baseline.

Hu, Koren and Volinsky, Collaborative Filtering for Implicit Feedback Datasets, ICDM 2008: a rating
r says with the confidence 1 + ALPHA · r that the user likes the movie; MLlib multiplies the
regularisation of a user or a movie by the number of his or its ratings.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from pyspark.ml.recommendation import ALS
from pyspark.sql import SparkSession
from scipy import sparse

from entries import MAX_HALVES

RANK = 32
ALPHA = 10.0
REGULARISATION = 0.05
ROUNDS = 10


@dataclass(frozen=True)
class Factors:
    """What ALS found.

    Attributes:
        movies: float64 [movies, RANK]; zeros for a movie that nobody rated.
    """

    movies: np.ndarray

    def scores(self, liked: sparse.csr_array) -> np.ndarray:
        """All movies' scores for users of whom only what they like is known: one more half round.

        Args:
            liked: [users, movies], ones.

        Returns:
            float64 [users, movies].
        """
        of = self.movies
        outer = (of[:, :, None] * of[:, None, :]).reshape(of.shape[0], -1)
        number = np.diff(liked.indptr)
        squares = of.T @ of + ALPHA * (liked @ outer).reshape(-1, RANK, RANK)
        squares += REGULARISATION * number[:, None, None] * np.eye(RANK)
        users = np.linalg.solve(squares, (1 + ALPHA) * (liked @ of)[:, :, None])
        return users[:, :, 0] @ of.T

    def cosine(self) -> np.ndarray:
        """The cosine of each two movies' factors, the diagonal 0: float64 [movies, movies]."""
        lengths = np.linalg.norm(self.movies, axis=1, keepdims=True)
        directions = self.movies / np.where(lengths > 0, lengths, 1)
        similar = directions @ directions.T
        np.fill_diagonal(similar, 0)
        return similar


def factors(spark: SparkSession, halves: sparse.csr_array, seed: int) -> Factors:
    """Learn from ratings.

    Args:
        spark: a session.
        halves: [users, movies], half stars.
        seed: where ALS begins.
    """
    ratings = halves.tocoo()
    table = pa.table(
        {
            "user": ratings.row.astype(np.int32),
            "movie": ratings.col.astype(np.int32),
            "rating": ratings.data.astype(np.float32) / MAX_HALVES,
        }
    )
    model = ALS(
        rank=RANK, maxIter=ROUNDS, regParam=REGULARISATION, alpha=ALPHA, implicitPrefs=True,
        userCol="user", itemCol="movie", ratingCol="rating", seed=seed,
    ).fit(spark.createDataFrame(table))  # fmt: skip
    found = model.itemFactors.toArrow()
    movies = np.zeros((halves.shape[1], RANK))
    movies[found["id"].to_numpy()] = np.stack(found["features"].to_numpy(zero_copy_only=False))
    return Factors(movies)

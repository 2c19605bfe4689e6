"""Spark MLlib's ALS on implicit feedback: the tutorial's next step, as a baseline.

Hu, Koren and Volinsky, Collaborative Filtering for Implicit Feedback Datasets, ICDM 2008: a rating
r says with the confidence 1 + alpha · r that the user likes the movie. MLlib multiplies the
regularisation of a user or movie by its number of ratings.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from pyspark.ml.recommendation import ALS
from pyspark.sql import SparkSession
from scipy import sparse

# For the baseline, tuned for users' lists. The measure has its own in registry.py.
TUNED: Mapping[str, float] = {"rank": 32, "iterations": 10, "regularisation": 0.05, "alpha": 2}


@dataclass(frozen=True)
class Factors:
    """The item factors that ALS learned.

    Attributes:
        movies: float64 [movies, rank]; zeros for a movie that nobody rated.
        parameters: `rank`, `iterations`, `regularisation`, `alpha`.
    """

    movies: np.ndarray
    parameters: Mapping[str, float]

    def scores(self, liked: sparse.csr_array) -> np.ndarray:
        """All movies' scores for new users, from the movies they like: one more half round of ALS.

        Args:
            liked: [users, movies], ones: each counts as five stars.

        Returns:
            float64 [users, movies].
        """
        of, rank = self.movies, self.movies.shape[1]
        alpha, regularisation = self.parameters["alpha"] * 5, self.parameters["regularisation"]
        outer = (of[:, :, None] * of[:, None, :]).reshape(of.shape[0], -1)
        number = np.diff(liked.indptr)
        squares = of.T @ of + alpha * (liked @ outer).reshape(-1, rank, rank)
        squares += regularisation * number[:, None, None] * np.eye(rank)
        users = np.linalg.solve(squares, (1 + alpha) * (liked @ of)[:, :, None])
        return users[:, :, 0] @ of.T

    def cosine(self) -> np.ndarray:
        """The cosine of all pairs of factors, with diagonal 0: float64 [movies, movies]."""
        lengths = np.linalg.norm(self.movies, axis=1, keepdims=True)
        directions = self.movies / np.where(lengths > 0, lengths, 1)
        similar = directions @ directions.T
        np.fill_diagonal(similar, 0)
        return similar


def factors(
    spark: SparkSession, halves: sparse.csr_array, parameters: Mapping[str, float], seed: int
) -> Factors:
    """Learn factors from ratings.

    Args:
        spark: a session.
        halves: [users, movies], half stars.
        parameters: see `Factors`.
        seed: for the initial factors.
    """
    ratings = halves.tocoo()
    table = pa.table(
        {
            "user": ratings.row.astype(np.int32),
            "movie": ratings.col.astype(np.int32),
            "rating": ratings.data.astype(np.float32) / 2,
        }
    )
    model = ALS(
        rank=int(parameters["rank"]), maxIter=int(parameters["iterations"]),
        regParam=parameters["regularisation"], alpha=parameters["alpha"], seed=seed,
        implicitPrefs=True, userCol="user", itemCol="movie", ratingCol="rating",
    ).fit(spark.createDataFrame(table))  # fmt: skip
    found = model.itemFactors.toArrow()
    movies = np.zeros((halves.shape[1], model.rank))
    movies[found["id"].to_numpy()] = np.stack(found["features"].to_numpy(zero_copy_only=False))
    return Factors(movies, parameters)

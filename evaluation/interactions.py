"""A MovieLens folder's ratings as one sparse matrix, read by the job's own readers."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pyspark import SparkContext
from scipy import sparse

from spark.ingest.chunks import Chunk, unpacked
from spark.ingest.dataset import read_dataset
from spark.ingest.movies import Catalogue


@dataclass(frozen=True)
class Interactions:
    """Who rated what.

    Attributes:
        halves: float64 [users, movies], half stars, sparse; users by ascending id.
        movies: the movies of the columns: all that are listed or rated.
        tags: how many users gave each movie, by id, each tag.
    """

    halves: sparse.csr_array
    movies: Catalogue
    tags: Mapping[tuple[int, str], int]


def read(context: SparkContext, folder: Path, scratch: Path) -> Interactions:
    """Read a folder.

    Args:
        context: the Spark context.
        folder: a MovieLens folder.
        scratch: folder for rejected lines.

    Raises:
        DatasetError: the folder is not of exactly one format, or one of its files is unusable.
    """
    dataset = read_dataset(context, str(folder), str(scratch), None, with_tags=True)
    chunks = dataset.ratings.packed.filter(lambda each: isinstance(each, Chunk)).collect()
    return Interactions(_together(chunks, dataset.movies.ids), dataset.movies, dataset.tags)


def _together(chunks: list[Chunk], ids: np.ndarray) -> sparse.csr_array:
    """All chunks' ratings, one row per user and one column per id."""
    users, rows, columns, halves = [], [], [], []
    for of, starts, movies, rated in map(unpacked, chunks):
        users.append(of)
        rows.append(np.repeat(of, np.diff(starts)))
        columns.append(np.searchsorted(ids, movies))
        halves.append(rated)
    everybody = np.sort(np.concatenate(users))
    places = np.searchsorted(everybody, np.concatenate(rows)), np.concatenate(columns)
    shape = everybody.size, ids.size
    return sparse.csr_array((np.concatenate(halves).astype(float), places), shape=shape)

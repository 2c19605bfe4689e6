"""A MovieLens folder's ratings as one sparse matrix, read by the job's own readers."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pyspark import SparkContext
from scipy import sparse

from spark.contracts.movielens import Format
from spark.ingest.chunks import Chunk, unpacked
from spark.ingest.dataset import read_dataset
from spark.ingest.lines import read_layout, read_split
from spark.ingest.movies import Catalogue
from spark.ingest.scan import scan
from spark.storage import child

SCANNED_AT_ONCE = 64 * 2**20  # bytes of the ratings file


@dataclass(frozen=True)
class Interactions:
    """Who rated what.

    Attributes:
        halves: float64 [users, movies], half stars, sparse; users by ascending id.
        movies: the movies of the columns: all that are listed or rated.
        tags: by movie id and tag, how much the tag says of the movie.
        times: of the ratings, int64, seconds since 1970, at the same places as `halves`; None if
            the file has no timestamps, or only equal ones.
    """

    halves: sparse.csr_array
    movies: Catalogue
    tags: Mapping[tuple[int, str], float]
    times: sparse.csr_array | None


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
    users, halves = _together(chunks, dataset.movies.ids)
    times = None
    if dataset.has_timestamps:
        times = _times(str(folder), dataset.format, users, dataset.movies.ids, halves)
    return Interactions(halves, dataset.movies, dataset.tags, times)


def _together(chunks: list[Chunk], ids: np.ndarray) -> tuple[np.ndarray, sparse.csr_array]:
    """All users by ascending id, and their ratings: one row per user and one column per id."""
    users, rows, columns, halves = [], [], [], []
    for of, starts, movies, rated in map(unpacked, chunks):
        users.append(of)
        rows.append(np.repeat(of, np.diff(starts)))
        columns.append(np.searchsorted(ids, movies))
        halves.append(rated)
    everybody = np.sort(np.concatenate(users))
    places = np.searchsorted(everybody, np.concatenate(rows)), np.concatenate(columns)
    shape = everybody.size, ids.size
    together = sparse.csr_array((np.concatenate(halves).astype(float), places), shape=shape)
    together.sort_indices()
    return everybody, together


def _times(
    folder: str, format: Format, users: np.ndarray, ids: np.ndarray, halves: sparse.csr_array
) -> sparse.csr_array | None:
    """When each rating was given, see `Interactions`; the packed ratings do not keep it.

    Args:
        folder: URI of the folder.
        format: of the folder.
        users: ids, ascending.
        ids: of the movies, ascending.
        halves: [users, movies], sorted.
    """
    uri = child(folder, format.ratings)
    layout, size = read_layout(uri, format.ratings_layout), Path(uri).stat().st_size
    places, times = [], []
    for start in range(0, size, SCANNED_AT_ONCE):
        lines = read_split(uri, start, min(start + SCANNED_AT_ONCE, size))
        found = scan(lines, layout, is_start=start == 0)
        rows = np.searchsorted(users, found.users)
        places.append(rows * ids.size + np.searchsorted(ids, found.movies))
        times.append(found.times)
    place, time = np.concatenate(places), np.concatenate(times)
    order = np.lexsort((time, place))
    place, time = place[order], time[order]
    time = time[np.append(place[1:] != place[:-1], True)]  # of a movie rated twice, the later
    if time.min() == time.max():
        return None
    return sparse.csr_array((time, halves.indices, halves.indptr), shape=halves.shape)

"""Neighbours by content (genres, tags, year), also for movies that few users rated.

Each movie has three TF-IDF vectors: for its genres, its tags and its time. A word weighs more the
fewer movies have it; a tag also weighs more the more users gave it. Each vector is normalised and
multiplied by its weight. The similarity of two movies is the cosine of the three vectors together,
from 0 to 1.
"""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from spark.engine.top_k import EMPTY, NeighbourLists, top_k_of_rows
from spark.ingest.movies import Catalogue

ROWS_AT_ONCE = 64  # movies that are compared with all others at once
MOST_DENSE = 256  # columns of a dense matrix; MovieLens has 19 genres and 40 eras
ERA = 10  # years; a movie is in two eras, shifted by five years. Movies of close years share both

type Words = list[tuple[int, str, float]]  # a movie's index, a word that it has, its frequency


@dataclass(frozen=True)
class Content:
    """The content of the movies of a catalogue.

    Attributes:
        ids: int32, ascending.
        raters: int32, per movie.
        dense: float64 [movies, genres and eras], weighted. If these are more than MOST_DENSE, as
            where authors of books are genres, it has no columns.
        others: float64 [movies, all other words], weighted.
    """

    ids: np.ndarray
    raters: np.ndarray
    dense: np.ndarray
    others: sparse.csr_array

    def neighbours(self, places: np.ndarray, count: int) -> NeighbourLists:
        """The most similar movies; of equally similar ones, those with more raters.

        Args:
            places: indices of the movies whose neighbours are needed, ascending.
            count: most neighbours per movie.
        """
        found = []
        for start in range(0, places.size, ROWS_AT_ONCE):
            some = places[start : start + ROWS_AT_ONCE]
            scores = self.dense[some] @ self.dense.T
            if self.others.nnz:
                scores += (self.others[some] @ self.others.T).toarray()
            found.append(top_k_of_rows(self.ids[some], scores, self.ids, self.raters, count))
        return NeighbourLists(
            *(np.concatenate(columns) for columns in zip(EMPTY, *found, strict=True))
        )

    def raters_of(self, movies: np.ndarray) -> np.ndarray:
        """The number of raters of each movie, given by id."""
        return self.raters[np.searchsorted(self.ids, movies)]

    def similarity(self, movies: np.ndarray, others: np.ndarray) -> np.ndarray:
        """The similarity of pairs of movies, float64.

        Args:
            movies: ids.
            others: ids, one for each of `movies`.
        """
        one, other = (np.searchsorted(self.ids, each) for each in (movies, others))
        dense = np.einsum("ij,ij->i", self.dense[one], self.dense[other])
        return dense + self.others[one].multiply(self.others[other]).sum(axis=1)


def content(
    catalogue: Catalogue, tags: Mapping[tuple[int, str], int], weights: Mapping[str, float]
) -> Content:
    """The content of all movies of a catalogue.

    Args:
        catalogue: all movies.
        tags: from `read_tags`.
        weights: of `genres`, `tags` and `year`.
    """
    genres, eras = [], []
    for place, about in enumerate(catalogue.about):
        movie = json.loads(f"{{{about}}}")
        genres += [(place, genre, 1.0) for genre in movie["genres"]]
        if movie["year"] is not None:
            eras += [(place, f"{half}", 1.0) for half in _eras(movie["year"])]
    places = dict(zip(catalogue.ids.tolist(), range(catalogue.ids.size), strict=True))
    tagged = [
        (places[movie], tag, 1 + np.log(users))
        for (movie, tag), users in tags.items()
        if movie in places
    ]
    size = catalogue.ids.size
    parts = [
        tfidf(words, size) * weights[name]
        for name, words in (("genres", genres), ("year", eras), ("tags", tagged))
    ]
    together = _normalised(sparse.hstack(parts, "csr"))
    split = parts[0].shape[1] + parts[1].shape[1]
    if split > MOST_DENSE:
        split = 0
    raters = catalogue.ratings.astype(np.int32)
    return Content(catalogue.ids, raters, together[:, :split].toarray(), together[:, split:])


def _eras(year: int) -> tuple[str, str]:
    """The two eras of a year, named by their first year."""
    return f"{year // ERA * ERA}", f"{(year + ERA // 2) // ERA * ERA - ERA // 2}"


def tfidf(words: Words, movies: int) -> sparse.csr_array:
    """Normalised TF-IDF vectors, sparse float64 [movies, words]; words of one movie are left out.

    Args:
        words: of the movies.
        movies: how many.
    """
    having = Counter(word for _, word, _ in words)
    shared = sorted(word for word, movies_of in having.items() if movies_of > 1)
    column = {word: number for number, word in enumerate(shared)}
    kept = [(place, column[word], much) for place, word, much in words if word in column]
    rows, columns, much = zip(*kept, strict=True) if kept else ((), (), ())
    at: Any = much, (rows, columns)
    counts = sparse.csr_array(at, shape=(movies, len(column)), dtype=float)
    rarity = np.array([np.log((1 + movies) / (1 + having[word])) + 1 for word in column])
    return _normalised(counts * rarity if column else counts)


def _normalised(vectors: sparse.csr_array) -> sparse.csr_array:
    """Vectors of length 1 in the same directions; a zero vector stays zero."""
    lengths = np.sqrt(vectors.multiply(vectors).sum(axis=1))
    return sparse.csr_array(vectors.multiply(1 / np.where(lengths > 0, lengths, 1)[:, None]))

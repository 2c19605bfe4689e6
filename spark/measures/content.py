"""Neighbours by content: genres, tags and year, for movies that hardly anybody rated as for all.

Each movie has three vectors, of its genres, its tags and its time, each a TF-IDF: a word counts by
how few movies have it, a tag also by how many users gave it. Each is made one long and weighted;
the similarity of two movies is the cosine of all three together, from 0 to 1.
"""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from spark.contracts.movielens import Format, tag_of
from spark.engine.top_k import EMPTY, NeighbourLists, top_k_of_rows
from spark.ingest.lines import data_lines
from spark.ingest.movies import Catalogue

ROWS_AT_ONCE = 64  # movies that are compared with all others at once
ERA = 10  # years; a movie is in two eras, five years apart, of which close movies share both

type Words = list[tuple[int, str, float]]  # place of a movie, a word that it has, how often


@dataclass(frozen=True)
class Content:
    """What is known of the movies of a catalogue.

    Attributes:
        ids: int32, by rising id.
        raters: int32, how many users rated each.
        dense: float64 [movies, genres and eras], weighted.
        tags: float64 [movies, tags], weighted, sparse.
    """

    ids: np.ndarray
    raters: np.ndarray
    dense: np.ndarray
    tags: sparse.csr_array

    def neighbours(self, places: np.ndarray, count: int) -> NeighbourLists:
        """The most similar movies of some; of equally similar ones those that more users rated.

        Args:
            places: of those movies, ascending.
            count: at most so many of each.
        """
        found = []
        for start in range(0, places.size, ROWS_AT_ONCE):
            some = places[start : start + ROWS_AT_ONCE]
            scores = self.dense[some] @ self.dense.T
            if self.tags.nnz:
                scores += (self.tags[some] @ self.tags.T).toarray()
            found.append(top_k_of_rows(self.ids[some], scores, self.ids, self.raters, count))
        return NeighbourLists(
            *(np.concatenate(columns) for columns in zip(EMPTY, *found, strict=True))
        )

    def raters_of(self, movies: np.ndarray) -> np.ndarray:
        """How many users rated each of some movies, given by id."""
        return self.raters[np.searchsorted(self.ids, movies)]

    def similarity(self, movies: np.ndarray, others: np.ndarray) -> np.ndarray:
        """How similar pairs of movies are, float64.

        Args:
            movies: ids.
            others: ids, as many.
        """
        one, other = (np.searchsorted(self.ids, each) for each in (movies, others))
        dense = np.einsum("ij,ij->i", self.dense[one], self.dense[other])
        return dense + self.tags[one].multiply(self.tags[other]).sum(axis=1)


def read_tags(uri: str, format: Format) -> Counter[tuple[int, str]]:
    """How many users gave each movie each tag: from a tags file, bad lines passed over."""
    return Counter(tag for line in data_lines(uri, format) if (tag := tag_of(line, format)))


def content(
    catalogue: Catalogue, tags: Mapping[tuple[int, str], int], weights: Mapping[str, float]
) -> Content:
    """What is known of a catalogue's movies.

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
    together = _unit(sparse.hstack(parts, "csr"))
    split = parts[0].shape[1] + parts[1].shape[1]
    raters = catalogue.ratings.astype(np.int32)
    return Content(catalogue.ids, raters, together[:, :split].toarray(), together[:, split:])


def _eras(year: int) -> tuple[str, str]:
    return f"{year // ERA * ERA}", f"{(year + ERA // 2) // ERA * ERA - ERA // 2}"


def tfidf(words: Words, movies: int) -> sparse.csr_array:
    """TF-IDF vectors, each one long: sparse float64 [movies, words], without words of one movie.

    Args:
        words: of movies.
        movies: how many there are.
    """
    having = Counter(word for _, word, _ in words)
    shared = sorted(word for word, movies_of in having.items() if movies_of > 1)
    column = {word: number for number, word in enumerate(shared)}
    kept = [(place, column[word], much) for place, word, much in words if word in column]
    rows, columns, much = zip(*kept, strict=True) if kept else ((), (), ())
    at: Any = much, (rows, columns)
    counts = sparse.csr_array(at, shape=(movies, len(column)), dtype=float)
    rarity = np.array([np.log((1 + movies) / (1 + having[word])) + 1 for word in column])
    return _unit(counts * rarity if column else counts)


def _unit(vectors: sparse.csr_array) -> sparse.csr_array:
    """The same directions, each one long; nothing stays nothing."""
    lengths = np.sqrt(vectors.multiply(vectors).sum(axis=1))
    return sparse.csr_array(vectors.multiply(1 / np.where(lengths > 0, lengths, 1)[:, None]))

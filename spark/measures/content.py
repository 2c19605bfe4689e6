"""The content of the movies (genres, tags, series, year), also of those that few users rated.

Each movie has a TF-IDF vector of length 1 for each kind of content: a word weighs more the fewer
movies have it, and a tag more the more it says of the movie. The similarity of two movies by
content is the sum of the cosines of their vectors, each times the weight of its kind:

    C(i, j) = Σ weight · cosine(i, j),  from 0 to the sum of the weights

Kinds are summed up, not averaged: a movie without tags is not closer to others for lack of them.
"""

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

from spark.engine.top_k import NeighbourLists, concatenate, top_k_of_rows
from spark.ingest.chunks import RatingTable
from spark.ingest.movies import Catalogue
from spark.measures.products import pair_products, products
from spark.runtime.places import places_in

# Chosen by recall and by what people judge similar: docs/quality.md.
WEIGHTS = {"genres": 0.5, "tags": 0.5, "series": 1.0, "year": 0.125}

ROWS_AT_ONCE = 32  # movies that are compared with all others at once; they stay in a cache
ERA = 10  # years; a movie is in two eras, shifted by five years. Movies of close years share both

type Words = list[tuple[int, str, float]]  # a movie's index, a word that it has, its frequency


class Ranking(NamedTuple):
    """How to rank the movies that are similar to one.

    Attributes:
        raters: per movie of the catalogue; of equally similar ones, those with more come first.
        is_needed: bool, per movie of the catalogue: whether its neighbours are needed; None if all
            movies' are.
    """

    raters: np.ndarray
    is_needed: np.ndarray | None = None


@dataclass(frozen=True)
class Content:
    """The content of the movies of a catalogue.

    Attributes:
        ids: int32, ascending.
        raters: int32, per movie.
        words: float64 [movies, words], the weighted vectors of all kinds side by side.
        by_word: the same, transposed.
        lengths: float64, per movie: the root of its similarity to a movie with the same content.
    """

    ids: np.ndarray
    raters: np.ndarray
    words: sparse.csr_array
    by_word: sparse.csr_array
    lengths: np.ndarray

    def neighbours(
        self, places: np.ndarray, rankings: Sequence[Ranking], count: int
    ) -> list[NeighbourLists]:
        """The movies that are most similar to some.

        Args:
            places: indices of the movies to compare with all, ascending.
            rankings: how to rank them; each gives its own lists.
            count: most neighbours per movie.

        Returns:
            For each ranking the neighbours by movie and rank, without co-raters and cosine.
        """
        found: list[list[NeighbourLists]] = [[] for _ in rankings]
        for start in range(0, places.size, ROWS_AT_ONCE):
            some = places[start : start + ROWS_AT_ONCE]
            own, scores = self.ids[some], self.all_pairs(some)
            for lists, (raters, is_needed) in zip(found, rankings, strict=True):
                needed = None if is_needed is None else is_needed[some]
                lists.append(top_k_of_rows(own, scores, self.ids, raters, count, needed))
        return [concatenate(lists) for lists in found]

    def all_pairs(self, places: np.ndarray) -> np.ndarray:
        """The similarity of some movies, given by their indices, to all: float64 [some, movies]."""
        return products(self.words[places], self.by_word)

    def similarity(self, movies: np.ndarray, others: np.ndarray) -> np.ndarray:
        """The similarity of pairs of movies, float64.

        Args:
            movies: ids; quickest if equal ones follow each other.
            others: ids, one for each of `movies`.
        """
        return pair_products(self.words, self.places_of(movies), self.places_of(others))

    def cosine(self, movies: np.ndarray, others: np.ndarray) -> np.ndarray:
        """The same divided by the `lengths` of both: the cosine of all content together."""
        lengths = np.multiply(*(self.lengths[self.places_of(each)] for each in (movies, others)))
        similar = self.similarity(movies, others)
        return np.divide(similar, lengths, out=np.zeros_like(similar), where=lengths > 0)

    def raters_of(self, movies: np.ndarray) -> np.ndarray:
        """The number of raters of each movie, given by id."""
        return self.raters[self.places_of(movies)]

    def places_of(self, movies: np.ndarray) -> np.ndarray:
        """The indices of movies, given by id."""
        return places_in(self.ids, movies)

    def without(self, users: RatingTable) -> "Content":
        """The same content, rated by the other users only.

        Args:
            users: all their ratings.
        """
        raters, _ = users.totals_of(self.ids)
        return replace(self, raters=self.raters - raters.astype(np.int32))


def content(catalogue: Catalogue, tags: Mapping[tuple[int, str], float]) -> Content:
    """The content of all movies of a catalogue.

    Args:
        catalogue: all movies.
        tags: from `read_tags`.
    """
    size = catalogue.ids.size
    of = _words_of(catalogue, tags)
    vectors = [tfidf(of[kind], size) * math.sqrt(weight) for kind, weight in WEIGHTS.items()]
    words = sparse.csr_array(sparse.hstack(vectors, "csr"))
    return Content(
        catalogue.ids,
        catalogue.ratings.astype(np.int32),
        words,
        sparse.csr_array(words.T),
        np.sqrt(words.multiply(words).sum(axis=1)),
    )


def _words_of(catalogue: Catalogue, tags: Mapping[tuple[int, str], float]) -> Mapping[str, Words]:
    """The words of all movies, by kind of content."""
    words: dict[str, Words] = {kind: [] for kind in WEIGHTS}
    for place, about in enumerate(catalogue.about):
        movie = json.loads(f"{{{about}}}")
        words["genres"] += [(place, genre, 1.0) for genre in movie["genres"]]
        if movie["year"] is not None:
            words["year"] += [(place, era, 1.0) for era in _eras(movie["year"])]
        if "series" in movie:
            words["series"].append((place, movie["series"], 1.0))
    places = dict(zip(catalogue.ids.tolist(), range(catalogue.ids.size), strict=True))
    words["tags"] = [
        (places[movie], tag, much) for (movie, tag), much in tags.items() if movie in places
    ]
    return words


def telling_tags(catalogue: Catalogue, tags: Mapping[tuple[int, str], float]) -> list[list[str]]:
    """Each movie's tags that other movies have too, those first that say most by TF-IDF.

    Args:
        catalogue: all movies.
        tags: from `read_tags`.
    """
    having = Counter(tag for _, tag in tags)
    places = dict(zip(catalogue.ids.tolist(), range(catalogue.ids.size), strict=True))
    found: list[list[tuple[float, str]]] = [[] for _ in places]
    for (movie, tag), much in tags.items():
        if movie in places and having[tag] > 1:
            found[places[movie]].append((-much * _rarity(having[tag], len(places)), tag))
    return [[tag for _, tag in sorted(each)] for each in found]


def _rarity(having: int, movies: int) -> float:
    """How much a word weighs that some of the movies have: IDF."""
    return math.log((1 + movies) / (1 + having)) + 1


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
    rarity = np.array([_rarity(having[word], movies) for word in column])
    return _normalised(counts * rarity if column else counts)


def _normalised(vectors: sparse.csr_array) -> sparse.csr_array:
    """Vectors of length 1 in the same directions; a zero vector stays zero."""
    lengths = np.sqrt(vectors.multiply(vectors).sum(axis=1))
    return sparse.csr_array(vectors.multiply(1 / np.where(lengths > 0, lengths, 1)[:, None]))

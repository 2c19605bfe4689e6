"""The models that are compared: the job's measures, and baselines from the literature.

A measure and an item-based baseline are weights, float64 [movies, movies]: row i says how much
liking movie i adds to each other movie. A user's list is the sum of the rows of the liked movies.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from scipy import sparse

from spark.engine.pairs import Pairs
from spark.engine.top_k import NeighbourLists, top_k_of_rows
from spark.ingest.movies import Catalogue
from spark.measures.content import Content, Ranking, content
from spark.measures.ease import SCALE, inverse
from spark.measures.registry import BY_CONTENT, MEASURES
from spark.measures.with_content import lists_with_content

MIN_RATERS = 10  # the job compares no movie with fewer
MIN_SCORE = 0.95  # of the tutorial's cosine
K = 50  # neighbours per movie in the index
KNN = 100  # neighbours per candidate in the item-based baselines


@dataclass(frozen=True)
class Training:
    """What the models learn from.

    Attributes:
        halves: float64 [users, movies], half stars, sparse.
        movies: the movies of the columns.
        tags: of the data set.
    """

    halves: sparse.csr_array
    movies: Catalogue
    tags: Mapping[tuple[int, str], float]

    @cached_property
    def raters(self) -> np.ndarray:
        """How many users rated each movie, int64."""
        return np.bincount(self.halves.indices, minlength=self.halves.shape[1])

    @cached_property
    def rated(self) -> sparse.csr_array:
        """Ones for all ratings."""
        ones = self.halves.copy()
        ones.data = np.ones_like(ones.data)
        return ones

    @cached_property
    def content(self) -> Content:
        """The content of the movies, with the raters of the training data."""
        movies = replace(self.movies, ratings=self.raters)
        return content(movies, self.tags)

    @cached_property
    def pairs(self) -> Pairs:
        """Every movie against every other."""
        squared: Any = self.halves.power(2)
        squares = np.asarray(squared.sum(axis=0))
        raters = self.raters.astype(float)
        xx = _product(squared, self.rated)
        return Pairs(
            n=_product(self.rated, self.rated),
            xy=_product(self.halves, self.halves),
            xx=xx,
            yy=xx.T,
            raters=(raters[:, None], raters[None]),
            squares=(squares[:, None], squares[None]),
        )


def _product(one: sparse.csr_array, other: sparse.csr_array) -> np.ndarray:
    """One matrix's movies times the other's, summed over users, int32 [movies, movies]."""
    return (one.T @ other).astype(np.int32).toarray()


def weights(training: Training, measure: str) -> np.ndarray:
    """A measure's scores of all pairs of movies, as the job computes them; 0 if it has none."""
    return _WEIGHTS.get(measure, _of_pairs)(training, measure)


def _of_pairs(training: Training, measure: str) -> np.ndarray:
    known = MEASURES[measure]
    if known.scores is None:
        raise ValueError(f"{measure} is not a measure of pairs")
    with np.errstate(divide="ignore", invalid="ignore"):
        scores = np.nan_to_num(known.scores(training.pairs, **known.parameters), posinf=0)
    if measure == "cosine":
        scores[(training.pairs.n < MIN_RATERS) | (scores < MIN_SCORE)] = 0
    return with_enough_raters(training, scores)


def with_enough_raters(training: Training, scores: np.ndarray) -> np.ndarray:
    """Set the scores of movies with too few raters, and of each movie with itself, to 0.

    Changes the array, and returns it.
    """
    few = training.raters < MIN_RATERS
    scores[few] = 0
    scores[:, few] = 0
    np.fill_diagonal(scores, 0)
    return scores


def _ease(training: Training, measure: str) -> np.ndarray:
    return ease_weights(training, MEASURES[measure].parameters["lambda"])


def ease_weights(training: Training, regularisation: float) -> np.ndarray:
    """EASE of the most rated movies with enough raters; spark/measures/ease.py has the formula."""
    limit = int(MEASURES["ease"].parameters["limit"])
    popular = np.argsort(-training.raters, kind="stable")[:limit]
    popular = popular[training.raters[popular] >= MIN_RATERS]
    some = training.halves[:, popular]
    gram = (some.T @ some).toarray().astype(np.float32, order="C")
    found = inverse(gram, SCALE * regularisation)
    found *= -1 / found.diagonal()
    scores = np.zeros((training.raters.size,) * 2)
    scores[np.ix_(popular, popular)] = found
    np.fill_diagonal(scores, 0)
    return scores


def by_content(training: Training) -> np.ndarray:
    """Lists by genres, tags and year only: what `hybrid` uses for movies without ratings."""
    return _as_weights(_neighbours_by_content(training), training)


def _neighbours_by_content(training: Training) -> NeighbourLists:
    content = training.content
    (found,) = content.neighbours(np.arange(content.ids.size), [Ranking(content.raters)], K)
    return found


def _hybrid(training: Training, measure: str) -> np.ndarray:
    parameters = MEASURES[measure].parameters
    ids, words = training.movies.ids, training.content
    ease = top_k_of_rows(ids, _ease(training, "ease"), ids, words.raters, K)
    found = {"ease": ease, BY_CONTENT: _neighbours_by_content(training)}
    made = dict(lists_with_content(found, words, ids, {"hybrid": parameters}, K))
    return _as_weights(made["hybrid"], training)


def _blend(training: Training, measure: str) -> np.ndarray:
    """The blend of all pairs; the job scores each movie's best candidates only."""
    parameters = MEASURES[measure].parameters
    rated = parameters["ease"] * np.maximum(_ease(training, "ease"), 0)
    rated += _of_pairs(training, "full-cosine")
    similar = training.content.all_pairs(np.arange(training.raters.size))
    np.fill_diagonal(similar, 0)
    trust = parameters["trust"]
    alone = parameters["content"] * trust / (trust + training.raters)
    return rated * (1 + similar) + similar * alone[:, None]


def _as_weights(best: NeighbourLists, training: Training) -> np.ndarray:
    """Lists as weights; 0 for a movie that is in no list."""
    scores = np.zeros((training.raters.size,) * 2)
    rows, columns = (np.searchsorted(training.movies.ids, each) for each in best[:2])
    scores[rows, columns] = best.scores
    return scores


_WEIGHTS: Mapping[str, Callable[[Training, str], np.ndarray]] = {
    "ease": _ease,
    "hybrid": _hybrid,
    "blend": _blend,
}


def best_places(scores: np.ndarray, count: int) -> np.ndarray:
    """The indices of each row's highest scores, best first; of equal ones the first: int64.

    Args:
        scores: float64 [rows, columns].
        count: most indices per row.
    """
    count = min(count, scores.shape[1])
    cut = -np.partition(-scores, count - 1, axis=1)[:, count - 1 : count]
    above, equal = scores > cut, scores == cut
    equal &= np.cumsum(equal, axis=1) <= count - above.sum(axis=1, keepdims=True)
    places = np.nonzero(above | equal)[1].reshape(-1, count)
    order = np.argsort(-np.take_along_axis(scores, places, axis=1), axis=1, kind="stable")
    return np.take_along_axis(places, order, axis=1)


def top_k(scores: np.ndarray, count: int) -> np.ndarray:
    """The best scores of each row that are above 0, and 0 elsewhere: the lists in the index."""
    best = best_places(scores, count)
    lists = np.zeros_like(scores)
    np.put_along_axis(lists, best, np.take_along_axis(scores, best, axis=1), axis=1)
    return np.maximum(lists, 0, out=lists)


def item_knn(training: Training, of_users: np.ndarray | None = None) -> np.ndarray:
    """The cosine of the movies' raters; for each candidate only the nearest KNN movies count.

    Sarwar et al., Item-Based Collaborative Filtering Recommendation Algorithms, WWW 2001.

    Args:
        training: what the model learns from.
        of_users: weights of the users; None for equal weights.
    """
    weighted = training.rated
    if of_users is not None:
        weighted = sparse.csr_array(weighted.multiply(of_users[:, None]))
    lengths = np.sqrt(np.asarray(weighted.power(2).sum(axis=0)))
    similar = (weighted.T @ weighted).toarray() / np.outer(*[np.where(lengths, lengths, 1)] * 2)
    np.fill_diagonal(similar, 0)
    return top_k(similar.T, KNN).T


def tfidf_knn(training: Training) -> np.ndarray:
    """The same with users weighted by TF-IDF: users with many ratings count less."""
    users_ratings = np.diff(training.halves.indptr)
    return item_knn(training, np.log(training.raters.size / (1 + users_ratings)))

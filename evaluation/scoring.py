"""Scores models: users' lists, hit rates of single titles, and properties of the lists.

Every ranking is of all movies, never of a sample: see Krichene and Rendle, On Sampled Metrics for
Item Recommendation, KDD 2020. Equal scores: the movie with more raters first. A movie whose
score is not above 0 is not recommended.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from evaluation.models import best_places
from evaluation.splits import Split
from spark.self_evaluation import metrics

USERS_AT_ONCE = 1024
LIST_LENGTH = 100  # places of a list that the metrics use
DRAWS = 5  # pairs of a liked and a hidden movie per user
SHOWN = 10  # neighbours that a page shows
WELL_KNOWN = 0.1  # share of the rated movies, by raters
RARE = 0.5  # likewise
SLICES = "head", "middle", "tail"  # of the movies by raters: the WELL_KNOWN, and last the RARE ones

# Maps liked movies, [users, movies], to the scores of all movies, float64 of the same shape.
type Scores = Callable[[sparse.csr_array], np.ndarray]

USER_METRICS: Mapping[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "recall@20": lambda hits, hidden: metrics.recall(hits, hidden, 20),
    "capped recall@20": lambda hits, hidden: metrics.capped_recall(hits, hidden, 20),
    "NDCG@100": lambda hits, hidden: metrics.ndcg(hits, hidden, 100),
    "MAP@20": lambda hits, hidden: metrics.average_precision(hits, hidden, 20),
}


def users_lists(split: Split, scores: Scores) -> dict[str, float]:
    """The means of USER_METRICS over the test users, and the standard error of `recall@20`.

    Also `recall@20 head` and so on: the recall of the hidden movies of one of the SLICES, over the
    users who have any; left out if nobody has.
    """
    raters = np.bincount(split.train.indices, minlength=split.train.shape[1])
    by_raters = np.argsort(-raters, kind="stable")
    users = split.liked.shape[0]
    some = [
        _hits(split, scores, by_raters, slice(start, start + USERS_AT_ONCE))
        for start in range(0, users, USERS_AT_ONCE)
    ]
    found, hidden = np.concatenate(some), np.diff(split.hidden.indptr)
    values = {name: metric(found >= 0, hidden) for name, metric in USER_METRICS.items()}
    error = values["recall@20"].std() / np.sqrt(users)
    means = {name: float(each.mean()) for name, each in values.items()} | {"error": float(error)}
    return means | _recall_by_slice(split, found)


def _hits(split: Split, scores: Scores, by_raters: np.ndarray, some: slice) -> np.ndarray:
    """The hidden movies at the places of some users' lists, -1 elsewhere: int64 [users, LENGTH]."""
    offered = scores(split.liked[some])
    offered[split.seen[some].nonzero()] = 0
    offered = offered[:, by_raters]
    best = best_places(offered, LIST_LENGTH)
    wanted = split.hidden[some].toarray()[:, by_raters] > 0
    is_hit = np.take_along_axis(wanted & (offered > 0), best, axis=1)
    return np.where(is_hit, by_raters[best], -1)


def slices_of(raters: np.ndarray) -> np.ndarray:
    """The slice of each movie, an index of SLICES: int64 [movies].

    The head is the most rated tenth of the rated movies, the tail the less rated half of them and
    those without ratings. Equally rated movies are ranked by their index.
    """
    place = np.argsort(np.argsort(-raters, kind="stable"))
    rated = np.count_nonzero(raters)
    ends = int(WELL_KNOWN * rated), int((1 - RARE) * rated)
    return np.searchsorted(ends, place, side="right")


def hidden_by_slice(split: Split) -> dict[str, int]:
    """How many hidden movies of the test users are in each of the SLICES."""
    slices = slices_of(np.bincount(split.train.indices, minlength=split.train.shape[1]))
    numbers = np.bincount(slices[split.hidden.indices], minlength=len(SLICES))
    return dict(zip(SLICES, numbers.tolist(), strict=True))


def _recall_by_slice(split: Split, found: np.ndarray) -> dict[str, float]:
    """`recall@20` of the hidden movies of each slice.

    Args:
        split: the hidden movies.
        found: from `_hits`, of all users.
    """
    slices = slices_of(np.bincount(split.train.indices, minlength=split.train.shape[1]))
    first = found[:, :20]
    recall = {}
    for number, name in enumerate(SLICES):
        hidden = split.hidden @ (slices == number).astype(float)
        hits = ((first >= 0) & (slices[first] == number)).sum(axis=1)
        has_any = hidden > 0
        if has_any.any():
            recall[f"recall@20 {name}"] = float((hits[has_any] / hidden[has_any]).mean())
    return recall


def hit_rates(split: Split, weights: np.ndarray, seed: int) -> dict[str, float]:
    """How often a user's hidden movie is among the first neighbours of a movie that the user liked.

    Args:
        split: DRAWS pairs are drawn for each of its users.
        weights: [movies, movies].
        seed: of the random numbers.
    """
    seeds, targets = _drawn(split, np.random.default_rng(seed))
    raters = np.bincount(split.train.indices, minlength=split.train.shape[1])
    place = np.argsort(np.argsort(-raters, kind="stable"))
    rank = np.empty(seeds.size, np.int64)
    for start in range(0, seeds.size, USERS_AT_ONCE):
        some = slice(start, start + USERS_AT_ONCE)
        of, wanted = weights[seeds[some]], targets[some]
        score = np.take_along_axis(of, wanted[:, None], axis=1)
        ahead = (of > score) | ((of == score) & (place < place[wanted][:, None]))
        ahead[np.arange(wanted.size), seeds[some]] = False
        rank[some] = np.where(score[:, 0] > 0, ahead.sum(axis=1), place.size)
    return {f"hit@{k}": float((rank < k).mean()) for k in (10, 20)}


def _drawn(split: Split, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of a liked and a hidden movie of the same user: indices of movies, int32."""
    users = np.repeat(np.flatnonzero(np.diff(split.liked.indptr) > 0), DRAWS)
    drawn = []
    for matrix in (split.liked, split.hidden):
        sizes = np.diff(matrix.indptr)[users]
        at = matrix.indptr[users] + (random.random(users.size) * sizes).astype(np.int64)
        drawn.append(matrix.indices[at])
    return drawn[0], drawn[1]


@dataclass(frozen=True)
class Lists:
    """Properties of the lists of a measure.

    Attributes:
        coverage: share of all movies that have at least SHOWN neighbours.
        well_known: share of the first SHOWN neighbours that are among the most rated movies.
        co_raters: median number of users who rated both a movie and one of its first SHOWN
            neighbours.
    """

    coverage: float
    well_known: float
    co_raters: float


def lists(weights: np.ndarray, co_raters: np.ndarray, raters: np.ndarray) -> Lists:
    """The properties of the lists of a measure.

    Args:
        weights: [movies, movies], from all ratings.
        co_raters: [movies, movies].
        raters: [movies].
    """
    best = best_places(weights, SHOWN)
    there = np.take_along_axis(weights, best, axis=1) > 0
    most = np.argsort(-raters, kind="stable")[: int(WELL_KNOWN * np.count_nonzero(raters))]
    together = np.take_along_axis(co_raters, best, axis=1)[there]
    return Lists(
        coverage=float(there.all(axis=1).mean()),
        well_known=float(np.isin(best[there], most).mean()),
        co_raters=float(np.median(together)),
    )

"""All figures of one data set: each protocol, each model, and the lists that people see."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
from pyspark.sql import SparkSession
from scipy import sparse

from entries import MAX_HALVES
from evaluation import als, models, scoring, splits
from evaluation.models import Training
from evaluation.scoring import Scores
from evaluation.slim import slim
from evaluation.splits import Split

SEED = 0
LIKE = 8  # half stars from which a movie is liked
KEPT = 50  # neighbours that the index keeps of each movie
SLIM_PRICES = 5.0, 100.0  # l1, l2
REGULARISATIONS = 50, 100, 200, 400, 800, 1600

type Say = Callable[[str], None]
type Figures = dict[str, Any]


def published(spark: SparkSession, halves: sparse.csr_array, say: Say) -> Figures:
    """The protocol in which others published: five stars only, random 80/20, whole weights.

    Args:
        spark: a session.
        halves: [users, movies], half stars.
        say: told of each model.
    """
    split = splits.by_rating(splits.only(halves, MAX_HALVES), MAX_HALVES, SEED)
    training = Training(split.train)
    gram = (training.rated.T @ training.rated).toarray()
    found = {
        name: scoring.users_lists(split, scores)
        for name, scores in _lists_for_all(training, MAX_HALVES).items()
    }
    weights: dict[str, Callable[[], np.ndarray]] = {
        "item-kNN": lambda: models.item_knn(training),
        "tf-idf item-kNN": lambda: models.tfidf_knn(training),
        "SLIM": lambda: slim(gram, *SLIM_PRICES),
    }
    for name, compute in weights.items():
        say(f"published protocol: {name}")
        found[name] = scoring.users_lists(split, summed(compute()))
    say("published protocol: iALS")
    found["iALS"] = scoring.users_lists(split, als.factors(spark, split.train, SEED).scores)
    for name, whole in _measures(training, say, "published protocol"):
        found[name] = scoring.users_lists(split, summed(whole)) | _as_kept(split, whole)
    return found


def liked(spark: SparkSession, split: Split, say: Say, protocol: str) -> Figures:
    """All ratings are learnt from, liked movies are hidden: what the job computes, judged.

    Args:
        spark: a session.
        split: of all ratings.
        say: told of each model.
        protocol: its name, for `say`.
    """
    training = Training(split.train)
    found = {
        name: scoring.users_lists(split, scores)
        for name, scores in _lists_for_all(training, LIKE).items()
    }
    by_raters = np.tile(training.raters.astype(float), (training.raters.size, 1))
    found["popularity"] |= scoring.one_for_another(split, by_raters, SEED)
    for name, compute in (("item-kNN", models.item_knn), ("tf-idf item-kNN", models.tfidf_knn)):
        say(f"{protocol}: {name}")
        weights = compute(training)
        found[name] = scoring.users_lists(split, summed(weights))
        found[name] |= scoring.one_for_another(split, weights, SEED)
    say(f"{protocol}: iALS")
    found["iALS"] = scoring.users_lists(split, als.factors(spark, split.train, SEED).scores)
    for name, whole in _measures(training, say, protocol):
        found[name] = scoring.users_lists(split, summed(whole)) | _as_kept(split, whole)
        found[name] |= scoring.one_for_another(split, whole, SEED)
    return found


def lists(halves: sparse.csr_array, say: Say) -> tuple[Figures, dict[str, np.ndarray]]:
    """What the measures' lists are like, of all ratings.

    Returns:
        By measure, the figures and the first SHOWN neighbours: places of movies, int64 [movies,
        SHOWN], -1 where there is none.
    """
    training = Training(halves)
    figures, first = {}, {}
    for name, whole in _measures(training, say, "lists"):
        found = scoring.lists(whole, training.pairs.n, training.raters)
        figures[name] = asdict(found)
        best = np.argsort(-whole, axis=1, kind="stable")[:, : scoring.SHOWN]
        first[name] = np.where(np.take_along_axis(whole, best, axis=1) > 0, best, -1)
    return figures, first


def by_regularisation(split: Split, say: Say) -> Figures:
    """Recall@20 of EASE with other λ: whole, and of lists of KEPT.

    Args:
        split: of all ratings.
        say: told of each.
    """
    training = Training(split.train)
    found = {}
    for regularisation in REGULARISATIONS:
        say(f"ease, lambda {regularisation}")
        whole = models.ease_weights(training, regularisation)
        recall = scoring.users_lists(split, summed(whole))["recall@20"]
        found[str(regularisation)] = {"recall@20": recall} | _as_kept(split, whole)
    return found


def summed(weights: np.ndarray) -> Scores:
    """Scores by the sum of the rows of what a user liked."""
    return lambda liked_movies: liked_movies @ weights


def _measures(training: Training, say: Say, protocol: str) -> Iterator[tuple[str, np.ndarray]]:
    for name in models.MEASURED:
        say(f"{protocol}: {name}")
        yield name, models.weights(training, name)


def _as_kept(split: Split, whole: np.ndarray) -> dict[str, float]:
    """A measure's figures with the lists that the index keeps."""
    judged = scoring.users_lists(split, summed(models.kept(whole, KEPT)))
    return {f"kept {name}": judged[name] for name in ("recall@20", "capped recall@20")}


def _lists_for_all(training: Training, like: int) -> Mapping[str, Scores]:
    """What is the same for everybody: what most users like, and chance."""
    fans = np.bincount(splits.only(training.halves, like).indices, minlength=training.raters.size)
    random = np.random.default_rng(SEED)
    return {
        "popularity": lambda movies: np.tile(fans.astype(float), (movies.shape[0], 1)),
        "random": lambda movies: random.random(movies.shape),
    }

"""All figures of one data set: each protocol, each model, and the lists in the index."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
from pyspark.sql import SparkSession

from evaluation import models, scoring, splits
from evaluation.auc import auc
from evaluation.baselines import als
from evaluation.baselines.slim import slim
from evaluation.calibration import strength_error
from evaluation.interactions import Interactions
from evaluation.judgements import JudgedPairs
from evaluation.models import Training
from evaluation.scoring import Scores
from evaluation.sequels import series_by_group, share_with_sequels
from evaluation.splits import Split
from spark.engine.entries import MAX_HALVES
from spark.measures.registry import MEASURES

SEED = 0
LIKE = 8  # half stars from which on a movie counts as liked
SLIM_PRICES = 5.0, 100.0  # l1, l2
REGULARISATIONS = 50, 100, 200, 400, 800, 1600
# Figures that are also given for the lists in the index.
KEPT = "recall@20", "capped recall@20", *(f"recall@20 {name}" for name in scoring.SLICES)

type Say = Callable[[str], None]
type Figures = dict[str, Any]


def published(spark: SparkSession, everything: Interactions, say: Say) -> Figures:
    """The protocol of the published figures: five stars only, random 80/20, all weights.

    Args:
        spark: a session.
        everything: the data set.
        say: prints progress.
    """
    five_stars = splits.rated_at_least(everything.halves, MAX_HALVES)
    split = splits.by_rating(five_stars, MAX_HALVES, SEED)
    training = Training(split.train, everything.movies, everything.tags)
    gram = (training.rated.T @ training.rated).toarray()
    found = {
        name: scoring.users_lists(split, scores)
        for name, scores in _lists_for_all(training, MAX_HALVES).items()
    }
    weights: dict[str, Callable[[], np.ndarray]] = {
        "item-kNN": lambda: models.item_knn(training),
        "tf-idf item-kNN": lambda: models.tfidf_knn(training),
        "SLIM": lambda: slim(gram, *SLIM_PRICES),
        "content": lambda: models.by_content(training),
    }
    for name, compute in weights.items():
        say(f"published protocol: {name}")
        found[name] = scoring.users_lists(split, summed(compute()))
    say("published protocol: iALS")
    learnt = als.factors(spark, split.train, als.TUNED, SEED)
    found["iALS"] = scoring.users_lists(split, learnt.scores)
    for name, whole in _measures(spark, training, say, "published protocol"):
        found[name] = scoring.users_lists(split, summed(whole)) | _with_top_k(split, whole)
    return found


def liked(
    spark: SparkSession, everything: Interactions, split: Split, say: Say, protocol: str
) -> Figures:
    """Learn from all ratings and hide liked movies: the job's situation.

    Args:
        spark: a session.
        everything: the data set.
        split: of all its ratings.
        say: prints progress.
        protocol: its name, for `say`.
    """
    training = Training(split.train, everything.movies, everything.tags)
    found = {
        name: scoring.users_lists(split, scores)
        for name, scores in _lists_for_all(training, LIKE).items()
    }
    by_raters = np.tile(training.raters.astype(float), (training.raters.size, 1))
    found["popularity"] |= scoring.hit_rates(split, by_raters, SEED)
    models_by_name = {
        "item-kNN": models.item_knn,
        "tf-idf item-kNN": models.tfidf_knn,
        "content": models.by_content,
    }
    for name, compute in models_by_name.items():
        say(f"{protocol}: {name}")
        weights = compute(training)
        found[name] = scoring.users_lists(split, summed(weights))
        found[name] |= scoring.hit_rates(split, weights, SEED)
    say(f"{protocol}: iALS")
    learnt = als.factors(spark, split.train, als.TUNED, SEED)
    found["iALS"] = scoring.users_lists(split, learnt.scores)
    for name, whole in _measures(spark, training, say, protocol):
        found[name] = scoring.users_lists(split, summed(whole)) | _with_top_k(split, whole)
        found[name] |= scoring.hit_rates(split, whole, SEED)
        if split.are_new:
            found[name] |= strength_error(split, whole, training.raters, SEED)
    return found


def lists(
    spark: SparkSession, everything: Interactions, judged: JudgedPairs | None, say: Say
) -> tuple[Figures, dict[str, np.ndarray]]:
    """The properties of the measures' lists, from all ratings: sequels, and what people say.

    Args:
        spark: a session.
        everything: the data set.
        judged: people's judgements, if there are any.
        say: prints progress.

    Returns:
        By measure, the figures `lists`, `sequels` and `judged`, and the first SHOWN neighbours:
        indices of movies, int64 [movies, SHOWN], -1 for none.
    """
    training = Training(everything.halves, everything.movies, everything.tags)
    series = series_by_group(everything.movies, training.raters)
    sizes = {group: int((of >= 0).sum()) for group, of in series.items()}
    figures: Figures = {"lists": {}, "sequels": {"titles": sizes, "measures": {}}}
    if judged:
        figures["judged"] = judged.counts | {"measures": {}}
    first = {}
    for name, whole in _measures(spark, training, say, "lists"):
        found = scoring.lists(whole, training.pairs.n, training.raters)
        figures["lists"][name] = asdict(found)
        if judged:
            figures["judged"]["measures"][name] = by_people(whole, judged)
        best = models.best_places(whole, scoring.SHOWN)
        first[name] = np.where(np.take_along_axis(whole, best, axis=1) > 0, best, -1)
        figures["sequels"]["measures"][name] = share_with_sequels(first[name], series)
    return figures, first


def by_people(whole: np.ndarray, judged: JudgedPairs) -> dict[str, float]:
    """The area under the ROC curve of a measure by people's judgements, and its standard error.

    Args:
        whole: all weights, float64 [movies, movies].
        judged: the judgements.
    """
    found: dict[str, float] = {}
    for kept, weights in (("", whole), ("kept ", models.top_k(whole, models.K))):
        area = auc(weights[judged.first, judged.second], judged.is_alike, judged.first)
        found |= {f"{kept}AUC": area.value, f"{kept}error": area.error}
    return found


def by_regularisation(everything: Interactions, split: Split, say: Say) -> Figures:
    """Recall@20 of EASE for several λ: with all weights, and with lists of K.

    Args:
        everything: the data set.
        split: of all its ratings.
        say: prints progress.
    """
    training = Training(split.train, everything.movies, everything.tags)
    found = {}
    for regularisation in REGULARISATIONS:
        say(f"ease, lambda {regularisation}")
        whole = models.ease_weights(training, regularisation)
        recall = scoring.users_lists(split, summed(whole))["recall@20"]
        found[str(regularisation)] = {"recall@20": recall} | _with_top_k(split, whole)
    return found


def summed(weights: np.ndarray) -> Scores:
    """Scores by the sum of the rows of a user's liked movies."""
    return lambda liked_movies: liked_movies @ weights


def _measures(
    spark: SparkSession, training: Training, say: Say, protocol: str
) -> Iterator[tuple[str, np.ndarray]]:
    """Each measure and its weights."""
    for name, measure in MEASURES.items():
        say(f"{protocol}: {name}")
        if measure.source == "ratings":
            learnt = als.factors(spark, training.halves, measure.parameters, SEED)
            yield name, models.with_enough_raters(training, learnt.cosine())
        else:
            yield name, models.weights(training, name)


def _with_top_k(split: Split, whole: np.ndarray) -> dict[str, float]:
    """A measure's figures with the lists in the index."""
    figures = scoring.users_lists(split, summed(models.top_k(whole, models.K)))
    return {f"kept {name}": figures[name] for name in KEPT if name in figures}


def _lists_for_all(training: Training, like: int) -> Mapping[str, Scores]:
    """Lists that are the same for everybody: the most liked movies, and random ones."""
    fans = np.bincount(
        splits.rated_at_least(training.halves, like).indices, minlength=training.raters.size
    )
    random = np.random.default_rng(SEED)
    return {
        "popularity": lambda movies: np.tile(fans.astype(float), (movies.shape[0], 1)),
        "random": lambda movies: random.random(movies.shape),
    }

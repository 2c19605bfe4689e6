"""Strength: what held-out users liked says what a score means."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit

from spark.contracts.strength import strength_of
from spark.engine.top_k import NeighbourLists
from spark.ingest.chunks import RatingTable
from spark.self_evaluation import strength
from spark.self_evaluation.strength import calibrate, chances

PAIRS = 400


def world(seed: int, users: int, ratio: float) -> tuple[RatingTable, NeighbourLists]:
    """Those who like the first movie of a pair like the second one more often.

    Their odds are `ratio` ** score times the odds of all users alike, scores are from 0 to 1. Users
    like few to many movies. Most movies are in no pair, so the pairs hardly change how many.
    """
    random = np.random.default_rng(seed)
    scores = random.random(PAIRS)
    keen = random.normal(0, 0.7, users)[:, None]
    likely = expit(keen + logit(random.uniform(0.03, 0.1, PAIRS)))
    first = random.random((users, PAIRS)) < likely
    odds = keen + logit(random.uniform(0.05, 0.3, PAIRS))
    fans = expit(odds + scores * np.log(ratio))
    others = (expit(odds) - likely * fans) / (1 - likely)
    second = random.random((users, PAIRS)) < np.where(first, fans, others)
    rest = random.random((users, 6 * PAIRS)) < expit(keen + logit(0.15))
    user, movie = np.nonzero(np.hstack([first, second, rest]))
    ids = np.arange(PAIRS, dtype=np.int32)
    none = np.zeros(PAIRS, np.int32)
    return ratings(user, movie), NeighbourLists(ids, ids + np.int32(PAIRS), scores, none, none / 1)


def ratings(users: np.ndarray, movies: np.ndarray) -> RatingTable:
    """Likes as ratings."""
    halves = np.full(users.size, 9, np.uint8)
    return RatingTable(users.astype(np.int32), movies.astype(np.int32), halves)


def same_raters(lists: NeighbourLists) -> np.ndarray:
    """Equally many raters of all movies."""
    return np.full(lists.movies.size, 100)


@pytest.mark.parametrize("ratio", [1, 3, 10])
def test_known_odds_are_recovered(ratio: float) -> None:
    likes, lists = world(1, 600, ratio)
    (curve,) = calibrate(likes, lists, same_raters(lists))
    for score in (0.3, 0.5, 0.7, 0.9):
        expected = 100 * (1 - ratio**-score)
        assert strength_of([curve], 100, score) == pytest.approx(expected, abs=5)


def test_users_who_like_much_and_popular_movies_are_not_taken_for_similarity() -> None:
    likes, lists = world(2, 600, 1)
    liked = np.zeros((600, 8 * PAIRS), bool)
    liked[likes.users, likes.movies] = True
    one, other = liked[:, :PAIRS], liked[:, PAIRS : 2 * PAIRS]
    both, by_shares = (one & other).mean(axis=0), one.mean(axis=0) * other.mean(axis=0)
    assert both.sum() > 1.3 * by_shares.sum(), "keen users like both"
    (curve,) = calibrate(likes, lists, same_raters(lists))
    assert max(found for _, found in curve.knots) < 8


def test_a_score_means_less_where_it_says_less_on_the_lists_of_popular_movies() -> None:
    likes, lists = world(3, 1500, 10)
    popular = np.arange(PAIRS) >= PAIRS // 2
    scores = np.where(popular, 2 * lists.scores, lists.scores)
    curves = calibrate(likes, lists._replace(scores=scores), np.where(popular, 1000, 10))
    assert [curve.raters for curve in curves] == [10, 1000]
    for score in (0.5, 0.8):
        few, many = (strength_of(curves, raters, score) for raters in (10, 1000))
        assert few == pytest.approx(100 * (1 - 10**-score), abs=9)
        assert many == pytest.approx(100 * (1 - 10 ** (-score / 2)), abs=9)
        assert strength_of(curves, 100, score) == pytest.approx((few + many) / 2)


def test_by_chance_users_and_movies_have_as_many_likes_as_in_the_data() -> None:
    random = np.random.default_rng(4)
    liked = random.random((80, 120)) < random.uniform(0.01, 0.9, (80, 1)) * random.random(120)
    liked = liked[liked.any(axis=1)][:, liked.any(axis=0)]
    of_users, of_movies = chances(liked.sum(axis=1), liked.sum(axis=0))
    expected = expit(of_users[:, None] + of_movies)
    np.testing.assert_allclose(expected.sum(axis=1), liked.sum(axis=1), rtol=1e-6)
    np.testing.assert_allclose(expected.sum(axis=0), liked.sum(axis=0), rtol=1e-6)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    users=st.integers(30, 90),
    density=st.floats(0.2, 0.8),
    same=st.integers(1, 40),
)
def test_curves_rise_from_0_to_100_in_any_order_of_users(
    seed: int, users: int, density: float, same: int
) -> None:
    random = np.random.default_rng(seed)
    user, movie = np.nonzero(random.random((users, 40)) < density)
    likes = ratings(user, movie)
    ids = np.repeat(np.arange(40), 10).astype(np.int32)
    others = np.concatenate(
        [random.choice(np.delete(np.arange(40), i), 10, False) for i in range(40)]
    )
    scores = np.round(random.random(400) * same) / same
    none = np.zeros(400, np.int32)
    lists = NeighbourLists(ids, others.astype(np.int32), scores, none, none + np.nan)
    raters = random.integers(1, 500, 40)[ids]
    curves = calibrate(likes, lists, raters)
    order = random.permutation(user.size)
    renamed = random.permutation(users)[user][order]
    assert calibrate(ratings(renamed, movie[order]), lists, raters) == curves
    assert [curve.raters for curve in curves] == sorted({curve.raters for curve in curves})
    for curve in curves:
        known, found = (list(column) for column in zip(*curve.knots, strict=True))
        assert known == sorted(known)
        assert found == sorted(found)
        assert 0 <= found[0] <= found[-1] <= 99
    if curves:
        for of in (1, 77, 1000):
            told = [strength_of(curves, of, score) for score in sorted(scores)]
            assert told == sorted(told)


@pytest.mark.parametrize(("users", "are_enough"), [(29, False), (30, True)])
def test_few_users_give_no_strength_however_much_they_like(users: int, are_enough: bool) -> None:
    random = np.random.default_rng(5)
    likes = ratings(*np.nonzero(random.random((users, 40)) < 0.5))
    assert np.unique(likes.users).size == users
    ids, others = (each.astype(np.int32) for each in np.nonzero(~np.eye(40, dtype=bool)))
    none = np.zeros(ids.size, np.int32)
    lists = NeighbourLists(ids, others, random.random(ids.size), none, none / 1)
    assert bool(calibrate(likes, lists, same_raters(lists))) == are_enough


def test_few_co_likes_give_no_strength() -> None:
    likes, lists = world(5, 600, 10)
    raters = same_raters(lists)
    assert calibrate(likes.where(likes.users < 0), lists, raters) == []
    some = lists.movies < 5  # of 600 users, a tenth like both
    assert calibrate(likes, lists.where(some), raters[some]) == []
    assert calibrate(likes, lists.where(lists.movies < 0), raters[:0]) == []


def test_movies_without_raters_among_the_other_users_have_the_curve_of_few_raters() -> None:
    likes, lists = world(9, 1500, 10)
    few = np.where(np.arange(PAIRS) < PAIRS // 2, 0, 400)
    curves = calibrate(likes, lists, few)
    assert [curve.raters for curve in curves] == [1, 400]


def test_equal_scores_say_nothing() -> None:
    likes, lists = world(6, 600, 10)
    assert calibrate(likes, lists, same_raters(lists))
    assert not calibrate(likes, lists._replace(scores=np.ones(PAIRS)), same_raters(lists))


def test_the_curves_of_many_co_likes_stay_small(monkeypatch: pytest.MonkeyPatch) -> None:
    likes, lists = world(7, 600, 10)
    random = np.random.default_rng(7)
    monkeypatch.setattr(strength, "MIN_OF_GROUP", 0.01)  # as for 20,000 times as many co-likes
    monkeypatch.setattr(strength, "MIN_OF_BAND", 1)
    curves = calibrate(likes, lists, random.integers(10, 1000, PAIRS))
    assert len(curves) == strength.BANDS
    assert max(len(curve.knots) for curve in curves) <= 25

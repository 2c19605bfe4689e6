"""The self-evaluation: who is held out, what is hidden, and figures worked out by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spark.engine.blocks import Blocks
from spark.engine.top_k import NeighbourLists
from spark.measures.ease import ease, ease_without, inverse
from spark.self_evaluation import figures as figures_module
from spark.self_evaluation.figures import evaluate
from spark.self_evaluation.held_out import HeldOutRatings, are_held_out, hash_bound_for

MANY = np.arange(1, 40_001)


def lists_of(neighbours: dict[int, dict[int, float]]) -> NeighbourLists:
    """Neighbours by movie, with their scores, best first."""
    rows = [
        (movie, other, score) for movie, each in sorted(neighbours.items())
        for other, score in each.items()
    ]  # fmt: skip
    movies, others, scores = zip(*rows, strict=True)
    nothing = np.zeros(len(rows), np.int32)
    return NeighbourLists(
        np.array(movies, np.int32), np.array(others, np.int32), np.array(scores), nothing,
        nothing * np.nan,
    )  # fmt: skip


def ratings_of(table: list[tuple[int, int, float]]) -> HeldOutRatings:
    """The ratings of users who are held_out: user, movie, stars."""
    users, movies, stars = zip(*sorted(table), strict=True)
    return HeldOutRatings(
        np.array(users, np.int32), np.array(movies, np.int32),
        (2 * np.array(stars)).astype(np.uint8),
    )  # fmt: skip


def test_about_the_given_number_of_users_is_held_out_at_most_a_tenth_and_always_the_same() -> None:
    few = np.full(MANY.size, 20)
    held_out = are_held_out(MANY, few, hash_bound_for(MANY.size, 500))
    assert 400 < held_out.sum() < 600
    assert abs(are_held_out(MANY, few, hash_bound_for(MANY.size, 10**6)).mean() - 0.1) < 0.01
    assert (are_held_out(MANY, few, hash_bound_for(MANY.size, 1000)) >= held_out).all(), (
        "a higher bound adds users"
    )
    assert not are_held_out(MANY, few, hash_bound_for(MANY.size, 0)).any()
    assert not are_held_out(MANY, few + 1000, hash_bound_for(MANY.size, 500)).any(), (
        "the work is bounded"
    )


def test_a_fifth_of_the_ratings_is_hidden_and_the_liked_ones_of_those_are_relevant() -> None:
    ratings = ratings_of(
        [(user, movie, 1 + movie % 5) for user in range(100) for movie in range(200)]
    )
    assert abs(ratings.are_hidden.mean() - 0.2) < 0.01
    assert ratings.visible.users.size + ratings.are_hidden.sum() == ratings.users.size
    assert set(ratings.relevant.halves.tolist()) == {8, 10}
    assert abs(ratings.relevant.users.size / ratings.users.size - 0.2 * 2 / 5) < 0.01
    by_user = np.bincount(ratings.users, ratings.are_hidden) / 200
    assert (by_user.min() > 0.05) & (by_user.max() < 0.4), "about a fifth of every user's"


@pytest.fixture
def movies_from_100_are_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    """Movies from 100 on are hidden; one user is enough; lists have two places."""
    monkeypatch.setattr(
        HeldOutRatings, "are_hidden", property(lambda ratings: ratings.movies >= 100)
    )
    monkeypatch.setattr(figures_module, "MIN_USERS", 1)
    monkeypatch.setattr(figures_module, "K", 2)


@pytest.mark.usefixtures("movies_from_100_are_hidden")
def test_a_users_list_has_the_highest_sums_of_stars_times_scores() -> None:
    # User 1 gave 1 star to movie 1 and 5 to movie 2; user 2 gave 5 to movie 1. 100 and 101 are
    # hits.
    ratings = ratings_of([(1, 1, 1), (1, 2, 5), (1, 100, 5), (1, 102, 2), (2, 1, 5), (2, 101, 4),
                      (3, 1, 3)])  # fmt: skip
    lists = lists_of({
        # For user 1: 100 has 0.2·1 + 0.1·5 = 0.7, 101 0.6, 103 0.1 · 5 = 0.5; 1 and 2 are known.
        1: {101: 0.6, 2: 0.9, 100: 0.2},
        2: {1: 0.9, 100: 0.1, 103: 0.1},
    })  # fmt: skip
    popular = np.array([1, 2, 103, 100, 101], np.int32)
    quality = evaluate("damped", ratings, {"damped": lists}, popular)
    assert (quality.users, quality.hidden) == (2, 2), (
        "102 was not liked, user 3 has no relevant movie"
    )
    # Both lists find their movie. The most rated are 103 and 100 for user 1, a hit, and 2 and 103
    # for user 2.
    figures = quality.measures["damped"]
    assert (figures.recall, quality.popularity_recall, figures.lift) == (1.0, 0.5, 2.0)
    # The deviation of 1 - 2·1 and 1 - 2·0, -1 and 1, is √2; the error is √2 / √2 / 0.5.
    assert figures.lift_error == pytest.approx(2)
    assert figures.popularity_share == pytest.approx(1 / 6, abs=1e-6), (
        "one of six neighbours is the most rated movie"
    )


@pytest.mark.usefixtures("movies_from_100_are_hidden")
def test_at_most_as_many_hidden_movies_count_as_a_list_has_places() -> None:
    ratings = ratings_of([(user, movie, 5) for user in (1, 2) for movie in (1, *range(100, 110))])
    lists = lists_of({1: {100: 0.9, 50: 0.8, 101: 0.7}})
    popular = np.array([101, 102, 103], np.int32)
    quality = evaluate("m", ratings, {"m": lists}, popular)
    assert (quality.popularity_recall, quality.measures["m"].recall) == (1.0, 0.5)


@pytest.mark.parametrize("seed", range(4))
def test_recall_is_that_of_lists_in_plain_python_also_with_equal_scores(seed: int) -> None:
    chance = np.random.default_rng(seed)
    movies = range(1, 1500)  # more than the groups whose best are compared first
    ratings = ratings_of([
        (user, int(movie), chance.choice([1, 4, 5]))
        for user in range(150)  # more than are ranked at once
        for movie in chance.choice(movies, 40, replace=False)
    ])  # fmt: skip
    table = {
        movie: {int(other): chance.integers(1, 4) / 4 for other in chance.choice(movies, 30)}
        for movie in movies[::2]
    }
    lists, popular = lists_of(table), chance.permutation(movies).astype(np.int32)
    quality = evaluate("m", ratings, {"m": lists}, popular)

    seen: dict[int, dict[int, int]] = {}
    wanted: dict[int, dict[int, int]] = {}
    for each, table_of in ((ratings.visible, seen), (ratings.relevant, wanted)):
        for user, movie, halves in zip(each.users, each.movies, each.halves, strict=True):
            table_of.setdefault(int(user), {})[int(movie)] = int(halves)
    recalls, by_popularity = [], []
    for user in sorted(seen.keys() & wanted.keys()):
        sums: dict[int, float] = {}
        for movie, halves in seen[user].items():
            for other, score in table.get(movie, {}).items():
                sums[other] = sums.get(other, 0) + score * halves
        most = min(20, len(wanted[user]))
        for found, ranked in (
            (recalls, sorted(sums, key=lambda other: (-sums[other], other))),
            (by_popularity, popular.tolist()),
        ):
            offered = [movie for movie in ranked if movie not in seen[user]][:20]
            found.append(len(set(offered) & set(wanted[user])) / most)
    assert quality.users == len(recalls) > 100
    assert quality.measures["m"].recall == pytest.approx(np.mean(recalls), abs=1e-6)
    assert quality.popularity_recall == pytest.approx(np.mean(by_popularity), abs=1e-6)


def test_too_few_users_give_no_figures() -> None:
    ratings = ratings_of([(user, movie, 5) for user in range(29) for movie in range(50)])
    quality = evaluate("m", ratings, {}, np.arange(50))
    assert (quality.users, quality.popularity_recall, quality.measures) == (29, None, {})
    assert quality.default is None


def test_raters_and_squares_are_totalled_for_movies_in_any_order() -> None:
    ratings = ratings_of([(1, 5, 2), (2, 5, 0.5), (2, 7, 5), (2, 9, 5)])
    raters, squares = ratings.totals_of(np.array([7, 3, 5], np.int32))
    assert (raters.tolist(), squares.tolist()) == ([1, 0, 2], [100, 0, 17])


RATED = st.dictionaries(
    st.tuples(st.integers(1, 6), st.integers(1, 6)), st.integers(1, 10), min_size=1
)


@given(rated=RATED)
def test_products_are_those_of_the_users_who_rated_both_also_of_movies_nobody_rated(
    rated: dict[tuple[int, int], int],
) -> None:
    ratings = ratings_of([(user, movie, half / 2) for (user, movie), half in rated.items()])
    pairs = np.indices((8, 8), np.int32).reshape(2, -1)  # movies 0 and 7 have no ratings
    expected = [
        sum(rated.get((user, one), 0) * rated.get((user, other), 0) for user in range(1, 7))
        for one, other in pairs.T.tolist()
    ]
    assert ratings.products(*pairs).tolist() == expected


@pytest.mark.parametrize("at_once", [3, 64])
def test_ease_without_some_users_is_ease_of_the_other_users(
    monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr("spark.measures.ease.USERS_AT_ONCE", at_once)
    chance = np.random.default_rng(5)
    stars = (chance.integers(1, 11, (60, 25)) * (chance.random((60, 25)) < 0.4)).astype(np.uint8)
    ids = chance.permutation(np.arange(100, 125)).astype(np.int32)
    none = np.zeros(25, np.int64)
    movies = Blocks(ids, none, none, 1)

    def weights(rows: np.ndarray) -> np.ndarray:
        rated = rows.astype(np.float32)
        return inverse(rated.T @ rated, 300.0)

    user, place = np.nonzero(stars[50:])
    ratings = HeldOutRatings(
        np.append(user, 0).astype(np.int32),
        np.append(ids[place], 7).astype(np.int32),  # a movie that is not in the matrix
        np.append(stars[50:][user, place], 9).astype(np.uint8),
    )
    wanted = np.sort(ids)[:10]
    (found,) = ease_without(movies, weights(stars), ratings, wanted, 6)
    (expected,) = ease(movies, weights(stars[:50]), 6)
    mine = np.isin(expected.movies, wanted)
    assert mine.sum() > 30
    assert found.movies.tolist() == expected.movies[mine].tolist()
    assert found.neighbours.tolist() == expected.neighbours[mine].tolist()
    np.testing.assert_allclose(found.scores, expected.scores[mine], rtol=1e-4)
    (all_users,) = ease(movies, weights(stars), 6)
    assert found.scores.tolist() != all_users.scores[np.isin(all_users.movies, wanted)].tolist()

"""Measures: each is compared with plain loops over random ratings."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spark.engine.pairs import Pairs
from spark.measures.ease import inverse
from spark.measures.lapack import invert_upper
from spark.measures.registry import DEFAULT, MEASURES, pair_measures

USERS, MOVIES = 8, 5
HALVES = st.lists(
    st.lists(st.integers(0, 10), min_size=MOVIES, max_size=MOVIES), min_size=USERS, max_size=USERS
)
DEFAULTS = {name: each.parameters for name, each in MEASURES.items()}


def pairs_of(table: np.ndarray) -> Pairs:
    """All pairs of movies of a table, as from the sums of cells."""
    rated = (table > 0).astype(np.int32)
    squares = table * table
    raters, norms = rated.sum(axis=0) * 1.0, squares.sum(axis=0) * 1.0
    return Pairs(
        rated.T @ rated,
        table.T @ table,
        squares.T @ rated,
        rated.T @ squares,
        (raters[:, None], raters[None, :]),
        (norms[:, None], norms[None, :]),
    )


def damped(x: list[int], y: list[int]) -> float:
    """Cosine over the co-raters, shrunk towards 0, in plain loops; 0 without co-raters."""
    both = [(a, b) for a, b in zip(x, y, strict=True) if a and b]
    if not both:
        return 0.0
    xy, xx, yy = (sum(f(a, b) for a, b in both) for f in (lambda a, b: a * b, _first, _second))
    return xy / math.sqrt(xx * yy) * len(both) / (len(both) + DEFAULTS["damped"]["beta"])


def _first(a: int, _: int) -> int:
    return a * a


def _second(_: int, b: int) -> int:
    return b * b


def full_cosine(x: list[int], y: list[int]) -> float:
    """Cosine of whole columns."""
    length = math.sqrt(sum(a * a for a in x)) * math.sqrt(sum(b * b for b in y))
    return sum(a * b for a, b in zip(x, y, strict=True)) / length if length else 0.0


def jaccard(x: list[int], y: list[int]) -> float:
    """The share of users of both among the users of either."""
    one, other = ({user for user, half in enumerate(column) if half} for column in (x, y))
    return len(one & other) / len(one | other) if one | other else 0.0


@pytest.mark.parametrize(
    ("name", "plain"), [("damped", damped), ("full-cosine", full_cosine), ("jaccard", jaccard)]
)
@settings(deadline=None, max_examples=50)
@given(halves=HALVES)
def test_a_measure_of_pairs_matches_plain_loops(name: str, plain, halves: list) -> None:
    table = np.array(halves, np.int32)
    with np.errstate(divide="ignore", invalid="ignore"):
        scores = pair_measures([name], DEFAULTS)[name](pairs_of(table))
    columns = table.T.tolist()
    expected = [[plain(x, y) for y in columns] for x in columns]
    assert np.nan_to_num(scores) == pytest.approx(np.array(expected), abs=1e-12)
    assert (np.nan_to_num(scores) == np.nan_to_num(scores.T)).all(), "symmetric to the bit"


@settings(deadline=None, max_examples=50)
@given(
    seed=st.integers(0, 2**32 - 1),
    movies=st.sampled_from([1, 2, 7, 40]),
    in_doubles=st.sampled_from([1, 2, 7, 39, 512]),
)
def test_the_in_place_inverse_is_the_inverse(seed: int, movies: int, in_doubles: int) -> None:
    ratings = np.random.default_rng(seed).integers(0, 6, (30, movies))
    gram = ratings.T @ ratings
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("spark.measures.ease.IN_DOUBLES", in_doubles)
        patch.setattr("spark.measures.ease.ROWS_OF_CACHE", 16)
        found = inverse(np.triu(gram).astype(np.float32), 60.0)
    exact = np.linalg.inv(gram + 60 * np.eye(movies))
    assert found.dtype == np.float32
    assert (found == found.T).all()
    assert found == pytest.approx(exact, abs=2e-6 * exact.max())


def test_a_part_of_a_matrix_is_inverted_where_it_is() -> None:
    ratings = np.random.default_rng(2).integers(0, 6, (50, 20))
    whole = (ratings.T @ ratings + 60 * np.eye(20)).astype(np.float32)
    found = whole.copy()
    invert_upper(found[5:, 5:])
    upper = np.triu(np.ones((20, 20), bool))
    upper[:5] = False
    assert found[upper] == pytest.approx(np.linalg.inv(whole[5:, 5:])[upper[5:, 5:]], abs=1e-6)
    assert (found[~upper] == whole[~upper]).all()


@pytest.mark.parametrize("wrong", [np.eye(4), np.eye(8, dtype=np.float32)[::2, ::2]])
def test_a_matrix_that_lapack_would_misread_is_refused(wrong: np.ndarray) -> None:
    with pytest.raises(TypeError, match="float32"):
        invert_upper(wrong)


def test_popular_movies_cost_the_others_no_digits() -> None:
    random = np.random.default_rng(3)
    ratings = np.where(random.random((3000, 500)) < 0.3, random.integers(1, 11, (3000, 500)), 0)
    # All users rate 300 movies, and rate them alike: nearly the same row, 300 times.
    ratings[:, :300] = random.integers(7, 10, (3000, 1)) + random.integers(0, 2, (3000, 300))
    gram = (ratings.T @ ratings).astype(np.float32)
    exact = np.linalg.inv(gram.astype(float) + 400 * np.eye(500))[300:]
    errors = {}
    for in_doubles in (1, 300):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("spark.measures.ease.IN_DOUBLES", in_doubles)
            errors[in_doubles] = np.abs(inverse(gram.copy(), 400.0)[300:] - exact).max()
    assert errors[300] < 1e-6 * exact.max()
    assert errors[300] < errors[1] / 3


@pytest.mark.parametrize("in_doubles", [2, 512])
def test_a_matrix_without_an_inverse_is_refused(
    in_doubles: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spark.measures.ease.IN_DOUBLES", in_doubles)
    gram = np.diag([1, 1, -1]).astype(np.float32)
    with pytest.raises(ArithmeticError, match="has no inverse"):
        inverse(gram, 0.5)


def test_the_default_is_a_usual_measure_and_needed_measures_come_first() -> None:
    names = list(MEASURES)
    assert MEASURES[DEFAULT].is_usual
    for name, measure in MEASURES.items():
        assert all(names.index(need) < names.index(name) for need in measure.needs)

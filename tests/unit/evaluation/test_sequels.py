"""Sequels: which titles count, and when one is found."""

import numpy as np
import pytest

from evaluation.sequels import series_by_group, share_with_sequels
from spark.contracts.movielens import FORMATS
from spark.ingest.movies import Catalogue, catalogue, described, parse_movie

TITLES = [
    "Godfather, The (1972)", "Jaws (1975)", "Godfather: Part II, The (1974)", "Casablanca (1942)",
    "Jaws 2 (1978)", "Godfather: Part III, The (1990)",
]  # fmt: skip


def movies(titles: list[str]) -> Catalogue:
    layout, nobody = FORMATS[1].movies_layout, np.empty(0, np.int32)
    lines = [f'{id},"{title}",Drama' for id, title in enumerate(titles)]
    return catalogue(
        described(parse_movie(line, layout) for line in lines), nobody, nobody.astype(int)
    )


def sharing(series: np.ndarray) -> set[frozenset[int]]:
    """The movies that share a series."""
    return {frozenset(np.flatnonzero(series == each).tolist()) for each in set(series[series >= 0])}


def test_titles_count_if_another_one_of_their_series_is_in_the_group() -> None:
    found = series_by_group(movies(TITLES), np.array([10, 10, 10, 10, 9, 11]))
    assert sharing(found["all"]) == {frozenset({0, 2, 5}), frozenset({1, 4})}
    assert sharing(found["rated"]) == {frozenset({0, 2, 5})}  # Jaws 2 has 9 raters


def test_a_group_without_series_is_left_out() -> None:
    assert list(series_by_group(movies(TITLES), np.full(6, 9))) == ["all"]
    assert series_by_group(movies(["Casablanca (1942)"]), np.array([100])) == {}


def test_a_sequel_is_found_among_the_first_neighbours_of_a_title() -> None:
    series = {"all": np.array([0, 1, 0, -1, 1, 0]), "rated": np.array([0, -1, 0, -1, -1, -1])}
    first = np.array([
        [3, 5],  # another of series 0
        [0, 2],  # none of series 1
        [5, -1],  # one of series 0, but not of the rated
        [1, 4],  # not in a series itself
        [-1, -1],
        [3, 0],
    ])  # fmt: skip
    found = share_with_sequels(first, series)
    assert found == {"all": pytest.approx(3 / 5), "rated": 0}


def test_a_missing_neighbour_is_not_the_last_movie_of_the_catalogue() -> None:
    assert share_with_sequels(np.full((2, 3), -1), {"all": np.zeros(2, int)}) == {"all": 0}

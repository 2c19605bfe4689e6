"""Sequels: how often another title of a movie's series is among the movie's first neighbours.

Nobody doubts that these are similar, and a catalogue's titles say which they are.
"""

import json
from collections.abc import Mapping

import numpy as np

from evaluation.models import MIN_RATERS
from spark.contracts.series import series_of
from spark.ingest.movies import Catalogue


def series_by_group(movies: Catalogue, raters: np.ndarray) -> dict[str, np.ndarray]:
    """The series of each movie, in two groups of movies: int64 [movies], -1 for none.

    The groups are `all` movies and those that are `rated` by at least MIN_RATERS users, which most
    measures need. Only a series with two movies of the group counts. A group without any is left
    out.

    Args:
        movies: the catalogue.
        raters: of each movie.
    """
    names = series_of([json.loads(f"{{{about}}}")["title"] for about in movies.about])
    numbers = {name: number for number, name in enumerate(sorted({name for name in names if name}))}
    series = np.array([numbers[name] if name else -1 for name in names], np.int64)
    groups = {"all": series, "rated": np.where(raters >= MIN_RATERS, series, -1)}
    found = {}
    for group, of in groups.items():
        sizes = np.bincount(of[of >= 0], minlength=len(numbers))
        shared = np.isin(of, np.flatnonzero(sizes > 1))
        if shared.any():
            found[group] = np.where(shared, of, -1)
    return found


def share_with_sequels(first: np.ndarray, groups: Mapping[str, np.ndarray]) -> dict[str, float]:
    """The share of the titles in series that have another one of theirs as a neighbour, by group.

    Args:
        first: each movie's first neighbours, int64 [movies, neighbours], -1 for none.
        groups: from `series_by_group`.
    """
    found = {}
    for group, series in groups.items():
        same = (series[first] == series[:, None]) & (first >= 0)
        found[group] = float(same.any(axis=1)[series >= 0].mean())
    return found

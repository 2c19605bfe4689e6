"""The similarity measures: of each what it computes, from what, and its parameters.

Adding a measure of pairs is a function and a line in MEASURES. Imports no Spark.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

import numpy as np

# What a measure is computed from: sums of each pair in a cell; how any two movies were rated
# together, as a whole; all ratings; another measure's neighbours and what is known of the movies.
type Source = Literal["pairs", "gram", "ratings", "neighbours"]


@dataclass(frozen=True)
class Pairs:
    """Some movies, the rows, against some movies, the columns, in half stars.

    Attributes:
        n: users who rated both, int32 [rows, columns].
        xy: their sums of products, Σ h_i h_j, int32 [rows, columns].
        xx: Σ h_i², int32 [rows, columns].
        yy: Σ h_j², int32 [rows, columns].
        raters: users who rated the row's movie, float64 [rows, 1], and the column's, [1, columns].
        squares: Σ h² over all of these users, as `raters`.
    """

    n: np.ndarray
    xy: np.ndarray
    xx: np.ndarray
    yy: np.ndarray
    raters: tuple[np.ndarray, np.ndarray]
    squares: tuple[np.ndarray, np.ndarray]


type PairMeasure = Callable[[Pairs], np.ndarray]


@dataclass(frozen=True)
class Measure:
    """A measure, and how the job is to compute it.

    Attributes:
        source: what it is computed from.
        parameters: by name, as the manifest tells them.
        scores: of a measure of pairs, the function: pairs and the parameters → float64 [rows,
            columns], higher is closer; without co-raters 0 or no number.
        needs: other measures, which are computed with it.
        is_usual: whether it is computed unless others are asked for.
    """

    source: Source
    parameters: Mapping[str, float] = field(default_factory=dict)
    scores: Callable[..., np.ndarray] | None = None
    needs: tuple[str, ...] = ()
    is_usual: bool = True


def cosine(pairs: Pairs) -> np.ndarray:
    """The tutorial's: over the users who rated both. In the order of operations of kernel.py."""
    return (pairs.xy / 4.0) / (np.sqrt(pairs.xx / 4.0) * np.sqrt(pairs.yy / 4.0))


def damped(pairs: Pairs, beta: float) -> np.ndarray:
    """The same, drawn towards 0 where few users rated both: cosine · n / (n + β)."""
    return cosine(pairs) * (pairs.n / (pairs.n + beta))


def full_cosine(pairs: Pairs) -> np.ndarray:
    """Over all users of either movie, a missing rating being 0."""
    one, other = pairs.squares
    return pairs.xy / (np.sqrt(one) * np.sqrt(other))


def jaccard(pairs: Pairs) -> np.ndarray:
    """Users who rated both, of those who rated either."""
    one, other = pairs.raters
    return pairs.n / (one + other - pairs.n)


MEASURES: Mapping[str, Measure] = {
    "cosine": Measure("pairs", scores=cosine),
    "damped": Measure("pairs", {"beta": 50}, damped),
    "full-cosine": Measure("pairs", scores=full_cosine),
    "jaccard": Measure("pairs", scores=jaccard),
    "ease": Measure("gram", {"lambda": 400, "limit": 12_000}),
    "hybrid": Measure(
        "neighbours", {"trust": 20, "genres": 1, "tags": 1, "year": 0.5}, needs=("ease",)
    ),
    "als": Measure(
        "ratings",
        {"rank": 64, "iterations": 10, "regularisation": 1, "alpha": 10, "limit": 12_000},
        is_usual=False,
    ),
}
DEFAULT = "ease"


def pair_measures(
    names: Iterable[str], parameters: Mapping[str, Mapping[str, float]]
) -> dict[str, PairMeasure]:
    """Of some measures those of pairs beside the cosine, with their parameters."""
    return {
        name: partial(measure.scores, **parameters[name])
        for name in names
        if (measure := MEASURES[name]).scores and name != "cosine"
    }

"""The similarity measures: what each computes, from what, and with which parameters.

To add a measure of pairs, add a function and a line in MEASURES. Imports no Spark.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

import numpy as np

from spark.engine.pairs import PairMeasure, Pairs, cosine

# What a measure is computed from: the sums of each pair in a cell; the sums of all pairs as one
# matrix; all ratings; another measure's neighbours together with the movies' content.
type Source = Literal["pairs", "gram", "ratings", "neighbours"]


@dataclass(frozen=True)
class Measure:
    """A measure, and how the job computes it.

    Attributes:
        source: what it is computed from.
        parameters: by name, as the manifest lists them.
        scores: for a measure of pairs, the function: pairs and the parameters → float64 [rows,
            columns]. Higher is closer; a pair without co-raters has 0 or NaN.
        needs: other measures that are computed with it.
        is_usual: whether the job computes it by default.
    """

    source: Source
    parameters: Mapping[str, float] = field(default_factory=dict)
    scores: Callable[..., np.ndarray] | None = None
    needs: tuple[str, ...] = ()
    is_usual: bool = True


def damped(pairs: Pairs, beta: float) -> np.ndarray:
    """The cosine, shrunk towards 0 when co-raters are few: cosine · n / (n + β)."""
    return cosine(pairs) * (pairs.n / (pairs.n + beta))


def full_cosine(pairs: Pairs) -> np.ndarray:
    """The cosine over all users of either movie; a missing rating is 0."""
    one, other = pairs.squares
    return pairs.xy / (np.sqrt(one) * np.sqrt(other))


def jaccard(pairs: Pairs) -> np.ndarray:
    """The share of users who rated both, among those who rated either."""
    one, other = pairs.raters
    return pairs.n / (one + other - pairs.n)


MEASURES: Mapping[str, Measure] = {
    "cosine": Measure("pairs", scores=cosine),
    "damped": Measure("pairs", {"beta": 50}, damped),
    "full-cosine": Measure("pairs", scores=full_cosine),
    "jaccard": Measure("pairs", scores=jaccard),
    "ease": Measure("gram", {"lambda": 400, "limit": 12_000}),
    "hybrid": Measure("neighbours", {"trust": 20}, needs=("ease",)),
    "blend": Measure(
        "neighbours", {"ease": 20, "content": 1.75, "trust": 50}, needs=("full-cosine", "ease")
    ),
    "als": Measure(
        "ratings",
        {"rank": 64, "iterations": 10, "regularisation": 1, "alpha": 10, "limit": 12_000},
        is_usual=False,
    ),
}
DEFAULT = "blend"
BY_CONTENT = "content"  # names the neighbours by content alone, which measures need


def need_content(names: Iterable[str]) -> bool:
    """Whether one of some measures needs the content of the movies."""
    return any(MEASURES[name].source == "neighbours" for name in names)


def pair_measures(
    names: Iterable[str], parameters: Mapping[str, Mapping[str, float]]
) -> dict[str, PairMeasure]:
    """The measures of pairs among some, except the cosine, with their parameters filled in."""
    return {
        name: partial(measure.scores, **parameters[name])
        for name in names
        if (measure := MEASURES[name]).scores and name != "cosine"
    }

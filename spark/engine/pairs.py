"""What a measure of pairs gets: the sums of many pairs of movies. Imports no Spark."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from spark.engine import kernel


@dataclass(frozen=True)
class Pairs:
    """Some movies (the rows) against others (the columns); ratings are in half stars.

    Attributes:
        n: users who rated both, int32 [rows, columns].
        xy: their sums of products, Σ h_i h_j, int32 [rows, columns].
        xx: Σ h_i², int32 [rows, columns].
        yy: Σ h_j², int32 [rows, columns].
        raters: users who rated the row's movie, float64 [rows, 1], and the column's, [1, columns].
        squares: Σ h² over all of these users, shaped like `raters`.
    """

    n: np.ndarray
    xy: np.ndarray
    xx: np.ndarray
    yy: np.ndarray
    raters: tuple[np.ndarray, np.ndarray]
    squares: tuple[np.ndarray, np.ndarray]


type PairMeasure = Callable[[Pairs], np.ndarray]


def cosine(pairs: Pairs) -> np.ndarray:
    """The tutorial's cosine over the co-raters, in the order of operations of kernel.py."""
    return kernel.cosines(pairs.xy, pairs.xx, pairs.yy)

"""SLIM: sparse, non-negative item weights, by coordinate descent on the Gram matrix.

Ning and Karypis, SLIM: Sparse Linear Methods for Top-N Recommender Systems, ICDM 2011. The weights
w that predict movie j from the others minimise ½‖x_j - Xw‖² + ½ l2 ‖w‖² + l1 ‖w‖₁, subject to w ≥ 0
and w_j = 0. It is only a baseline, not one of the job's measures.
"""

import numpy as np
from numba import njit

from spark.runtime.threads import in_threads

SWEEPS = 30
MOVIES_AT_ONCE = 64  # per thread
CLOSE = 1e-4  # descent stops after a sweep that changes no weight by more than this


def slim(gram: np.ndarray, l1: float, l2: float) -> np.ndarray:
    """The weights of all movies; column j has those that predict movie j.

    Args:
        gram: XᵀX, float64 [movies, movies].
        l1: penalty on the weights.
        l2: penalty on their squares.
    """
    weights = np.zeros_like(gram)

    def descend(first: int) -> None:
        _descend(gram, l1, l2, first, weights[first : first + MOVIES_AT_ONCE])

    list(in_threads(descend, range(0, gram.shape[0], MOVIES_AT_ONCE)))
    return weights.T


@njit(nogil=True, cache=True, error_model="numpy")
def _descend(gram, l1, l2, first, weights):
    """Fill the rows of some movies with the weights that predict them.

    Args:
        gram: see `slim`.
        l1: see `slim`.
        l2: see `slim`.
        first: index of the first of these movies.
        weights: float64 [these movies, movies], zero.
    """
    movies = gram.shape[0]
    for row in range(weights.shape[0]):
        j, of = first + row, weights[row]
        correlation = gram[j].copy()  # of each movie with the residual
        for _ in range(SWEEPS):
            largest = 0.0
            for i in range(movies):
                if i == j or (of[i] == 0.0 and correlation[i] <= l1):
                    continue
                wanted = correlation[i] + gram[i, i] * of[i] - l1
                change = max(wanted / (gram[i, i] + l2), 0.0) - of[i]
                if change != 0.0:
                    of[i] += change
                    correlation -= change * gram[i]
                    largest = max(largest, abs(change))
            if largest < CLOSE:
                break

"""Metrics of ranked lists, per user.

Imports NumPy only. All functions take `hits`, bool [users, places], whether the title at each place
of a user's list is one of the user's hidden titles, and `hidden`, int [users], the number of hidden
titles per user, at least 1. They return float64 [users]. A list may be shorter than k.
"""

import numpy as np


def recall(hits: np.ndarray, hidden: np.ndarray, k: int) -> np.ndarray:
    """Recall@k: the share of the hidden titles among the first k: hits / hidden."""
    return hits[:, :k].sum(axis=1) / hidden


def capped_recall(hits: np.ndarray, hidden: np.ndarray, k: int) -> np.ndarray:
    """Recall@k with at most k hits possible: hits / min(k, hidden).

    Liang et al., Variational Autoencoders for Collaborative Filtering, WWW 2018.
    """
    return hits[:, :k].sum(axis=1) / np.minimum(hidden, k)


def ndcg(hits: np.ndarray, hidden: np.ndarray, k: int) -> np.ndarray:
    """NDCG@k: a hit at place p counts 1 / log2(p + 1), divided by the sum of the best list."""
    gains = 1 / np.log2(np.arange(2, k + 2))
    best = np.cumsum(gains)[np.minimum(hidden, k) - 1]
    first = hits[:, :k]
    return first @ gains[: first.shape[1]] / best


def average_precision(hits: np.ndarray, hidden: np.ndarray, k: int) -> np.ndarray:
    """AP@k: the sum of the precisions at the hits, divided by min(k, hidden); its mean is MAP@k."""
    first = hits[:, :k]
    precision = np.cumsum(first, axis=1) / np.arange(1, first.shape[1] + 1)
    return (precision * first).sum(axis=1) / np.minimum(hidden, k)

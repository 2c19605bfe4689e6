"""The area under the ROC curve of a measure's scores, by people's judgements of pairs of movies.

It is the chance that a pair rated alike scores higher than a pair rated otherwise; equal scores
count a half (Hanley and McNeil, The Meaning and Use of the Area under a ROC Curve, Radiology 1982).

The pairs of one first title depend on each other: their scores are from one row. So the standard
error is that of a jackknife which leaves out one first title at a time, with all its pairs (Efron
and Stein, The Jackknife Estimate of Variance, Annals of Statistics 1981; on groups of dependent
pairs, Obuchowski, Nonparametric Analysis of Clustered ROC Curve Data, Biometrics 1997).
"""

from typing import NamedTuple

import numpy as np


class Area(NamedTuple):
    """An area under a ROC curve.

    Attributes:
        value: 1 if every pair rated alike scores higher than every other pair, 0.5 by chance.
        error: its standard error.
    """

    value: float
    error: float


def auc(scores: np.ndarray, is_alike: np.ndarray, groups: np.ndarray) -> Area:
    """The area and its standard error.

    Args:
        scores: float64 [pairs].
        is_alike: bool [pairs].
        groups: int64 [pairs], the first title of each pair. Pairs of both kinds must remain
            without any one group.
    """
    names, of = np.unique(groups, return_inverse=True)
    alike, other = of[is_alike], of[~is_alike]
    above = scores[is_alike][:, None] - scores[~is_alike][None]
    won = (np.sign(above) + 1) / 2
    within = np.where(alike[:, None] == other[None], won, 0)

    def by_group(of: np.ndarray, values: np.ndarray | None = None) -> np.ndarray:
        return np.bincount(of, values, names.size)

    lost = by_group(alike, won.sum(axis=1)) + by_group(other, won.sum(axis=0))
    left = won.sum() - (lost - by_group(alike, within.sum(axis=1)))
    compared = (alike.size - by_group(alike)) * (other.size - by_group(other))
    without = left / compared
    variance = (names.size - 1) * np.var(without)
    return Area(float(won.mean()), float(np.sqrt(variance)))

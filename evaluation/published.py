"""Published figures for ml-1m, with which the evaluation is validated."""

from collections.abc import Mapping
from typing import NamedTuple


class Published(NamedTuple):
    """Published figures of one model.

    Attributes:
        recall: Recall@20.
        precision: MAP@20.
    """

    recall: float
    precision: float


# Only five-star ratings, each hidden with probability 0.2; all movies are ranked.
PUBLISHED: Mapping[str, Published] = {
    "popularity": Published(0.1892, 0.0584),
    "tf-idf item-kNN": Published(0.2929, 0.1154),
    "iALS": Published(0.3033, 0.1183),
    "SLIM": Published(0.3069, 0.1265),
    "ease": Published(0.3085, 0.1249),
}
DATASET = "ml-1m"
TOLERANCE = 0.01  # of Recall@20 and MAP@20: splits, parameters and the choice of users differ
TARGET = 0.31  # Recall@20 of the default measure


def deviations(found: Mapping[str, Mapping[str, float]]) -> list[str]:
    """Where our figures deviate from the published ones: by more than TOLERANCE, or in their order.

    Args:
        found: for each model of PUBLISHED `recall@20` and `MAP@20`.
    """
    wrong = []
    for name, published in PUBLISHED.items():
        for metric, value in (("recall@20", published.recall), ("MAP@20", published.precision)):
            if abs(found[name][metric] - value) > TOLERANCE:
                wrong.append(f"{name}: {metric} {found[name][metric]:.4f}, published {value:.4f}")
    order = sorted(PUBLISHED, key=lambda name: found[name]["recall@20"])
    expected = sorted(PUBLISHED, key=lambda name: PUBLISHED[name].recall)
    if order != expected:
        wrong.append(f"the order by recall@20 is {', '.join(order)}, not {', '.join(expected)}")
    return wrong

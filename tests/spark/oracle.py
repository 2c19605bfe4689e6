"""Similarities computed another way: plain loops over users, sums in quarter stars."""

import math
from collections import defaultdict
from itertools import combinations

type Row = tuple[int, int, int, float, float, float, float]


def similarities(
    ratings: list[tuple[int, int, float]], min_co_raters: int, min_score: float
) -> list[Row]:
    """Pairs as the job writes them, sorted; ratings hold each (user, movie) once.

    Half stars doubled are integers, so that the sums are exact whatever their order.
    """
    of_user: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for user, movie, rating in ratings:
        of_user[user].append((movie, round(2 * rating)))
    sums: dict[tuple[int, int], list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    for rated in of_user.values():
        for (first, x), (second, y) in combinations(sorted(rated), 2):
            entry = sums[first, second]
            entry[0] += 1
            entry[1] += x * y
            entry[2] += x * x
            entry[3] += y * y
    rows = []
    for (first, second), (count, xy, xx, yy) in sums.items():
        score = (xy / 4) / (math.sqrt(xx / 4) * math.sqrt(yy / 4))
        if count >= min_co_raters and score >= min_score:
            rows.append((first, second, count, xy / 4, xx / 4, yy / 4, score))
    return sorted(rows)

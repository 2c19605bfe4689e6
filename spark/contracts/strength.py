"""What a score means: its strength, 0 to 100, interpolated on what a run found about its scores.

`spark/self_evaluation/strength.py` says what a strength is and how the curves are found. Standard
library only: the API interpolates, too.
"""

import json
import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

# Follows all knots of a curve. Tuples are compared several times faster than by a key function.
_LAST = [(math.inf, math.inf)]


class Curve(NamedTuple):
    """The strengths of a measure's scores on the lists of movies with about equally many raters.

    Attributes:
        raters: of these movies.
        knots: scores with their strengths, both ascending.
    """

    raters: int
    knots: list[tuple[float, float]]


def strength_of(curves: Sequence[Curve], raters: int, score: float) -> float:
    """The strength of a score on a movie's list; on one list, it never rises as scores fall.

    Linear between the knots of a curve, and in the logarithm of the raters between two curves.
    Beyond the outer knots and curves it is constant.

    Args:
        curves: of the measure, by rising number of raters, at least one.
        raters: of the movie.
        score: of the movie and its neighbour.
    """
    after = bisect_right(curves, (raters, _LAST))
    if after in (0, len(curves)):
        return _at(curves[max(0, after - 1)].knots, score)
    few, many = curves[after - 1 : after + 1]
    share = math.log(raters / few.raters) / math.log(many.raters / few.raters)
    return _at(few.knots, score) * (1 - share) + _at(many.knots, score) * share


def _at(knots: Sequence[tuple[float, float]], score: float) -> float:
    """The strength of a score on a curve."""
    after = bisect_right(knots, (score, math.inf))
    if after in (0, len(knots)):
        return knots[max(0, after - 1)][1]
    (low, least), (high, most) = knots[after - 1 : after + 1]
    found = least + (most - least) * (score - low) / (high - low)
    return min(found, most)  # rounding must not exceed the next knot


def to_text(strength: Mapping[str, Sequence[Curve]]) -> str:
    """The curves by measure, as short JSON for an item of a table."""
    return json.dumps(strength, separators=(",", ":"))


def from_document(strength: Mapping[str, Any]) -> dict[str, list[Curve]]:
    """The curves by measure, from decoded JSON.

    Raises:
        TypeError, ValueError, AttributeError: it does not have this form.
    """
    return {
        measure: [
            Curve(int(raters), [(float(score), float(found)) for score, found in knots])
            for raters, knots in curves
        ]
        for measure, curves in strength.items()
    }

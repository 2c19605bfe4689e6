"""What a score means, comparable across movies."""

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from live_pointer import LivePointer
from spark.contracts.strength import Curve, from_document, strength_of


def strength(live: LivePointer, measure: str, movie: Mapping[str, Any], score: float) -> int | None:
    """The strength of a movie's neighbour, 0 to 100; None if the run does not know it.

    Args:
        live: the live run.
        measure: of the score.
        movie: its line of `neighbours/`.
        score: of the movie and its neighbour.
    """
    curves = _curves(live.strength).get(measure) if live.strength else None
    return round(strength_of(curves, movie["ratings"], score)) if curves else None


@lru_cache(maxsize=1)  # of the live run
def _curves(text: str) -> dict[str, list[Curve]]:
    return from_document(json.loads(text))

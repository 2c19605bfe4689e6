"""Changes the order of neighbours: rarer titles first, or titles that differ from each other."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

type Row = Mapping[str, Any]


def by_popularity(rows: Sequence[Row], popularity: float) -> list[Row]:
    """Neighbours with rarer titles further up.

    The order is by (1 - popularity) · score - popularity · log(1 + ratings), both scaled to 0 to 1
    over the list: a cosine varies by hundredths, a weight by EASE by tens. What a title that is
    ahead of a better known one lacks in score weighs less and less, so it is ahead at every higher
    `popularity`.

    Args:
        rows: with `score`, the highest first. Those of an earlier version lack `ratings` and stay
            as they are.
        popularity: 0 keeps the order, 1 orders by ratings alone.
    """
    if not popularity or not all("ratings" in row for row in rows):
        return list(rows)
    scores = _scaled([row["score"] for row in rows])
    known = _scaled([math.log1p(row["ratings"]) for row in rows])
    places = [
        (popularity * less - (1 - popularity) * score, row["ratings"], place)
        for place, (row, score, less) in enumerate(zip(rows, scores, known, strict=True))
    ]
    return [rows[place] for *_, place in sorted(places)]


def _scaled(values: Sequence[float]) -> list[float]:
    """Values from 0, the lowest, to 1, the highest."""
    low, high = min(values, default=0), max(values, default=0)
    return [(value - low) / (high - low or 1) for value in values]


def diversified(rows: Sequence[Row], diversity: float, count: int) -> list[Row]:
    """Neighbours that differ more from each other: maximal marginal relevance.

    The next row is always the one with the largest (1 - diversity) · relevance - diversity ·
    similarity. Its relevance is its position, from 1 for the first row down to 0; its similarity is
    that to the most similar row before it: the share of their genres, tags, series and decades that
    two rows have in common. See Carbonell and Goldstein, The Use of MMR, SIGIR 1998.

    Args:
        rows: the most similar first.
        diversity: 0 keeps the order; 1 ignores it, except for the first row.
        count: of rows that are needed; the others follow in the given order.
    """
    if not diversity:
        return list(rows)
    content = _as_bits(map(features, rows))
    chosen: list[int] = []
    left = list(range(len(rows)))
    similarity = [0.0] * len(rows)
    while left and len(chosen) < count:
        best = max(
            left,
            key=lambda place: (
                (1 - diversity) * (1 - place / len(rows)) - diversity * similarity[place]
            ),
        )
        chosen.append(best)
        left.remove(best)
        mine = content[best]
        for place in left:
            either = (mine | content[place]).bit_count()
            shared = (mine & content[place]).bit_count()
            if shared and shared / either > similarity[place]:
                similarity[place] = shared / either
    return [rows[place] for place in chosen + left]


def features(row: Row) -> set[tuple[str, Any]]:
    """What a title is about: its genres, tags, series and decade."""
    found: set[tuple[str, Any]] = {("genre", genre) for genre in row["genres"]}
    found |= {("tag", tag) for tag in row.get("tags", ())}
    if "series" in row:
        found.add(("series", row["series"]))
    if row["year"] is not None:
        found.add(("decade", decade(row)))
    return found


def decade(row: Row) -> int | None:
    """The decade of a title's year, 1970 for 1974."""
    return None if row["year"] is None else row["year"] // 10 * 10


def _as_bits(sets: Iterable[set[tuple[str, Any]]]) -> list[int]:
    """Sets as integers, a bit for each element: these are compared several times faster."""
    bit: dict[tuple[str, Any], int] = {}
    return [sum(1 << bit.setdefault(each, len(bit)) for each in elements) for elements in sets]

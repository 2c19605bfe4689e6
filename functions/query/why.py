"""Why a title is similar to a movie: what they share, as data and in a sentence."""

from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from live_pointer import LivePointer
from query.reranking import decade
from query.responses import Why

type Row = Mapping[str, Any]


def why(live: LivePointer, movie: Row, row: Row) -> Why:
    """What a movie and its neighbour share.

    Args:
        live: the live run.
        movie: its line of `neighbours/`.
        row: the neighbour, see `neighbour_lines.neighbours_of`. Those of an earlier version have
            neither tags nor series nor ratings.
    """
    theirs = set(row.get("tags", ()))
    genres = set(row["genres"])
    same_series = movie.get("series") == row.get("series")
    same_decade = decade(movie) == decade(row)
    facts = {
        "series": movie.get("series") if same_series else None,
        "genres": [genre for genre in movie["genres"] if genre in genres],
        "decade": decade(movie) if same_decade else None,
        "tags": [tag for tag in movie.get("tags", ()) if tag in theirs],
        "co_raters": row["co_raters"],
        "lift": _lift(live, movie, row),
    }
    return Why(sentence=_sentence(facts), **facts)


def _lift(live: LivePointer, movie: Row, row: Row) -> float | None:
    """How many times more users rated both than if they had chosen by chance."""
    by_chance = movie["ratings"] * row.get("ratings", 0)
    if not live.users or not by_chance or not row["co_raters"]:
        return None
    return round(row["co_raters"] * live.users / by_chance, 3)


def _sentence(facts: Mapping[str, Any]) -> str:
    text = "; ".join(_clauses(**facts))
    if not text:
        return "They share no tags, genres, series or decade, and nobody rated both."
    return f"{text[0].upper()}{text[1:]}."


def _clauses(
    *,
    series: str | None,
    genres: list[str],
    decade: int | None,
    tags: list[str],
    co_raters: int,
    lift: float | None,
) -> Iterator[str]:
    if series:
        yield f"both in the series {series}"
    if genres:
        time = f" of the {decade}s" if decade is not None else ""
        yield f"both are {_listed(map(_adjective, genres))} movies{time}"
    elif decade is not None:
        yield f"both are of the {decade}s"
    if tags:
        yield f"both tagged {', '.join(tags)}"
    if co_raters:
        people = "1 person" if co_raters == 1 else f"{co_raters:,} people"
        yield f"{people} rated both" + (f", {_times(lift)} as many as chance" if lift else "")


def _listed(words: Iterable[str]) -> str:
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last


@lru_cache(maxsize=128)  # a data set has about twenty
def _adjective(genre: str) -> str:
    """A genre as it stands before `movies`: `crime`, `children's`, `IMAX`."""
    if genre.isupper() or " " in genre:
        return genre
    return "children's" if genre == "Children" else genre.lower()


def _times(lift: float) -> str:
    number = f"{lift:,.0f}" if lift >= 10 else f"{lift:.1f}" if lift >= 1 else f"{lift:.2g}"
    return f"{number} times"

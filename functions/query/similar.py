"""A movie's neighbours as one page of an answer: measure, filters, pages."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal
from urllib.parse import urlencode

import msgspec
from msgspec import UNSET, UnsetType

import index_table
from live_pointer import Live
from query import responses
from query.http import problems
from query.http.problems import InvalidParameter
from query.requests import NeighbourQuery, SimilarByTitleQuery
from query.responses import Links, SimilarByTitle, SimilarTitle, SimilarTitles
from query.title_search import Hit

type Row = Mapping[str, Any]

# Answers for a movie that the default measure knows no neighbour of, if none was asked for.
COLD_START_MEASURE = "hybrid"


def similar_titles(live: Live, line: Mapping[str, Any], asked: NeighbourQuery) -> SimilarTitles:
    """A page of a movie's neighbours, the most similar first.

    Args:
        live: the run that is answered from.
        line: the movie's line of `neighbours/`.
        asked: measure, filters and page.

    Raises:
        ProblemError: 400, the run has no such measure, or no year can be in the range.
    """
    measure = resolve_measure(live, asked.measure)
    _check_years(asked)
    neighbours = index_table.neighbours_of(line, measure)
    if not neighbours and asked.measure is UNSET:
        by_content = index_table.neighbours_of(line, COLD_START_MEASURE)
        measure, neighbours = (COLD_START_MEASURE, by_content) if by_content else (measure, [])
    found = [row for row in neighbours if _passes(row, asked)]
    page = found[asked.offset : asked.offset + asked.limit]
    return SimilarTitles(
        movie=responses.movie(line),
        run_id=live.run_id,
        measure=measure,
        measures=live.measures,
        limit=asked.limit,
        offset=asked.offset,
        total=len(neighbours),
        matched=len(found),
        similar=[
            SimilarTitle(rank=rank, based_on=_based_on(live, row), **row)
            for rank, row in enumerate(page, start=asked.offset + 1)
        ],
        reason=None
        if page
        else _empty_reason(live, line, asked, measure, len(neighbours), len(found)),
        links=page_links(asked, len(found)),
    )


def similar_by_title(
    live: Live, line: Mapping[str, Any], hits: Sequence[Hit], asked: SimilarByTitleQuery
) -> SimilarByTitle:
    """A page of the neighbours of the movie that a search found first.

    Args:
        live: the run that is answered from.
        line: that movie's line of `neighbours/`.
        hits: all that the search found; those that match as well as the first are told.
        asked: measure, filters and page.
    """
    answer = similar_titles(live, line, asked)
    also = [responses.movie(hit.movie) for hit in hits[1:] if hit.quality == hits[0].quality]
    return SimilarByTitle(**msgspec.structs.asdict(answer), did_you_mean=also)


def resolve_measure(live: Live, wanted: str | UnsetType) -> str:
    """The measure that is asked for, or the run's default.

    Raises:
        ProblemError: 400 that names the run's measures.
    """
    if wanted is UNSET:
        return live.measure
    if wanted not in live.measures:
        allowed = f"one of {', '.join(live.measures)}"
        said = f"run {live.run_id} has no neighbours by it"
        raise problems.bad_request(InvalidParameter("measure", said, allowed, wanted[:100]))
    return wanted


def _check_years(asked: NeighbourQuery) -> None:
    first, last = asked.year_from, asked.year_to
    if first is not UNSET and last is not UNSET and first > last:
        allowed = f"an integer from 0 to {last}"
        raise problems.bad_request(
            InvalidParameter("year_from", "it is after year_to", allowed, str(first))
        )


def _passes(row: Row, asked: NeighbourQuery) -> bool:
    """Whether a neighbour passes the filters; without a year it passes none on years."""
    return all(_tests(row, asked))


def _tests(row: Row, asked: NeighbourQuery) -> Iterator[bool]:
    year = row["year"]
    if asked.min_score is not UNSET:
        yield row["score"] >= asked.min_score
    if asked.min_co_raters is not UNSET:
        yield row["co_raters"] >= asked.min_co_raters
    if asked.year_from is not UNSET:
        yield year is not None and year >= asked.year_from
    if asked.year_to is not UNSET:
        yield year is not None and year <= asked.year_to
    if asked.genre:
        wanted = {genre.casefold() for genre in asked.genre}
        yield not wanted.isdisjoint(genre.casefold() for genre in row["genres"])


def _based_on(live: Live, row: Row) -> Literal["ratings", "content"]:
    is_content = row["cosine"] is None and row["co_raters"] < live.min_co_raters
    return "content" if is_content else "ratings"


def _empty_reason(
    live: Live, line: Row, asked: NeighbourQuery, measure: str, total: int, matched: int
) -> str:
    if matched:
        return f"offset {asked.offset} is beyond the {matched} that match"
    if total:
        return f"none of its {total} neighbours passes the filters"
    return no_neighbours_reason(live, line, measure)


def no_neighbours_reason(live: Live, line: Row, measure: str) -> str:
    """Why a movie has no neighbours by a measure."""
    rated, needed = line["ratings"], live.min_co_raters
    if rated < needed:
        return f"{rated} {'user' if rated == 1 else 'users'} rated it; {needed} are needed"
    if measure == "cosine":
        return (
            f"no other movie shares {needed} of its {rated} raters"
            f" and scores {live.min_score} or more"
        )
    return f"no other movie is near it by {measure}"


def page_links(asked: NeighbourQuery, matched: int) -> Links:
    """The pages around one, as queries that stand in the place of the one that was asked."""
    given = {
        name: value
        for name, value in msgspec.to_builtins(asked).items()
        if name != "movie_id" and value != ()
    }

    def page(offset: int) -> str:
        return "?" + urlencode(given | {"offset": offset}, doseq=True)

    offset, limit = asked.offset, asked.limit
    last = max(matched - 1, 0) // limit * limit
    return Links(
        self=page(offset),
        first=page(0) if matched else UNSET,
        prev=page(max(0, min(offset - limit, last))) if offset and matched else UNSET,
        next=page(offset + limit) if offset + limit < matched else UNSET,
        last=page(last) if matched else UNSET,
    )

"""A page of a movie's neighbours: measure, filters and links to other pages."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal
from urllib.parse import urlencode

import msgspec
from msgspec import UNSET, UnsetType

import index_table
from live_pointer import LivePointer
from query import filters, reranking, responses
from query.http import problems
from query.http.problems import InvalidParameter
from query.requests import NeighbourQuery, SimilarByTitleQuery, SimilarToManyRequest
from query.responses import (
    Links,
    SimilarByTitle,
    SimilarTitle,
    SimilarTitles,
    SimilarToMany,
    SimilarToOne,
)
from query.search.title_search import Hit
from query.strength import strength
from query.why import why
from spark.contracts import neighbour_lines

type Row = Mapping[str, Any]

# Used if the request names no measure and the default one has no neighbours of the movie.
COLD_START_MEASURE = "hybrid"
# In a response for several movies. Lambda sends at most 6 MB, so a row may have 3 kB; typical rows
# have less than 1 kB.
MAX_ROWS = 2_000
# The fields of a query that do not choose among the neighbours by their measure.
_PAGING = {"movie_id", "movie_ids", "title", "year", "limit", "offset", "measure"}
_CHOICES = frozenset(NeighbourQuery.__struct_fields__) - _PAGING


def similar_titles(live: LivePointer, line: Row, query: NeighbourQuery) -> SimilarTitles:
    """A page of a movie's neighbours, the most similar first unless the query reranks them.

    Args:
        live: the live run.
        line: the movie's line of `neighbours/`.
        query: measure, filters and page.

    Raises:
        ProblemError: 400, the run lacks the measure, or the range of years is empty.
    """
    one = _similar_to_one(live, line, line["movie_id"], query)
    return SimilarTitles(
        movie=responses.movie(line),
        run_id=live.run_id,
        measure=one.measure,
        measures=live.measures,
        limit=query.limit,
        offset=query.offset,
        total=one.total,
        matched=one.matched,
        similar=one.similar,
        reason=one.reason,
        links=page_links(query, one.matched),
    )


def similar_to_many(
    live: LivePointer, items: Mapping[int | str, Row], request: SimilarToManyRequest
) -> SimilarToMany:
    """A page of the neighbours of each movie; a movie that the run lacks has none and says so.

    Args:
        live: the live run.
        items: of the movies in the index, by requested id; without those that the run lacks. They
            become lines one after another, which takes less time and memory than to keep all.
        request: the movies, and measure, filters and page of all of them.

    Raises:
        ProblemError: 400, see `similar_titles`.
    """
    measure = resolve_measure(live, request.measure)
    _check_years(request)
    found = {
        id: _similar_to_one(live, index_table.from_item(item), id, request)
        for id, item in items.items()
    }
    return SimilarToMany(
        run_id=live.run_id,
        measures=live.measures,
        limit=request.limit,
        offset=request.offset,
        movies=[found.get(id) or _missing(live, id, measure) for id in request.movie_ids],
    )


def many_ids(request: SimilarToManyRequest) -> list[int | str]:
    """The movies of a request, each once.

    Raises:
        ProblemError: 400, the response could be larger than Lambda allows.
    """
    most = MAX_ROWS // len(request.movie_ids)
    if request.limit > most:
        detail = f"more than {MAX_ROWS} rows for {len(request.movie_ids)} movies"
        allowed = f"an integer from 1 to {most}"
        raise problems.bad_request(InvalidParameter("limit", detail, allowed, str(request.limit)))
    return list(dict.fromkeys(request.movie_ids))


def _missing(live: LivePointer, movie_id: int | str, measure: str) -> SimilarToOne:
    """A movie that the run lacks."""
    return SimilarToOne(
        movie_id=movie_id,
        movie=None,
        measure=measure,
        total=0,
        matched=0,
        similar=[],
        reason=f"no movie {movie_id} in run {live.run_id}",
    )


def _similar_to_one(
    live: LivePointer, line: Row, requested: int | str, query: NeighbourQuery
) -> SimilarToOne:
    measure = resolve_measure(live, query.measure)
    _check_years(query)
    rows = neighbour_lines.rows_of(line, measure)
    if not rows and query.measure is UNSET:
        by_content = neighbour_lines.rows_of(line, COLD_START_MEASURE)
        measure, rows = (COLD_START_MEASURE, by_content) if by_content else (measure, ())
    matched, page = _page(line, rows, query)
    total = len(rows)
    return SimilarToOne(
        movie_id=requested,
        movie=responses.movie(line),
        measure=measure,
        total=total,
        matched=matched,
        similar=[
            _similar_title(live, measure, line, rank, row)
            for rank, row in enumerate(page, start=query.offset + 1)
        ],
        reason=None if page else _empty_reason(live, line, query, measure, total, matched),
    )


def _page(line: Row, rows: Sequence[Any], query: NeighbourQuery) -> tuple[int, list[Row]]:
    """How many neighbours match, and those of the page.

    Args:
        line: the movie's line of `neighbours/`.
        rows: of the measure in this line.
        query: filters, order and page.
    """
    end = query.offset + query.limit
    if not _chooses(query):  # saves reading the titles of the other pages
        return len(rows), [neighbour_lines.neighbour(line, row) for row in rows[query.offset : end]]
    neighbours = [neighbour_lines.neighbour(line, row) for row in rows]
    ordered = reranking.by_popularity(neighbours, query.popularity or 0)
    passes = filters.by_title(query, line["genres"])
    matches = [row for row in ordered if passes(row) and _passes(row, query)]
    page = reranking.diversified(matches, query.diversity or 0, end)[query.offset : end]
    return len(matches), page


def _chooses(query: NeighbourQuery) -> bool:
    """Whether a query leaves out neighbours or changes their order."""
    return any(getattr(query, name) not in (UNSET, ()) for name in _CHOICES)


def _similar_title(live: LivePointer, measure: str, line: Row, rank: int, row: Row) -> SimilarTitle:
    """A row of a page."""
    return SimilarTitle(
        rank=rank,
        movie_id=row["movie_id"],
        title=row["title"],
        year=row["year"],
        genres=row["genres"],
        ratings=row.get("ratings"),
        imdb_id=row.get("imdb_id"),
        tmdb_id=row.get("tmdb_id"),
        series=row.get("series"),
        score=row["score"],
        strength=strength(live, measure, line, row["score"]),
        co_raters=row["co_raters"],
        cosine=row["cosine"],
        based_on=_based_on(live, row),
        why=why(live, line, row),
    )


def similar_by_title(
    live: LivePointer, line: Row, hits: Sequence[Hit], query: SimilarByTitleQuery
) -> SimilarByTitle:
    """A page of the neighbours of the movie that matches a title best.

    Args:
        live: the live run.
        line: the movie's line of `neighbours/`.
        hits: all matches, the movie first.
        query: measure, filters and page.
    """
    response = similar_titles(live, line, query)
    equal = [responses.movie(hit.movie) for hit in hits[1:] if hit.quality == hits[0].quality]
    return SimilarByTitle(**msgspec.structs.asdict(response), did_you_mean=equal, note=hits[0].note)


def resolve_measure(live: LivePointer, measure: str | UnsetType) -> str:
    """The requested measure, or the run's default.

    Raises:
        ProblemError: 400, with the run's measures.
    """
    if measure is UNSET:
        return live.measure
    if measure not in live.measures:
        allowed = f"one of {', '.join(live.measures)}"
        detail = f"run {live.run_id} does not have this measure"
        raise problems.bad_request(InvalidParameter("measure", detail, allowed, measure[:100]))
    return measure


def _check_years(query: NeighbourQuery) -> None:
    first, last = query.year_from, query.year_to
    if first is not UNSET and last is not UNSET and first > last:
        allowed = f"an integer from 0 to {last}"
        raise problems.bad_request(
            InvalidParameter("year_from", "later than year_to", allowed, str(first))
        )


def _passes(row: Row, query: NeighbourQuery) -> bool:
    """Whether it passes the filters on scores and years; one without a year fails the latter."""
    return all(_checks(row, query))


def _checks(row: Row, query: NeighbourQuery) -> Iterator[bool]:
    year = row["year"]
    if query.min_score is not UNSET:
        yield row["score"] >= query.min_score
    if query.min_co_raters is not UNSET:
        yield row["co_raters"] >= query.min_co_raters
    if query.year_from is not UNSET:
        yield year is not None and year >= query.year_from
    if query.year_to is not UNSET:
        yield year is not None and year <= query.year_to


def _based_on(live: LivePointer, row: Row) -> Literal["ratings", "content"]:
    is_content = row["cosine"] is None and row["co_raters"] < live.min_co_raters
    return "content" if is_content else "ratings"


def _empty_reason(
    live: LivePointer, line: Row, query: NeighbourQuery, measure: str, total: int, matched: int
) -> str:
    """Why a page has no rows."""
    if matched:
        return f"offset {query.offset} is beyond the {matched} that match"
    if total:
        return f"none of its {total} neighbours passes the filters"
    return no_neighbours_reason(live, line, measure)


def no_neighbours_reason(live: LivePointer, line: Row, measure: str) -> str:
    """Why a movie has no neighbours by a measure."""
    raters, needed = line["ratings"], live.min_co_raters
    if raters < needed:
        return f"{raters} {'user' if raters == 1 else 'users'} rated it; {needed} are needed"
    if measure == "cosine":
        return (
            f"no other movie shares {needed} of its {raters} raters"
            f" and scores {live.min_score} or more"
        )
    return f"no other movie is similar by {measure}"


def page_links(query: NeighbourQuery, matched: int) -> Links:
    """The pages of a list, as queries that replace the query of the request."""
    parameters = {
        name: str(value).lower() if isinstance(value, bool) else value
        for name, value in msgspec.to_builtins(query).items()
        if name != "movie_id" and value != ()
    }

    def page(offset: int) -> str:
        return "?" + urlencode(parameters | {"offset": offset}, doseq=True)

    offset, limit = query.offset, query.limit
    last = max(matched - 1, 0) // limit * limit
    return Links(
        self=page(offset),
        first=page(0) if matched else UNSET,
        prev=page(max(0, min(offset - limit, last))) if offset and matched else UNSET,
        next=page(offset + limit) if offset + limit < matched else UNSET,
        last=page(last) if matched else UNSET,
    )

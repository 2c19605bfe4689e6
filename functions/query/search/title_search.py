"""In-memory search over a run's titles, as people type them.

`title_text` gives a query and the titles one form. In it, equal names come first, then titles with
all the words of a query, then those with words that begin so, because people are still typing. A
number matches only itself; if no title has it, it may be a place in a series. Typing errors are
tolerated only if no movie has all the words.
"""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from query.search import title_text
from query.search.title_catalogue import Catalogue, names_by_length, series_key
from query.search.title_series import at_place, numbers_after
from query.search.title_spelling import (
    Errors,
    fewest_errors,
    similar_names,
    with_prefix,
    with_similar_word,
)

type Match = tuple[int, Collection[int], str | None]  # quality, positions, note

# The quality of a match, best first. TYPO plus the number of errors is the last.
EXACT, SERIES, WORDS, ABBREVIATION, BEGINNINGS, NEAR_YEAR, TYPO = range(7)
ABBREVIATED = range(2, 8)  # the lengths of abbreviations

_YEAR_AT_END = re.compile(r"^(.*\S)\s*\(\s*(\d{4})[^()]*\)+\s*$", re.DOTALL)
_YEAR = re.compile(r"^(.*)\b((?:18|19|20)\d\d)\b(.*)$", re.DOTALL)
_PART_OF_YEAR = re.compile(r"(?:18|19|20)\d")


@dataclass(frozen=True)
class Hit:
    """A movie that matches a query.

    Attributes:
        quality: EXACT and so on, or TYPO plus the number of errors; less is better.
        movie: `movie_id`, `title`, `year`, `genres`, `ratings`.
        note: a sentence, if the movie was not found by its title alone.
    """

    quality: int
    movie: dict[str, Any]
    note: str | None = None


@dataclass(frozen=True)
class Query:
    """One reading of what a person typed: a number may be a word of the title or a year.

    Attributes:
        words: normalised.
        last: the last word as typed, which may be the beginning of another one.
        year: only movies of this year, or of any.
    """

    words: Sequence[str]
    last: str
    year: int | None

    @property
    def name(self) -> str:
        """The words as an index of names has them."""
        return "".join(self.words)


def search(catalogue: Catalogue, title: str, limit: int, year: int | None = None) -> list[Hit]:
    """The movies whose titles match: the best match first, then the most rated.

    Args:
        catalogue: to search in.
        title: as a person types it, with or without the year.
        limit: the largest number of movies.
        year: only movies of this year.
    """
    hits: list[Hit] = []
    seen: set[int] = set()
    for quality, positions, note in _matches(catalogue, title):
        for position in positions:
            if len(hits) == limit:
                return hits
            if position in seen or year not in (None, catalogue.titles[position].year):
                continue
            seen.add(position)
            hits.append(Hit(quality, catalogue.movie(position), note))
    return hits


def _readings(title: str) -> list[Query]:
    """The readings of a query, the likeliest first.

    A year in brackets at the end is one. Another number may be a word of the title (`2001: A Space
    Odyssey`, `Blade Runner 2049`), and is a year if that finds nothing better.
    """
    if found := _YEAR_AT_END.match(title):
        return [*_query(found[1], int(found[2]))]
    readings = [*_query(title, None)]
    if found := _YEAR.match(title):
        readings += _query(f"{found[1]} {found[3]}", int(found[2]))
    return readings


def _query(name: str, year: int | None) -> Iterator[Query]:
    plain = title_text.plain(name.strip())
    if words := title_text.words(plain):
        last = next(
            (word for word in reversed(words) if word not in title_text.ARTICLES), words[-1]
        )
        yield Query(title_text.canonical(words), last, year)
    elif year is not None:
        yield Query([], "", year)


def _matches(catalogue: Catalogue, title: str) -> Iterator[Match]:
    """The matching movies, the best quality first, each quality in its order.

    What is worse than a whole word, and takes longer to find, is only searched if a caller still
    asks for more.
    """
    readings = _readings(title)
    found = False
    for search_for in _equal, _in_series, _with_words, _abbreviated, _beginnings:
        for query in readings:
            for quality, positions, note in search_for(catalogue, query, title):
                found = found or bool(positions)
                yield quality, positions, note
    if found:
        return
    for search_for in _of_near_year, _misspelt:
        for query in readings:
            for match in search_for(catalogue, query, title):
                found = True
                yield match
        if found:
            return


def _equal(catalogue: Catalogue, query: Query, title: str) -> Iterator[Match]:
    """Movies with just this name: those first whose title is written like the query."""
    positions = _of_year(catalogue, catalogue.by_name.get(query.name, ()), query.year)
    yield EXACT, sorted(positions, key=lambda at: (_distance(catalogue, at, title), at)), None


def _distance(catalogue: Catalogue, position: int, title: str) -> int:
    """How differently a title and a query with the same words are written."""
    own = " ".join((catalogue.titles[position].title or "").casefold().split())
    typed = " ".join(title.casefold().split())
    bare = title_text.without_year(own)
    if typed in (own, bare):
        return 0
    name = title_text.with_article(title_text.without_year(title_text.plain(typed)))
    names = title_text.names_of(title_text.plain(bare))
    return 1 if name in map(title_text.with_article, names) else 2


def _in_series(catalogue: Catalogue, query: Query, title: str) -> Iterator[Match]:  # noqa: ARG001
    """The movie at a place in a series, unless a title has the number itself."""
    *words, last = query.words or [""]
    name = " ".join(words)
    if query.year is not None or not words or not last.isdecimal():
        return
    if any(
        int(last) in numbers_after(catalogue, at, name) for at in _having(catalogue, query.words)
    ):
        return
    if name not in catalogue.by_series and len(words) == 1:
        members = _abbreviation(catalogue, words[0])
        shown = {catalogue.titles[at].series for at in members}
        name = series_key(shown.pop() or "") if len(shown) == 1 else ""
    place = at_place(catalogue, name, int(last)) if len(last) < 3 else None
    if place is not None:
        positions, note = place
        yield SERIES if note else WORDS, positions, note


def _with_words(catalogue: Catalogue, query: Query, title: str) -> Iterator[Match]:  # noqa: ARG001
    """Movies with all the words; with a number at the end, those first that begin so."""
    if not query.words:
        yield WORDS, catalogue.by_year.get(query.year or 0, ()), None
        return
    positions = sorted(_of_year(catalogue, _having(catalogue, query.words), query.year))
    if len(query.words) > 1 and query.words[-1].isdecimal():
        begin = " ".join(query.words[:-1])
        number = int(query.words[-1])
        positions.sort(key=lambda at: number not in numbers_after(catalogue, at, begin))
    yield WORDS, positions, None


def _having(catalogue: Catalogue, words: Sequence[str]) -> set[int]:
    """The movies that have all the words."""
    first, *others = sorted((catalogue.by_word.get(word, ()) for word in words), key=len)
    return set(first).intersection(*others)


def _abbreviated(catalogue: Catalogue, query: Query, title: str) -> Iterator[Match]:  # noqa: ARG001
    """The movies that a query's only word abbreviates."""
    if len(query.words) == 1:
        found = _of_year(catalogue, _abbreviation(catalogue, query.words[0]), query.year)
        yield ABBREVIATION, list(found), None


def _abbreviation(catalogue: Catalogue, word: str) -> Sequence[int]:
    """The movies of an abbreviation that can stand for one movie or one series only."""
    positions = catalogue.by_initials.get(word, ()) if len(word) in ABBREVIATED else ()
    things = {catalogue.titles[at].series or f"{at}" for at in positions}
    return positions if len(things) == 1 else ()


def _beginnings(catalogue: Catalogue, query: Query, title: str) -> Iterator[Match]:  # noqa: ARG001
    """Movies with words that begin like the query's."""
    if query.words:
        found = _with_all_words(catalogue, query, with_prefix)
        yield BEGINNINGS, sorted(_of_year(catalogue, found, query.year)), None


def _of_near_year(catalogue: Catalogue, query: Query, title: str) -> Iterator[Match]:  # noqa: ARG001
    """Movies of the year before or after, by equal names or else by all words."""
    if query.year is None or not query.words:
        return
    any_year = Query(query.words, query.last, None)
    for search_for in _equal, _with_words:
        for _, positions, _ in search_for(catalogue, any_year, " ".join(query.words)):
            near = [
                at for at in positions if abs((catalogue.titles[at].year or 0) - query.year) == 1
            ]
            if near:
                yield NEAR_YEAR, near, f"no such title of {query.year}, but of the year beside it"
                return


def _misspelt(catalogue: Catalogue, query: Query, title: str) -> Iterator[Match]:  # noqa: ARG001
    """Movies with the words or the name but for typing errors, the fewest errors first."""
    if not query.words:
        return
    errors = _with_all_words(catalogue, query, with_similar_word)
    if not errors:
        similar = similar_names(query.name, catalogue.names_by_length)
        errors = fewest_errors(similar, catalogue.by_name)
    *words, last = query.words
    if not errors and words and last.isdecimal() and len(last) < 3:
        by_length = names_by_length(catalogue.by_series)
        for count, key in sorted(similar_names(" ".join(words), by_length)):
            if place := at_place(catalogue, key, int(last)):
                yield TYPO + count, *place
    kept = set(_of_year(catalogue, errors, query.year))
    for count in sorted({errors[at] for at in kept}):
        yield TYPO + count, sorted(at for at in kept if errors[at] == count), None


def _of_year(catalogue: Catalogue, positions: Iterable[int], year: int | None) -> Iterable[int]:
    if year is None:
        return positions
    return [at for at in positions if catalogue.titles[at].year == year]


def _with_all_words(
    catalogue: Catalogue, query: Query, lookup: Callable[[Catalogue, str], Errors]
) -> Errors:
    """The movies that have all the words; a number is looked up as it is."""

    def look_up(place: int, word: str) -> Errors:
        is_last = place == len(query.words) - 1
        if not word.isdecimal():
            return lookup(catalogue, query.last if is_last else word)
        found = dict.fromkeys(catalogue.by_word.get(word, ()), 0)
        if is_last and not query.last.isdecimal():  # `ten` may become `tenenbaums`
            found |= with_prefix(catalogue, query.last, but=title_text.NUMBER_WORDS)
        elif is_last and _PART_OF_YEAR.fullmatch(word):
            years = (year for year in catalogue.by_year if str(year).startswith(word))
            found |= dict.fromkeys(chain.from_iterable(catalogue.by_year[at] for at in years), 0)
        return found

    lookups = (look_up(place, word) for place, word in enumerate(query.words))
    found, *others = sorted(lookups, key=len)
    for other in others:
        found = {
            position: found[position] + other[position] for position in found if position in other
        }
    return found

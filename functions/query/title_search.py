"""In-memory search over a run's titles, as people type them.

`title_text` gives a query and the titles one form. In it, equal names come first, then titles with
all the words of a query, then those with words that begin so, because people are still typing. A
number matches only itself; if no title has it, it may be a place in a series. Typing errors are
tolerated only if no movie has all the words.
"""

import gzip
import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from msgspec import Struct, json

from query import title_text
from spark.contracts.series import key_of

type Index = Mapping[str, Sequence[int]]  # positions of movies in the catalogue
type Errors = dict[int, int]  # the number of typing errors, by position
type Match = tuple[int, Collection[int], str | None]  # quality, positions, note

# The quality of a match, best first. TYPO plus the number of errors is the last.
EXACT, SERIES, WORDS, ABBREVIATION, BEGINNINGS, NEAR_YEAR, TYPO = range(7)
LAST_CHARACTER = "\U0010ffff"  # sorts after every letter
ONE_ERROR_FROM, TWO_ERRORS_FROM = 4, 8  # the lengths of a name from which it may have typing errors
ABBREVIATED = range(2, 8)  # the lengths of abbreviations
MOST_PARTS = 50  # a larger number behind a series' name is not a place in it
LONE_YEARS = 15  # a first title so long before two others is an earlier film of the same name

_YEAR_AT_END = re.compile(r"^(.*\S)\s*\(\s*(\d{4})[^()]*\)+\s*$", re.DOTALL)
_YEAR = re.compile(r"^(.*)\b((?:18|19|20)\d\d)\b(.*)$", re.DOTALL)
_NO_DIGITS = re.compile(r"\D")
_PART_OF_YEAR = re.compile(r"(?:18|19|20)\d")


class Title(Struct, frozen=True, gc=False):
    """What a search needs of a movie's line in the catalogue."""

    movie_id: int
    title: str | None
    year: int | None
    ratings: int
    series: str | None = None  # runs of earlier versions have none


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
class Catalogue:
    """The titles of one run.

    Attributes:
        titles: the most rated first; the indexes below hold positions in this list.
        lines: the catalogue's line of each title.
        by_name: the movies of each name, normalised and without spaces.
        by_word: the movies of each word in a title, as it is written and normalised.
        by_year: the movies of each year.
        by_series: the movies of each series, by the words of its name.
        by_initials: the names and series that an abbreviation can stand for, with their movies.
        words: the words, sorted.
        names_by_length: the names by their length.
        words_by_length: the words by their length.
    """

    titles: Sequence[Title]
    lines: Sequence[bytes]
    by_name: Index
    by_word: Index
    by_year: Mapping[int, Sequence[int]]
    by_series: Index
    by_initials: Mapping[str, Sequence[int]]
    words: Sequence[str]
    names_by_length: Mapping[int, Sequence[str]]
    words_by_length: Mapping[int, Sequence[str]]

    def movie(self, position: int) -> dict[str, Any]:
        """The movie at a position."""
        return json.decode(self.lines[position])


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


def load(blob: bytes) -> Catalogue:
    """Load a titles catalogue.

    Args:
        blob: the part of `titles/`: gzipped JSON Lines.
    """
    lines = [line for line in gzip.decompress(blob).splitlines() if line]
    read = json.Decoder(Title).decode
    unordered = [read(line) for line in lines]
    order = sorted(
        range(len(lines)), key=lambda at: (-unordered[at].ratings, unordered[at].movie_id)
    )
    titles = [unordered[at] for at in order]
    by_name: dict[str, tuple[int, ...]] = {}
    by_word, by_year = defaultdict(list), defaultdict(list)
    by_series, by_initials = defaultdict(list), defaultdict(list)
    # All titles are normalised at once: that takes a fraction of the time.
    text = "\n".join([(each.title or "").replace("\n", " ") for each in titles])
    plain = title_text.without_year(title_text.plain(text))
    spaced = title_text.separated(plain).split("\n")
    series: dict[str, tuple[str, set[str]]] = {}
    for position, (title, name) in enumerate(zip(titles, plain.split("\n"), strict=True)):
        words = spaced[position].split()
        canonical = title_text.canonical(words)
        keys, written = {"".join(canonical)}, {*words, *canonical}
        if "(" in name:
            for each in title_text.names_of(name):
                own = title_text.words(each)
                canonical_own = title_text.canonical(own)
                keys.add("".join(canonical_own))
                written |= {*own, *canonical_own}
        if "-" in name:
            written |= {*title_text.compounds(name)}
        abbreviated = words
        if ":" in name or "(" in name:
            abbreviated = title_text.words(re.split("[:(]", name)[0])
        initials = _initials(abbreviated)
        if title.series:
            if title.series not in series:
                series[title.series] = (
                    _series_key(title.series),
                    _initials(title_text.words(title_text.plain(title.series))),
                )
            key, more = series[title.series]
            by_series[key].append(position)
            initials = initials | more
        for each in initials:
            by_initials[each].append(position)
        for word in written:
            by_word[word].append(position)
        for key in keys:
            by_name[key] = (*by_name.get(key, ()), position)
        if title.year is not None:
            by_year[title.year].append(position)
    by_name.pop("", None)
    return Catalogue(
        titles,
        [lines[at] for at in order],
        by_name,
        by_word,
        by_year,
        by_series,
        by_initials,
        sorted(by_word),
        _by_length(by_name),
        _by_length(by_word),
    )


def _initials(words: Sequence[str]) -> set[str]:
    """What a name may be abbreviated to: `tlotr` and `lotr`, `t2`."""
    if len(words) < 2:
        return set()
    if words[-1] in title_text.ARTICLES:
        words = [words[-1], *words[:-1]]
    if not title_text.NUMBER_WORDS.isdisjoint(words):
        words = title_text.canonical(words)
    letters = "".join([word[0] for word in words])
    return {letters, letters[1:]} if words[0] in title_text.ARTICLES else {letters}


def _series_key(name: str) -> str:
    """The words of a series' name, without `Saga` and the like."""
    return title_text.normalise(key_of(name))


def _by_length(names: Iterable[str]) -> dict[int, list[str]]:
    by_length = defaultdict(list)
    for name in names:
        by_length[len(name)].append(name)
    return by_length


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
    if any(int(last) in _numbers(catalogue, at, name) for at in _having(catalogue, query.words)):
        return
    if name not in catalogue.by_series and len(words) == 1:
        members = _abbreviation(catalogue, words[0])
        shown = {catalogue.titles[at].series for at in members}
        name = _series_key(shown.pop() or "") if len(shown) == 1 else ""
    yield from _place(catalogue, name, int(last) if len(last) < 3 else MOST_PARTS + 1)


def _place(catalogue: Catalogue, key: str, number: int) -> Iterator[Match]:
    """The movie at a place in a series; one that says this number needs no note."""
    members = catalogue.by_series.get(key, ())
    if not members or number > MOST_PARTS:
        return
    said = [at for at in members if number in _numbers(catalogue, at, key)]
    if said:
        yield WORDS, said, None
        return
    position = _places(catalogue, key, members).get(number)
    if position is not None:
        movie = catalogue.titles[position]
        yield SERIES, [position], f"number {number} of {movie.series} by year"


def _places(catalogue: Catalogue, key: str, members: Sequence[int]) -> dict[int, int]:
    """The movies of a series by their places: by year, counted on from numbers in titles.

    A first title long before two others is an earlier film: The Lord of the Rings of 1978. `A Star
    Wars Story` is one beside the others.
    """
    dated = sorted(
        (at for at in members if catalogue.titles[at].year is not None),
        key=lambda at: (catalogue.titles[at].year, catalogue.titles[at].movie_id),
    )
    years = [catalogue.titles[at].year or 0 for at in dated]
    if len(dated) > 2 and years[1] - years[0] > LONE_YEARS:
        dated = dated[1:]
    places: dict[int, int] = {}
    place = 0
    for position in dated:
        words = title_text.words(title_text.plain(catalogue.titles[position].title or ""))
        if f" a {key} " in f" {' '.join(words)} ":
            continue
        place = max(_numbers(catalogue, position, key), default=place + 1)
        places.setdefault(place, position)
    return places


def _numbers(catalogue: Catalogue, position: int, name: str) -> set[int]:
    """The numbers that follow a name in a movie's title."""
    forms = title_text.forms(catalogue.titles[position].title or "")
    begin = f"{name} "
    after = (form[len(begin) :].split()[0] for form in forms if form.startswith(begin))
    return {int(word) for word in after if word.isdecimal() and len(word) < 3}


def _with_words(catalogue: Catalogue, query: Query, title: str) -> Iterator[Match]:  # noqa: ARG001
    """Movies with all the words; with a number at the end, those first that begin so."""
    if not query.words:
        yield WORDS, catalogue.by_year.get(query.year or 0, ()), None
        return
    positions = sorted(_of_year(catalogue, _having(catalogue, query.words), query.year))
    if len(query.words) > 1 and query.words[-1].isdecimal():
        begin = " ".join(query.words[:-1])
        number = int(query.words[-1])
        positions.sort(key=lambda at: number not in _numbers(catalogue, at, begin))
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
        found = _with_all_words(catalogue, query, _with_prefix)
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
    errors = _with_all_words(catalogue, query, _with_similar_word)
    if not errors:
        similar = _similar_names(query.name, catalogue.names_by_length)
        errors = _fewest_errors(similar, catalogue.by_name)
    *words, last = query.words
    if not errors and words and last.isdecimal() and len(last) < 3:
        by_length = _by_length(catalogue.by_series)
        for count, key in sorted(_similar_names(" ".join(words), by_length)):
            for _, positions, note in _place(catalogue, key, int(last)):
                yield TYPO + count, positions, note
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
            found |= _with_prefix(catalogue, query.last, but=title_text.NUMBER_WORDS)
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


def _with_prefix(catalogue: Catalogue, prefix: str, but: Collection[str] = ()) -> Errors:
    """The movies with a word that starts with the prefix, but for some words."""
    first, last = (bisect_left(catalogue.words, end) for end in (prefix, prefix + LAST_CHARACTER))
    positions = (catalogue.by_word[word] for word in catalogue.words[first:last] if word not in but)
    return dict.fromkeys(chain.from_iterable(positions), 0)


def _with_similar_word(catalogue: Catalogue, word: str) -> Errors:
    """The movies with a word that starts with this one, or equals it except for typing errors."""
    similar = _similar_names(word, catalogue.words_by_length)
    return _fewest_errors(similar, catalogue.by_word) | _with_prefix(catalogue, word)


def _fewest_errors(names: Iterable[tuple[int, str]], index: Index) -> Errors:
    """The movies of misspelt names, with the smallest number of errors for each."""
    fewest: Errors = {}
    for errors, name in sorted(names, reverse=True):
        fewest |= dict.fromkeys(index[name], errors)
    return fewest


def _similar_names(name: str, by_length: Mapping[int, Sequence[str]]) -> list[tuple[int, str]]:
    """The names with one typing error, or two in long names, each with its number of errors.

    An error is a missing, additional or wrong letter, or two adjacent letters swapped; numbers have
    none. Nor have names of up to three letters: too many others differ from them by a letter.
    """
    from rapidfuzz import process  # only a query without matches needs it
    from rapidfuzz.distance import OSA

    most = 0 if len(name) < ONE_ERROR_FROM else 1 if len(name) < TWO_ERRORS_FROM else 2
    if not most:
        return []
    found = chain.from_iterable(
        process.extract(
            name, by_length.get(length, ()), scorer=OSA.distance, score_cutoff=most, limit=None
        )
        for length in range(len(name) - most, len(name) + most + 1)
    )
    digits = _NO_DIGITS.sub("", name)
    return [
        (int(errors), each)
        for each, errors, _ in found
        if not digits or _NO_DIGITS.sub("", each) == digits
    ]

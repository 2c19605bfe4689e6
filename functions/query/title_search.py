"""In-memory search over a run's titles, as people type them.

Each word of a query is looked up in an index of the words of all titles, where it may be the prefix
of a word, because people are still typing. Typing errors are tolerated only if no movie has all the
words.
"""

import gzip
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from heapq import nsmallest
from itertools import chain
from typing import Any

from msgspec import json

from query import title_text

type Movie = dict[str, Any]
type Index = Mapping[str, Sequence[int]]  # positions of movies in the catalogue
type Errors = dict[int, int]  # the number of typing errors, by position

EXACT, WORDS, TYPO = range(3)  # the quality of a match, best first
LAST_CHARACTER = "\U0010ffff"  # sorts after every letter
ONE_ERROR_FROM, TWO_ERRORS_FROM = 4, 8  # the lengths of a name from which it may have typing errors


@dataclass(frozen=True)
class Hit:
    """A movie that matches a query.

    Attributes:
        quality: EXACT, WORDS, or TYPO plus the number of errors; less is better.
        movie: `movie_id`, `title`, `year`, `genres`, `ratings`.
    """

    quality: int
    movie: Movie


@dataclass(frozen=True)
class Catalogue:
    """The titles of one run.

    Attributes:
        movies: the most rated first; the indexes below hold positions in this list.
        by_title: the movies of each title, normalised and without spaces.
        by_word: the movies of each word in a title; a movie's year counts as a word.
        words: the words, sorted.
        titles_by_length: the titles by their length.
        words_by_length: the words by their length.
    """

    movies: Sequence[Movie]
    by_title: Index
    by_word: Index
    words: Sequence[str]
    titles_by_length: Mapping[int, Sequence[str]]
    words_by_length: Mapping[int, Sequence[str]]


def load(blob: bytes) -> Catalogue:
    """Load a titles catalogue.

    Args:
        blob: the part of `titles/`: gzipped JSON Lines.
    """
    movies = json.Decoder().decode_lines(gzip.decompress(blob))
    movies.sort(key=lambda movie: (-movie["ratings"], movie["movie_id"]))
    by_title, by_word = defaultdict(list), defaultdict(list)
    for position, movie in enumerate(movies):
        title, year = movie["title"] or "", str(movie["year"] or "")
        forms = title_text.forms(title)
        for name in {_without_spaces(form) + end for form in forms for end in ("", year)}:
            by_title[name].append(position)
        for word in title_text.words(title, forms) | {year}:
            by_word[word].append(position)
    return Catalogue(
        movies, by_title, by_word, sorted(by_word), _by_length(by_title), _by_length(by_word)
    )


def _by_length(names: Iterable[str]) -> dict[int, list[str]]:
    by_length = defaultdict(list)
    for name in names:
        by_length[len(name)].append(name)
    return by_length


def search(catalogue: Catalogue, title: str, limit: int, year: int | None = None) -> list[Hit]:
    """The movies whose titles match: equal titles first, then the most rated.

    Args:
        catalogue: to search in.
        title: as a person types it, with or without the year.
        limit: the largest number of movies.
        year: only movies of this year.
    """
    query = title_text.normalise(title)
    hits: list[Hit] = []
    for quality, matches in _matches(catalogue, query) if query else ():
        positions = (
            position
            for position in matches
            if year is None or catalogue.movies[position]["year"] == year
        )
        best = nsmallest(limit - len(hits), positions)  # more ratings, smaller position
        hits += [Hit(quality, catalogue.movies[position]) for position in best]
    return hits


def _matches(catalogue: Catalogue, query: str) -> Iterator[tuple[int, Collection[int]]]:
    """The matching movies by quality, the best quality first."""
    words, name = query.split(), _without_spaces(query)
    equal = catalogue.by_title.get(name, ())
    with_words = _with_all_words(catalogue, words, _with_prefix).keys() - equal
    if equal or with_words:
        yield EXACT, equal
        yield WORDS, with_words
        return
    misspelt = _with_all_words(catalogue, words, _with_similar_word) or _fewest_errors(
        _similar_names(name, catalogue.titles_by_length), catalogue.by_title
    )
    for errors in sorted(set(misspelt.values())):
        yield TYPO + errors, [position for position in misspelt if misspelt[position] == errors]


def _with_all_words(
    catalogue: Catalogue, words: Sequence[str], lookup: Callable[[Catalogue, str], Errors]
) -> Errors:
    """The movies that have all the words.

    Articles are optional, except as the last word, which may be the prefix of another one.
    """
    required = {word for word in words[:-1] if word not in title_text.ARTICLES} | {words[-1]}
    found, *others = sorted((lookup(catalogue, word) for word in required), key=len)
    for other in others:
        found = {
            position: found[position] + other[position] for position in found if position in other
        }
    return found


def _with_prefix(catalogue: Catalogue, prefix: str) -> Errors:
    """The movies with a word that starts with the prefix."""
    first, last = (bisect_left(catalogue.words, end) for end in (prefix, prefix + LAST_CHARACTER))
    positions = (catalogue.by_word[word] for word in catalogue.words[first:last])
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

    An error is a missing, additional or wrong letter, or two adjacent letters swapped. Names of up
    to three letters may have none, because too many others differ from them by one letter.
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
    return [(int(errors), each) for each, errors, _ in found]


def _without_spaces(text: str) -> str:
    return text.replace(" ", "")

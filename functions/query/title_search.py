"""The titles catalogue of a run: search by title as people type it, in memory.

A query's words are looked up in an index of the words of all titles; each may be the beginning of
one, for people are still typing. Only where no movie has them all are typing errors allowed for.
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
type Index = Mapping[str, Sequence[int]]  # the places of movies in the catalogue
type Costs = dict[int, int]  # at each place, how many typing errors

EXACT, WORDS, TYPO = range(3)  # how well a title matches, best first
END = "\U0010ffff"  # sorts behind every letter
ONE_ERROR_FROM, TWO_ERRORS_FROM = 4, 8  # letters from which on a name may be misspelt so often


@dataclass(frozen=True)
class Hit:
    """A movie that a query found.

    Attributes:
        quality: how well it matches; less is better: EXACT, WORDS, or TYPO and more by errors.
        movie: `movie_id`, `title`, `year`, `genres`, `ratings`.
    """

    quality: int
    movie: Movie


@dataclass(frozen=True)
class Catalogue:
    """The titles of one run.

    Attributes:
        movies: the most rated first; the rest names them by their places here.
        by_title: the movies of each title, normalised and without spaces.
        by_word: the movies with each word in a title; a movie's year is one of its words.
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
    """Read a titles catalogue.

    Args:
        blob: the part of `titles/`: gzip JSON Lines.
    """
    movies = json.Decoder().decode_lines(gzip.decompress(blob))
    movies.sort(key=lambda movie: (-movie["ratings"], movie["movie_id"]))
    named, having = defaultdict(list), defaultdict(list)
    for place, movie in enumerate(movies):
        title, year = movie["title"] or "", str(movie["year"] or "")
        forms = title_text.forms(title)
        for name in {_without_spaces(form) + end for form in forms for end in ("", year)}:
            named[name].append(place)
        for word in title_text.words(title, forms) | {year}:
            having[word].append(place)
    return Catalogue(movies, named, having, sorted(having), _by_length(named), _by_length(having))


def _by_length(names: Iterable[str]) -> dict[int, list[str]]:
    sorted_out = defaultdict(list)
    for name in names:
        sorted_out[len(name)].append(name)
    return sorted_out


def search(catalogue: Catalogue, title: str, limit: int, year: int | None = None) -> list[Hit]:
    """The movies that may be meant by a title: equal titles first, then the most rated.

    Args:
        catalogue: to search in.
        title: as a person types it, perhaps with the year.
        limit: at most so many.
        year: that they have to be of.
    """
    wanted = title_text.normalise(title)
    hits: list[Hit] = []
    for quality, found in _matches(catalogue, wanted) if wanted else ():
        places = (
            place for place in found if year is None or catalogue.movies[place]["year"] == year
        )
        best = nsmallest(limit - len(hits), places)  # the more ratings, the smaller the place
        hits += [Hit(quality, catalogue.movies[place]) for place in best]
    return hits


def _matches(catalogue: Catalogue, wanted: str) -> Iterator[tuple[int, Collection[int]]]:
    """The movies that match, by quality, the best first."""
    words, name = wanted.split(), _without_spaces(wanted)
    equal = catalogue.by_title.get(name, ())
    beginning = _with_all_words(catalogue, words, _with_prefix).keys() - equal
    if equal or beginning:
        yield EXACT, equal
        yield WORDS, beginning
        return
    near = _with_all_words(catalogue, words, _with_similar_word) or _fewest_errors(
        _similar_names(name, catalogue.titles_by_length), catalogue.by_title
    )
    for errors in sorted(set(near.values())):
        yield TYPO + errors, [place for place in near if near[place] == errors]


def _with_all_words(
    catalogue: Catalogue, words: Sequence[str], lookup: Callable[[Catalogue, str], Costs]
) -> Costs:
    """The movies that have all the words; an article may be missing, unless it comes last.

    The last word may be the beginning of another one, which is not known yet.
    """
    needed = {word for word in words[:-1] if word not in title_text.ARTICLES} | {words[-1]}
    found, *others = sorted((lookup(catalogue, word) for word in needed), key=len)
    for other in others:
        found = {place: found[place] + other[place] for place in found if place in other}
    return found


def _with_prefix(catalogue: Catalogue, word: str) -> Costs:
    """The movies with a word that begins so."""
    first, last = (bisect_left(catalogue.words, end) for end in (word, word + END))
    having = (catalogue.by_word[each] for each in catalogue.words[first:last])
    return dict.fromkeys(chain.from_iterable(having), 0)


def _with_similar_word(catalogue: Catalogue, word: str) -> Costs:
    """The movies with a word that begins so, or that is this one but for typing errors."""
    near = _fewest_errors(_similar_names(word, catalogue.words_by_length), catalogue.by_word)
    return near | _with_prefix(catalogue, word)


def _fewest_errors(misspelt: Iterable[tuple[int, str]], index: Index) -> Costs:
    """The movies of misspelt names, with the fewest errors that lead to each."""
    costs: Costs = {}
    for errors, name in sorted(misspelt, reverse=True):
        costs |= dict.fromkeys(index[name], errors)
    return costs


def _similar_names(name: str, by_length: Mapping[int, Sequence[str]]) -> list[tuple[int, str]]:
    """The names that differ by one letter, in long ones by two, with the number of errors.

    A letter is missing, too many, another one, or has changed places with the next. A name of
    three letters is too near to others to be misspelt.
    """
    from rapidfuzz import process  # only a query that finds nothing needs it
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


def _without_spaces(form: str) -> str:
    return form.replace(" ", "")

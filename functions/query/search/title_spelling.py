"""Words that begin like a query's, and words and names that equal it but for typing errors."""

import re
from bisect import bisect_left
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import chain

from query.search.title_catalogue import Catalogue, Index

type Errors = dict[int, int]  # the number of typing errors, by position

LAST_CHARACTER = "\U0010ffff"  # sorts after every letter
ONE_ERROR_FROM, TWO_ERRORS_FROM = 4, 8  # the lengths of a name from which it may have typing errors

_NO_DIGITS = re.compile(r"\D")


def with_prefix(catalogue: Catalogue, prefix: str, but: Collection[str] = ()) -> Errors:
    """The movies with a word that starts with the prefix, but for some words."""
    first, last = (bisect_left(catalogue.words, end) for end in (prefix, prefix + LAST_CHARACTER))
    positions = (catalogue.by_word[word] for word in catalogue.words[first:last] if word not in but)
    return dict.fromkeys(chain.from_iterable(positions), 0)


def with_similar_word(catalogue: Catalogue, word: str) -> Errors:
    """The movies with a word that starts with this one, or equals it except for typing errors."""
    similar = similar_names(word, catalogue.words_by_length)
    return fewest_errors(similar, catalogue.by_word) | with_prefix(catalogue, word)


def fewest_errors(names: Iterable[tuple[int, str]], index: Index) -> Errors:
    """The movies of misspelt names, with the smallest number of errors for each."""
    fewest: Errors = {}
    for errors, name in sorted(names, reverse=True):
        fewest |= dict.fromkeys(index[name], errors)
    return fewest


def similar_names(name: str, by_length: Mapping[int, Sequence[str]]) -> list[tuple[int, str]]:
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

"""What changed from one run to another: titles, lists, quality, and why. Plain data, no AWS.

The indexer computes it against the run that is live, the quality gate judges by it, `GET
/runs/{id}` returns it, and `similar-titles diff` prints it for any two runs.
"""

import heapq
import json
import statistics
from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any

from runs.item import Number, QualityItem

PERSISTENCE = 0.9  # of rank-biased overlap: the first ten ranks have 86 % of the weight
DEPTH = 50  # ranks of a list that are compared; they have more than 99.9 % of the weight
DIGITS = 4  # of an overlap
EXAMPLES = 5  # titles of a kind, movers, and titles of a mover's list that a diff names

type Parameters = Mapping[str, float | None]


@dataclass(frozen=True)
class Movies:
    """The movies of a run.

    Attributes:
        titles: of the catalogue, by movie id.
        ratings: how many, by movie id.
        lists: by movie id, the ids of its neighbours by the run's default measure, best first, at
            most DEPTH; only movies that have any. Neighbours by content alone, without co-raters,
            are left out: they would hide that ratings were lost or mixed up.
    """

    titles: Mapping[int, str]
    ratings: Mapping[int, int]
    lists: Mapping[int, array[int]]


@dataclass(frozen=True)
class Result:
    """What is compared of a run.

    Attributes:
        run_id: the run.
        measure: its default measure.
        parameters: of the job and its measures, by name.
        counts: the manifest's.
        quality: None if the run has none.
        lines: by file of the data set, how many.
        unterminated: the files whose last line does not end.
        files: checksums of its input files and of its code (`code`), by name; empty if unknown.
        movies: its lists, or a sentence that says why they cannot be read.
    """

    run_id: str
    measure: str
    parameters: Parameters
    counts: Mapping[str, Number]
    quality: QualityItem | None
    lines: Mapping[str, int]
    unterminated: Sequence[str]
    files: Mapping[str, str]
    movies: Movies | str


@dataclass(frozen=True)
class Titles:
    """How the titles changed.

    Attributes:
        before: titles with neighbours by the run's default measure, see `Movies.lists`.
        after: the same in the later run.
        gained: titles that have neighbours only in the later run.
        lost: titles that have neighbours only in the earlier run.
        gained_examples: the most rated of them.
        lost_examples: the most rated of them.
        common: movie ids in both catalogues.
        renamed: of these, how many have another title.
        beyond_ascii: of the common ones, how many had a title with characters beyond ASCII.
        garbled: of these, how many differ in such characters only, as after a wrong encoding.
        renamed_examples: the title before and after, the most rated of them; garbled ones first.
    """

    before: int
    after: int
    gained: int
    lost: int
    gained_examples: list[str]
    lost_examples: list[str]
    common: int
    renamed: int
    beyond_ascii: int
    garbled: int
    renamed_examples: list[list[str]]


@dataclass(frozen=True)
class Mover:
    """A title whose list moved.

    Attributes:
        movie_id: the movie.
        title: in the later run.
        overlap: rank-biased overlap of its two lists, from 0 to 1.
        before: titles at the head of its list in the earlier run.
        after: the same in the later run.
    """

    movie_id: int
    title: str
    overlap: float
    before: list[str]
    after: list[str]


@dataclass(frozen=True)
class Lists:
    """How the lists by the default measure moved.

    Attributes:
        common: titles with a list in both runs.
        median_overlap: median of their rank-biased overlaps; None without common titles.
        unchanged: how many of them are the same.
        movers: those with the smallest overlap, the most rated first.
    """

    common: int
    median_overlap: float | None
    unchanged: int
    movers: list[Mover]


@dataclass(frozen=True)
class Side:
    """The figures of one of the two runs.

    Attributes:
        run_id: the run.
        measure: its default measure.
        counts: the manifest's.
        quality: None if the run has none.
    """

    run_id: str
    measure: str
    counts: Mapping[str, Number]
    quality: QualityItem | None


@dataclass(frozen=True)
class Diff:
    """What changed from one run to a later one.

    Attributes:
        before: the earlier run.
        after: the later run.
        titles: None if a result can no longer be read.
        lists: None if a result can no longer be read.
        unreadable: why a result cannot be read; None if both can.
        causes: what may have caused the changes, as sentences.
        same_settings: whether both runs have the same measure and parameters.
        cut: files that have fewer lines than before and end within a line, unlike before.
    """

    before: Side
    after: Side
    titles: Titles | None
    lists: Lists | None
    unreadable: str | None
    causes: list[str]
    same_settings: bool
    cut: list[str]


def diff(before: Result, after: Result) -> Diff:
    """Compare two runs."""
    titles = lists = unreadable = None
    if isinstance(before.movies, str):
        unreadable = before.movies
    elif isinstance(after.movies, str):
        unreadable = after.movies
    else:
        titles = compare_titles(before.movies, after.movies)
        lists = compare_lists(before.movies, after.movies)
    return Diff(
        before=_side(before),
        after=_side(after),
        titles=titles,
        lists=lists,
        unreadable=unreadable,
        causes=causes(before, after),
        same_settings=_settings(before) == _settings(after),
        cut=[
            name
            for name in after.unterminated
            if name not in before.unterminated
            and after.lines.get(name, 0) < before.lines.get(name, 0)
        ],
    )


def compare_titles(before: Movies, after: Movies) -> Titles:
    """Compare the titles with neighbours, and the text of the titles in both catalogues."""
    gained = [movie for movie in after.lists if movie not in before.lists]
    lost = [movie for movie in before.lists if movie not in after.lists]
    common = beyond_ascii = 0
    renamed: list[tuple[bool, int]] = []  # whether it is garbled, and the movie
    garbled = 0
    for movie, old in before.titles.items():
        new = after.titles.get(movie)
        if new is None:
            continue
        common += 1
        beyond_ascii += not old.isascii()
        if new != old:
            is_garbled = not old.isascii() and _ascii_of(old) == _ascii_of(new)
            garbled += is_garbled
            renamed.append((is_garbled, movie))
    shown = heapq.nlargest(EXAMPLES, renamed, key=lambda each: (each[0], before.ratings[each[1]]))
    return Titles(
        before=len(before.lists),
        after=len(after.lists),
        gained=len(gained),
        lost=len(lost),
        gained_examples=_most_rated(gained, after),
        lost_examples=_most_rated(lost, before),
        common=common,
        renamed=len(renamed),
        beyond_ascii=beyond_ascii,
        garbled=garbled,
        renamed_examples=[[before.titles[movie], after.titles[movie]] for _, movie in shown],
    )


def compare_lists(before: Movies, after: Movies) -> Lists:
    """Compare the lists of the movies that have one in both runs."""
    common = [movie for movie in after.lists if movie in before.lists]
    overlaps = array("d", (overlap(before.lists[each], after.lists[each]) for each in common))
    ranked = zip(overlaps, (-after.ratings[movie] for movie in common), common, strict=True)
    worst = heapq.nsmallest(EXAMPLES, ranked)
    return Lists(
        common=len(common),
        median_overlap=round(statistics.median(overlaps), DIGITS) if common else None,
        unchanged=sum(before.lists[movie] == after.lists[movie] for movie in common),
        movers=[
            Mover(
                movie,
                after.titles[movie],
                round(each, DIGITS),
                _heads(before.lists[movie], before),
                _heads(after.lists[movie], after),
            )
            for each, _, movie in worst
            if each < 1
        ],
    )


def overlap(one: Sequence[int], other: Sequence[int], p: float = PERSISTENCE) -> float:
    """Rank-biased overlap of two rankings without ties: 1 if they are the same, 0 if disjoint.

    The extrapolated form, RBO_ext, equation 32 of Webber, Moffat and Zobel, "A similarity measure
    for indefinite rankings", ACM TOIS 28(4), 2010: it also compares lists of different lengths.

    Args:
        one: not empty, each element once.
        other: not empty, each element once.
        p: in (0, 1); the larger, the more the lower ranks count.
    """
    if one == other:
        return 1.0
    short, long = sorted((one, other), key=len)
    s, l = len(short), len(long)  # noqa: E741  (the paper's names)
    seen_short: set[int] = set()
    seen_long: set[int] = set()
    shared = shared_at_s = 0
    total, weight = 0.0, 1.0
    for d in range(1, l + 1):
        mine = long[d - 1]
        shared += mine in seen_short
        seen_long.add(mine)
        if d <= s:
            theirs = short[d - 1]
            shared += theirs in seen_long
            seen_short.add(theirs)
            shared_at_s = shared
        weight *= p
        agreement = shared / d
        if d > s:
            agreement += shared_at_s * (d - s) / (s * d)
        total += agreement * weight
    return (1 - p) / p * total + ((shared - shared_at_s) / l + shared_at_s / s) * weight


def causes(before: Result, after: Result) -> list[str]:
    """Name what differs between the inputs of two runs: files, code, measure and parameters."""
    found = []
    if before.files and after.files:
        for name in sorted({*before.files, *after.files}):
            one, other = before.files.get(name), after.files.get(name)
            if one is None or other is None:
                found.append(f"{name} only in {(before if one else after).run_id}")
            elif one != other:
                found.append(f"other {name}")
    else:
        found.append("the input and code of both runs can no longer be compared")
    changed = [
        f"{name} {_number(before.counts.get(name))} -> {_number(after.counts.get(name))}"
        for name in ("ratings", "users", "movies")
        if before.counts.get(name) != after.counts.get(name)
    ]
    if changed:
        found.append(f"other data: {', '.join(changed)}")
    if before.measure != after.measure:
        found.append(f"default measure {before.measure} -> {after.measure}")
    found += [
        f"{name} {_number(before.parameters.get(name))} -> {_number(after.parameters.get(name))}"
        for name in sorted({*before.parameters, *after.parameters})
        if before.parameters.get(name) != after.parameters.get(name)
    ]
    return found


def to_item(found: Diff) -> dict[str, Any]:
    """Convert a diff for the runs table, whose numbers are decimals."""
    text = json.dumps(asdict(found), default=_plain)
    return json.loads(text, parse_float=Decimal)


def _plain(number: Decimal) -> int | float:
    return int(number) if number == number.to_integral_value() else float(number)


def _settings(result: Result) -> tuple[str, dict[str, float | None]]:
    return result.measure, dict(result.parameters)


def _side(result: Result) -> Side:
    return Side(result.run_id, result.measure, dict(result.counts), result.quality)


def _number(value: Number | float | None) -> str:
    return "none" if value is None else f"{value:,}"


def _ascii_of(title: str) -> str:
    """What is left of a title in any encoding: neither other letters nor what stands for them."""
    return "".join(each for each in title if each.isascii() and each not in "? ")


def _most_rated(movies: Iterable[int], of: Movies) -> list[str]:
    shown = heapq.nlargest(EXAMPLES, movies, key=of.ratings.__getitem__)
    return [of.titles[movie] for movie in shown]


def _heads(ids: Sequence[int], of: Movies) -> list[str]:
    return [of.titles.get(movie, f"movie {movie}") for movie in ids[:EXAMPLES]]

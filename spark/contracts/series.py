"""The series of a movie, from the titles of the catalogue alone. Standard library only.

Each name of a movie claims series: `Godfather: Part II, The` claims The Godfather by its number,
`Star Trek: Generations` Star Trek by its subtitle, `Batman Returns` Batman by a word that sequels
have, and `Godfather, The` may be the first of its own. One claim says little (`Apollo 13`,
`Malcolm X`): a series is believed only if several claims agree, see `_Series.is_proven`.
"""

import re
import unicodedata
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from enum import IntEnum
from itertools import pairwise
from typing import NamedTuple

# A title's last article is moved to its start: `Godfather: Part II, The`, `Visiteurs, Les`.
_ARTICLES = "The A An Le La Les L' Un Une Il Lo Gli El Los Las Der Die Das Ein Eine De Det Den"
_LAST_ARTICLE = re.compile(rf"^(.+), ({'|'.join(_ARTICLES.split())})$")
_FIRST_ARTICLE = re.compile(r"^(?:the|an?) (?=.)")
_YEAR = re.compile(r"\s*\(\s*(\d{4})[^()]*\)+\s*$")
_BRACKETS = re.compile(r"\s*\(([^()]*)\)")
_AKA = re.compile(r"^a\.?k\.?a\.?:? +", re.IGNORECASE)
_WORD = re.compile(r"\w+")
_PLAIN = str.maketrans({"&": " and "} | dict.fromkeys("'`\u2018\u2019", ""))  # `Ocean's`: one word
_POWERS = str.maketrans({"²": " 2", "³": " 3"})  # `Alien³`
_CUT = re.compile(r"\s*[:;]\s+|\s+[-\u2013]\s+|,\s+(?=(?:Part|Vol|Volume|Episode|Chapter)\b)")
_NUMBERED = re.compile(
    r"^(.+?)[\s:,\-\u2013]+((?:part|pt|episode|chapter|vol|volume|book)\.? +|the +)?"
    r"(\S+)(?: \d/\d)?$",
    re.IGNORECASE,
)
_ROMAN = ["I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI", "XII", "XIII"]
_CARDINAL = [
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
]
_ORDINAL = ["first", "second", "third", "fourth", "fifth", "sixth"]
_NUMBERS = {"3d": 3, "3-d": 3} | {
    word: number
    for words in (_ROMAN, _CARDINAL, map(str, range(1, 21)))
    for number, word in enumerate(words, 1)
}
_ORDINALS = {word: number for number, word in enumerate(_ORDINAL, 1)}
_AFTER = re.compile(
    r"^(.+) (?:returns|begins|forever|reloaded|revolutions|resurrections?|salvation|genisys|reborn"
    r"|unleashed|rises|legacy|again|too|now|strikes (?:back|again)|rides again|\d{4})$"
)
_BEFORE = re.compile(
    r"^(?:(?:return|revenge|son|bride|daughter|curse|ghost|trail|rise|dawn|conquest|battle|war)"
    r" (?:of|for)|beneath|beyond|escape from(?= the )) (?:the )?(.+)$"
)
_AND_THE = re.compile(r"^(.+?) and the ")
_COLLECTION = re.compile(r" (?:saga|trilogy|collection|series|presents)$")
GAP = 15  # years, at most, from Cube to a `Cube: ...`: one word may be a coincidence
ANY_GAP = 1000
SOON = 8  # years, at most, between the only two titles of `Indiana Jones and the ...`
MANY = 3  # titles that agree although each says little; the highest number of an only sequel
FAR_MORE = 1.5
LONGEST = 8  # words of a series with which a title is looked up


class _Kind(IntEnum):
    """How a title claims a series, the most telling first."""

    NUMBER = 1
    SUBTITLE = 2
    AND_THE = 3
    SEQUEL = 4
    WHOLE = 5


class _Claim(NamedTuple):
    """A title's claim.

    Attributes:
        kind: of claim.
        key: of the series: its name's plain words.
        shown: the series' name; empty if the title does not say it.
        number: of the part; 0 if there is none.
        marked: whether a word such as Part comes before the number.
    """

    kind: _Kind
    key: str
    shown: str
    number: int = 0
    marked: bool = False


class _Claimant(NamedTuple):
    """A title that claims a series."""

    place: int
    name: str
    year: int
    claim: _Claim


class _Series:
    """The titles that claim one series."""

    def __init__(self, key: str, claimants: Sequence[_Claimant]) -> None:
        self.is_one_word = " " not in key
        self.by_kind: dict[_Kind, list[_Claimant]] = {kind: [] for kind in _Kind}
        for each in claimants:
            self.by_kind[each.claim.kind].append(each)
        self.firsts = sorted(each.year for each in self.by_kind[_Kind.WHOLE])

    def is_proven(self) -> bool:
        """Whether its claims agree."""
        subtitled, joined = self.by_kind[_Kind.SUBTITLE], self.by_kind[_Kind.AND_THE]
        gap = GAP if self.is_one_word else ANY_GAP
        if self._is_numbered() or _are_close(subtitled, gap):
            return True
        if any(self._follows(each, gap) for each in subtitled + self.by_kind[_Kind.SEQUEL]):
            return True
        if not joined or self.is_one_word:
            return False
        many = len({each.name for each in joined}) >= MANY
        return bool(subtitled) or many or _are_close(joined, SOON)

    def _is_numbered(self) -> bool:
        """Whether a numbered part has another part, a subtitle, or a first title before it."""
        numbered = self.by_kind[_Kind.NUMBER]
        numbers = {each.claim.number for each in numbered}
        if any(each.claim.marked for each in numbered):
            sequels, agree = numbered, len(numbers) > 1
        else:
            sequels = [each for each in numbered if each.claim.number > 1]
            agree = any(number + 1 in numbers for number in numbers)
            if len(numbers) == 1:  # `Super 8` is not a sequel of Super
                sequels = [each for each in sequels if each.claim.number <= MANY]
        if agree or (sequels and self.by_kind[_Kind.SUBTITLE]):
            return True
        return any(self.firsts and self.firsts[0] <= each.year for each in sequels)

    def _follows(self, claimant: _Claimant, gap: int) -> bool:
        """Whether a title of just the series' name came out at most `gap` years before."""
        earlier = bisect_left(self.firsts, claimant.year)
        return earlier > 0 and claimant.year - self.firsts[earlier - 1] <= gap

    def members(self) -> list[_Claimant]:
        """Its titles: of those of just its name only the last one before the sequels."""
        others = [each for kind in list(_Kind)[:-1] for each in self.by_kind[kind]]
        begin = min(each.year for each in others)
        first = max((year for year in self.firsts if year <= begin), default=None)
        if first is None and self.firsts and len(others) >= MANY and not self.is_one_word:
            first = self.firsts[0]
        return others + [each for each in self.by_kind[_Kind.WHOLE] if each.year == first]

    def name(self) -> str:
        """Its name as most of its titles have it."""
        shown = Counter(each.claim.shown for each in self.members() if each.claim.shown)
        return min(shown, key=lambda name: (-shown[name], -len(name), name))


def _are_close(claimants: list[_Claimant], gap: int) -> bool:
    """Whether two titles that differ not by their year alone are at most `gap` years apart."""
    by_year = sorted(claimants, key=lambda each: (each.year, each.name))
    return any(
        one.name != other.name and other.year - one.year <= gap for one, other in pairwise(by_year)
    )


def series_of(titles: Sequence[str | None]) -> list[str | None]:
    """The series that each title of a catalogue shares with another one.

    Args:
        titles: in MovieLens' form, `Godfather: Part II, The (1974)`; None is in no series.

    Returns:
        For each title the name of its series as people write it, `The Godfather`, or None. It does
        not depend on the order of the titles.
    """
    names = [_names(title) if title else (0, []) for title in titles]
    claimants: dict[str, list[_Claimant]] = defaultdict(list)
    for place, (year, own) in enumerate(names):
        claims: dict[str, _Claim] = {}
        for claim in sorted(claim for name in own for claim in _claims(name)):
            claims.setdefault(claim.key, claim)
        for key, claim in claims.items():
            claimants[key].append(_Claimant(place, key_of(own[0]), year, claim))
    series = {key: _Series(key, own) for key, own in claimants.items() if len(own) > 1}
    proven = {key: found for key, found in series.items() if found.is_proven()}
    candidates: dict[int, set[str]] = defaultdict(set)
    for key, found in proven.items():
        for member in found.members():
            candidates[member.place].add(key)
    starts = {
        key: min(each.year for each in found.members())
        for key, found in proven.items()
        if " " in key
    }
    for place, (year, own) in enumerate(names):
        for name in own:
            candidates[place].update(_beginnings(name, year, starts))
    sizes = Counter(key for keys in candidates.values() for key in keys)
    chosen = {
        place: _best(keys, names[place][1][0], sizes) for place, keys in candidates.items() if keys
    }
    kept = Counter(chosen.values())
    shown = {key: proven[key].name() for key, count in kept.items() if count > 1}
    return [shown.get(chosen.get(place, "")) for place in range(len(titles))]


def _best(keys: set[str], name: str, sizes: Counter[str]) -> str:
    """The longest series that the name itself says, or another one that has far more titles.

    `Mission: Impossible` rather than Mission, Harry Potter rather than its Deathly Hallows.
    """
    said = key_of(name)
    best, *others = sorted(
        keys, key=lambda key: (not said.startswith(key), -key.count(" "), -sizes[key], key)
    )
    for key in others:
        if sizes[key] > sizes[best] * FAR_MORE:
            best = key
    return best


def _names(title: str) -> tuple[int, list[str]]:
    """A title's year, 0 if it has none, and its names, those in brackets last."""
    year = _YEAR.search(title)
    text = (title[: year.start()] if year else title).translate(_POWERS)
    names = [_BRACKETS.sub("", text), *(_AKA.sub("", each) for each in _BRACKETS.findall(text))]
    return int(year[1]) if year else 0, [_with_article(name.strip()) for name in names]


def _with_article(name: str) -> str:
    found = _LAST_ARTICLE.match(name)
    if not found:
        return name
    return f"{found[2]}{'' if found[2].endswith("'") else ' '}{found[1]}"


def key_of(name: str) -> str:
    """A name's words in lower case, without accents, punctuation and its first article."""
    plain = name.casefold().translate(_PLAIN)
    if not plain.isascii():
        letters = unicodedata.normalize("NFKD", plain)
        plain = "".join(letter for letter in letters if not unicodedata.combining(letter))
    return _COLLECTION.sub("", _FIRST_ARTICLE.sub("", " ".join(_WORD.findall(plain))))


def _claims(name: str) -> Iterator[_Claim]:
    """What a name claims."""
    for cut in _CUT.finditer(name):
        head = name[: cut.start()]
        yield from _numbers(head)
        if (key := key_of(head)) and not key.isdecimal():
            yield _Claim(_Kind.SUBTITLE, key, head)
    yield from _numbers(name)
    whole = key_of(name)
    if whole:
        yield _Claim(_Kind.WHOLE, whole, name)
    for pattern in _AFTER, _BEFORE:
        if found := pattern.match(whole):
            yield _Claim(_Kind.SEQUEL, found[1], "")
    if found := _AND_THE.match(whole):
        yield _Claim(_Kind.AND_THE, found[1], re.split(r" (?:and|&) ", name, flags=re.I)[0])


def _numbers(name: str) -> Iterator[_Claim]:
    """The claim by a name's number: `Rocky II`, `Kill Bill: Vol. 1`, `Shrek the Third`."""
    found = _NUMBERED.match(name)
    if not found:
        return
    base, mark, word = found.groups()
    if (mark or "").strip().casefold() == "the":
        number = _ORDINALS.get(word.casefold())
    else:
        number = _NUMBERS.get(word if word.isupper() else word.casefold())
    if number and (key := key_of(base)):
        yield _Claim(_Kind.NUMBER, key, base, number, bool(mark))
    if number == 3 and "d" in word.casefold():  # `Saw VII 3D`
        yield from _numbers(base)


def _beginnings(name: str, year: int, starts: Mapping[str, int]) -> Iterator[str]:
    """The series with which a name or a later title's subtitle begins: `X2: X-Men United`."""
    for start in (0, *(cut.end() for cut in _CUT.finditer(name))):
        words = key_of(name[start:]).split()
        for count in range(2, min(LONGEST, len(words)) + 1):
            key = " ".join(words[:count])
            # A name of just these words is a remake, or first in the series.
            if key in starts and (starts[key] <= year if start else count < len(words)):
                yield key

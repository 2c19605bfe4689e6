"""Normalises titles: different spellings of one title compare as equal.

Case, accents, punctuation and articles are left out, and a number is one word in all spellings:
`Godfather: Part II, The`, `the godfather 2` and `Godfather Part Two` are all `godfather 2`.
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence

# MovieLens puts a title's article last: `Matrix, The (1999)`, `Cité des enfants perdus, La`.
_ARTICLES = "the a an le la les l un une il lo gli el los las der die das ein eine de het det den"
ARTICLES = frozenset(_ARTICLES.split())
_BRACKETS = re.compile(r"\(([^()]*)\)")
_YEAR = re.compile(r"\s*\(\s*\d{4}[^()\n]*\)+[ \t]*$", re.MULTILINE)
_AKA = re.compile(r"^(?:aka|a\.k\.a\.?):? +")
_LAST_ARTICLE = re.compile(rf"^(.+), ({'|'.join(sorted(ARTICLES))})$")
_ELISION = re.compile(r"\bl['\u2019] ?")  # `Avventura, L'` is `L'Avventura`
_INITIALS = re.compile(r"\b(?:\w\.){2,}")
_LETTERS = re.compile(r"\b(?!a )(?:[^\W\d] )+[^\W\d]\b(?<! a)")  # `M*A*S*H`, but not `Part I, A`
_COMPOUND = re.compile(r"\w+(?:-\w+)+")
_SEPARATORS = re.compile(r"[^\w\n]+")
# Letters that Unicode does not decompose; apostrophes do not separate words.
_PLAIN = str.maketrans(
    {"ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "æ": "ae", "œ": "oe", "&": " and "}
    | {"²": " 2", "³": " 3"}
    | dict.fromkeys("'`\u2018\u2019\u00b4", "")
)
_MARKS = frozenset(["part", "pt", "episode", "chapter", "vol", "volume"])
# One letter is a number only at the end of a name: `Rocky V`, but not `V for Vendetta`.
_LETTER = re.compile(r"(?<=\w )([ivx])(?=[ \t]*(?:[:;,(]| [-\u2013]|$))", re.MULTILINE)
_ROMAN_LETTERS = {"i": "1", "v": "5", "x": "10"}
_NUMERALS = "ii iii iv v vi vii viii ix x xi xii xiii xiv xv xvi xvii xviii xix xx"
_ROMAN = {
    numeral: str(number)
    for number, numeral in enumerate(_NUMERALS.split(), start=2)
    if numeral not in _ROMAN_LETTERS
}
_TEENS = (
    "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen"
    " sixteen seventeen eighteen nineteen"
)
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
_SPELLED = {word: number for number, word in enumerate(_TEENS.split(), start=1)} | {
    word: 10 * number for number, word in enumerate(_TENS.split(), start=2)
}
NUMBER_WORDS = frozenset([*_MARKS, *_ROMAN, *_SPELLED])


def normalise(text: str) -> str:
    """A name in the one form in which all its spellings are equal."""
    return " ".join(canonical(words(plain(text))))


def forms(title: str) -> set[str]:
    """All names of a movie, normalised, without its year.

    `City of Lost Children, The (Cité des enfants perdus, La) (1995)` gives `city of lost children`,
    `cite des enfants perdus`, and both together.
    """
    names = {" ".join(canonical(words(name))) for name in names_of(without_year(plain(title)))}
    return names - {""}


def plain(text: str) -> str:
    """A text, or many in a line each, in lower case, without accents and apostrophes."""
    lower = _ELISION.sub("l ", text.casefold()).translate(_PLAIN)
    if not lower.isascii():
        decomposed = unicodedata.normalize("NFKD", lower)
        lower = "".join(letter for letter in decomposed if not unicodedata.combining(letter))
    joined = _INITIALS.sub(lambda found: found[0].replace(".", ""), lower)
    return _with_letters_as_numbers(joined)


def without_year(title: str) -> str:
    """Titles, in a line each, without the years in brackets at their ends."""
    return _YEAR.sub("", title)


def names_of(name: str) -> list[str]:
    """A plain title's names: all of it, what is outside of brackets, and what is in them."""
    if "(" not in name:
        return [name]
    inside = (_AKA.sub("", each.strip()) for each in _BRACKETS.findall(name))
    return [name, _BRACKETS.sub(" ", name).strip(), *inside]


def _with_letters_as_numbers(text: str) -> str:
    return _LETTER.sub(lambda found: _ROMAN_LETTERS[found[0]], text)


def separated(plain: str) -> str:
    """The words of plain texts, in a line each, with spaces between them."""
    spaced = _SEPARATORS.sub(" ", plain)
    return _LETTERS.sub(lambda found: found[0].replace(" ", ""), spaced)


def words(plain: str) -> list[str]:
    """The words of a plain text."""
    return separated(plain).split()


def compounds(plain: str) -> list[str]:
    """The compounds of a plain text as single words: `spiderman` of `spider-man`."""
    return [each.replace("-", "") for each in _COMPOUND.findall(plain)]


def canonical(words: Sequence[str]) -> list[str]:
    """Words without articles, unless these are all, and with numbers in digits."""
    kept = [word for word in words if word not in ARTICLES] or list(words)
    return kept if NUMBER_WORDS.isdisjoint(kept) else list(_with_digits(kept))


def _with_digits(words: Sequence[str]) -> Iterator[str]:
    """Words with numbers in digits, and without `part` and the like before a number."""
    place = 0
    while place < len(words):
        word = words[place]
        following = words[place + 1] if place + 1 < len(words) else ""
        if word in _SPELLED:
            number, place = _spelled(words, place)
            yield str(number)
            continue
        if word in _MARKS and following in _ROMAN_LETTERS:
            yield _ROMAN_LETTERS[following]
            place += 1
        elif not (word in _MARKS and _is_number(following)):
            yield _ROMAN.get(word, word)
        place += 1


def _is_number(word: str) -> bool:
    return word.isdecimal() or word in _ROMAN or word in _SPELLED


def _spelled(words: Sequence[str], place: int) -> tuple[int, int]:
    """The number that begins at a place, and the place behind it."""
    number, place = _below_hundred(words, place)
    if number < 10 and words[place : place + 1] == ["hundred"]:
        number, place = 100 * number, place + 1
        rest = place + (words[place : place + 1] == ["and"])
        if rest < len(words) and words[rest] in _SPELLED:
            more, place = _below_hundred(words, rest)
            number += more
    elif number >= 10 and place < len(words) and _SPELLED.get(words[place], 0) >= 10:
        more, place = _below_hundred(words, place)  # `nineteen eighty-four`
        number = 100 * number + more
    return number, place


def _below_hundred(words: Sequence[str], place: int) -> tuple[int, int]:
    number = _SPELLED[words[place]]
    unit = _SPELLED.get(words[place + 1], 0) if place + 1 < len(words) else 0
    return (number + unit, place + 2) if number >= 20 and 0 < unit < 10 else (number, place + 1)


def with_article(plain: str) -> str:
    """A plain name's words with its article at the start."""
    found = _LAST_ARTICLE.match(plain.strip())
    return " ".join(words(f"{found[2]} {found[1]}" if found else plain))

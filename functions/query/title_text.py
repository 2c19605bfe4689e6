"""Normalises titles: different spellings of one title compare as equal."""

import re
import unicodedata
from collections.abc import Iterable, Iterator

# MovieLens puts a title's article last: `Matrix, The (1999)`, `Cité des enfants perdus, La`.
_ARTICLES = "the a an le la les l' un une il lo gli el los las der die das ein eine de het det den"
ARTICLES = frozenset(_ARTICLES.split())
_BRACKETS = re.compile(r"\(([^()]*)\)")
_YEAR = re.compile(r"\s*\(\d{4}[^()]*\)\s*$")
_AKA = re.compile(r"^a\.?k\.?a\.?:? +")
_TRAILING_ARTICLE = re.compile(rf"^(.+), ({'|'.join(sorted(ARTICLES))})$")
_INITIALS = re.compile(r"\b(?:\w\.){2,}")
_COMPOUND = re.compile(r"\w+(?:-\w+)+")
_WORD = re.compile(r"\w+")
# Letters that Unicode does not decompose; apostrophes do not separate words.
_PLAIN = str.maketrans(
    {"ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "æ": "ae", "œ": "oe", "&": " and "}
    | dict.fromkeys("'`\u2018\u2019\u00b4", "")
)


def normalise(text: str) -> str:
    """The words of a text in lower case, without accents and punctuation."""
    return " ".join(_WORD.findall(_plain(text)))


def forms(title: str) -> set[str]:
    """All names of a movie, normalised, without its year.

    `City of Lost Children, The (Cité des enfants perdus, La) (1995)` gives `the city of lost
    children`, `city of lost children`, `la cite des enfants perdus`, `cite des enfants perdus`, and
    the whole title.
    """
    lower = _YEAR.sub("", title.casefold())
    alternatives = (_AKA.sub("", each.strip()) for each in _BRACKETS.findall(lower))
    names = [lower, _BRACKETS.sub(" ", lower), *alternatives]
    return {normalise(form) for name in names for form in _with_article(name)} - {""}


def words(title: str, forms: Iterable[str]) -> set[str]:
    """The words that find a movie; `Spider-Man` gives spider, man and spiderman."""
    compounds = (each.replace("-", "") for each in _COMPOUND.findall(_plain(title)))
    return {word for form in forms for word in form.split()}.union(compounds)


def _plain(text: str) -> str:
    plain = text.casefold().translate(_PLAIN)
    if not plain.isascii():
        decomposed = unicodedata.normalize("NFKD", plain)
        plain = "".join(letter for letter in decomposed if not unicodedata.combining(letter))
    return _INITIALS.sub(lambda found: found[0].replace(".", ""), plain)


def _with_article(name: str) -> Iterator[str]:
    """A title with its article at the start, and without it."""
    found = _TRAILING_ARTICLE.match(name.strip())
    if found:
        yield f"{found[2]} {found[1]}"
        yield found[1]
    else:
        yield name
        article, _, rest = name.strip().partition(" ")
        if article in ARTICLES:
            yield rest

"""The tags file: how much each tag says of each movie, by how many users gave it.

Tags are free text: one tag is written in many ways, and many say nothing about the movie. So they
are normalised, those of a stop list are left out, and each user counts once per movie and tag. Only
the first `MOST_PER_USER` tags of a user count for a movie: one user with a hundred tags must not
describe it alone. A tag that n users gave a movie has the weight 1 + ln n.
"""

import re
import unicodedata
from array import array

import numpy as np

from spark.contracts.movielens import Layout
from spark.contracts.movielens_lines import MAX_ID, tag_of
from spark.ingest.lines import data_lines, read_layout

MOST_PER_USER = 10

_APOSTROPHES = "'`\u2018\u2019\u02bc"

# Normalised tags about the person, the copy or the rating; they say nothing about the movie.
_STOP_WORDS = frozenset({
    # the person
    "cant remember", "dont remember", "favorite", "favorites", "favourite", "favourites",
    "havent seen", "library", "mine", "my collection", "my favorite", "my favorites", "my list",
    "my movies", "not seen", "own", "rewatch", "tag", "test tag", "ummarti2006", "unseen",
    "want to see", "want to watch", "watchlist", "wishlist",
    # the copy
    "bd r", "bd video", "betamax", "blu ray", "bluray", "cav", "clv", "divx", "dvd r", "dvd ram",
    "dvd video", "hd dvd", "hddvd", "library vhs", "tivo", "vhs",
    # the rating
    "amazing", "awesome", "awful", "bad", "bad movie", "best", "best movie", "best movie ever",
    "boring", "excellent", "good", "good movie", "great", "great movie", "horrible", "overrated",
    "really bad", "terrible", "underrated", "worst", "worst movie ever",
})  # fmt: skip
_STOP_PATTERNS = re.compile(
    r"(.* )?dvds?"  # erlends dvds
    r"|(.* )?netflix( .*)?"  # in netflix queue, not available from netflix
    r"|(seen|watched|owned)( .*)?"  # seen at the cinema, watched 2007
    r"|to (see|watch|buy|rent|own)( .*)?"
    r"|imdb (top|bottom) [0-9]+|toplist[0-9]+|less than [0-9]+ ratings"
    r"|(?!(007|9 11)$)[0-9]+( [0-9]+)*( stars?)?"  # years and ratings; not James Bond and 9/11
)


def normalised(text: str) -> str:
    """A tag as all its spellings are written: `Sci-Fi`, `sci fi` and `SCI_FI` are `sci fi`.

    Case and what Unicode calls compatible (NFKC) do not matter. Apostrophes are left out, and all
    else that is neither a letter nor a digit separates words. Empty if nothing is left.
    """
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    kept = unicodedata.normalize("NFKC", "".join(map(_kept, folded)))
    return " ".join(word for word in kept.split() if any(map(str.isalnum, word)))


def _kept(character: str) -> str:
    if character in _APOSTROPHES:
        return ""
    # Marks belong to the letter before, as vowels of Indic scripts do.
    is_of_a_word = character.isalnum() or unicodedata.category(character).startswith("M")
    return character if is_of_a_word else " "


def says_something(tag: str) -> bool:
    """Whether a normalised tag says something about the movie."""
    return tag != "" and tag not in _STOP_WORDS and not _STOP_PATTERNS.fullmatch(tag)


def read_tags(uri: str, usual: Layout) -> dict[tuple[int, str], float]:
    """The weight of each tag of each movie, by movie id and normalised tag; bad lines are skipped.

    Args:
        uri: of the file.
        usual: layout of its format.

    Raises:
        DatasetError: the file is not one of its format.
    """
    layout = read_layout(uri, usual)
    names: dict[str, int] = {}  # the number of each tag
    spellings: dict[str, int | None] = {}  # of each text the number of its tag
    users, movies, tags = array("i"), array("i"), array("i")
    for line in data_lines(uri, layout):
        if (found := tag_of(line, layout)) is None:
            continue
        user, movie, text = found
        if text not in spellings:
            tag = normalised(text)
            known = says_something(tag)
            spellings[text] = names.setdefault(tag, len(names)) if known else None
        if (number := spellings[text]) is not None:
            users.append(user)
            movies.append(movie)
            tags.append(number)
    described, given, counts = _count_users(*(np.array(each) for each in (users, movies, tags)))
    words = list(names)
    keys = zip(described.tolist(), map(words.__getitem__, given.tolist()), strict=True)
    return dict(zip(keys, (1 + np.log(counts)).tolist(), strict=True))


def _count_users(
    users: np.ndarray, movies: np.ndarray, tags: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Count the users per movie and tag.

    Args:
        users: int32, one per line in the order of the file.
        movies: int32, likewise.
        tags: int32, numbers of the tags, likewise.

    Returns:
        Movies and tags, each pair once, and how many users count for the pair.
    """
    words = int(tags.max(initial=0)) + 1
    _, both = np.unique(users.astype(np.int64) * (MAX_ID + 1) + movies, return_inverse=True)
    _, first = np.unique(both * words + tags, return_index=True)
    first.sort()
    order = first[np.argsort(both[first], kind="stable")]
    counting = order[place_in_group(both[order]) < MOST_PER_USER]
    pairs, counts = np.unique(
        movies[counting].astype(np.int64) * words + tags[counting], return_counts=True
    )
    return pairs // words, pairs % words, counts


def place_in_group(groups: np.ndarray) -> np.ndarray:
    """The place of each element among those of the same group, from 0; groups are ascending."""
    return np.arange(groups.size) - np.searchsorted(groups, groups)

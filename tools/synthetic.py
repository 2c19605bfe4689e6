"""Synthetic MovieLens: data sets in MovieLens 10M's format with fictional titles.

Each movie has a genre, and many belong to a series. Each user likes some genres and rates movies
accordingly, with little noise. So movies of a genre are similar, and those of a series most
similar. A size always gives the same bytes, on any machine.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
import numpy.typing as npt

from tools.command_line import HELP_OPTIONS, module_examples

type Ints = npt.NDArray[np.int64]
type Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Shape:
    """The size of a data set.

    Attributes:
        ratings: number of ratings.
        users: number of users; each has 20 to `most_of_a_user` ratings.
        movies: number of movies in movies.dat.
        rated: number of rated movies.
        largest_id: largest id of a movie; ids are sparse if it exceeds `movies`.
        most_of_a_user: number of ratings of the most active user.
    """

    ratings: int
    users: int
    movies: int
    rated: int
    largest_id: int
    most_of_a_user: int


# The shapes of MovieLens 100K, 1M and 10M.
SHAPES = {
    "100k": Shape(100_000, 943, 1_682, 1_682, 1_682, 737),
    "1m": Shape(1_000_209, 6_040, 3_883, 3_706, 3_952, 2_314),
    "10m": Shape(10_000_054, 69_878, 10_681, 10_677, 65_133, 7_359),
}
LEAST_OF_A_USER = 20
GENRES = (
    "Action", "Adventure", "Animation", "Comedy", "Crime", "Documentary", "Drama", "Fantasy",
    "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western",
)  # fmt: skip
ADJECTIVES = (
    "Silver", "Crimson", "Hidden", "Broken", "Golden", "Silent", "Burning", "Frozen", "Lost",
    "Distant", "Electric", "Hollow", "Velvet", "Restless", "Scarlet", "Midnight", "Wandering",
    "Forgotten", "Emerald", "Paper", "Iron", "Gentle", "Savage", "Crooked", "Amber", "Winter",
    "Secret", "Endless", "Northern", "Painted", "Quiet", "Reckless", "Shattered", "Twisted",
)  # fmt: skip
NOUNS = (
    "Harbor", "Lantern", "Orchard", "Horizon", "River", "Cathedral", "Garden", "Station", "Empire",
    "Mirror", "Canyon", "Compass", "Voyage", "Island", "Tower", "Carnival", "Frontier", "Letter",
    "Kingdom", "Shadow", "Highway", "Promise", "Machine", "Meadow", "Fortress", "Melody", "Signal",
    "Labyrinth", "Bridge", "Summer", "Detective", "Stranger", "Colony", "Theater", "Wolf", "Raven",
)  # fmt: skip
SERIES_SHARE = 0.3  # share of the movies that belong to a series
SERIES_LENGTH = 3
LIKED = 3  # number of genres that a user likes
# How many times likelier a user rates a movie of a genre that they like.
AFFINITY = 6.0
FIRST_TIMESTAMP = 789_652_009  # 1995-01-09, as in MovieLens 10M
LAST_TIMESTAMP = 1_231_131_736
USERS_AT_ONCE = 1_000


@dataclass(frozen=True)
class Movies:
    """The movies, in the order of their ids.

    Attributes:
        ids: the movies' ids.
        titles: the titles as MovieLens writes them.
        work: number of the series, or of the single movie.
        genre: first genre, an index into GENRES.
        second_genre: second genre, an index into GENRES, or -1.
        quality: stars added to a user's rating of the genre; equal within a series.
        appeal: relative frequency of ratings; 0 for unrated movies.
    """

    ids: Ints
    titles: list[str]
    work: Ints
    genre: Ints
    second_genre: Ints
    quality: Floats
    appeal: Floats


def generate(shape: Shape, folder: Path) -> None:
    """Write `ratings.dat` and `movies.dat` of a shape to a folder; create it if missing."""
    random = np.random.Generator(np.random.PCG64(19_950_109 + shape.ratings))
    movies = make_movies(shape, random)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "movies.dat").open("w", encoding="utf-8", newline="\n") as out:
        out.writelines(movie_lines(movies))
    with (folder / "ratings.dat").open("wb") as out:
        for block in rating_blocks(shape, movies, random):
            out.write(block)


def make_movies(shape: Shape, random: np.random.Generator) -> Movies:
    """Draw the movies of a data set, series first, and spread them over the ids at random."""
    in_series = int(shape.movies * SERIES_SHARE) // SERIES_LENGTH * SERIES_LENGTH
    works = in_series // SERIES_LENGTH + shape.movies - in_series
    # work[i] is the number of movie i's series, or of the single movie; part[i] is its part.
    series = np.arange(in_series) // SERIES_LENGTH
    work = np.concatenate([series, np.arange(in_series // SERIES_LENGTH, works)])
    part = np.concatenate([np.arange(in_series) % SERIES_LENGTH, np.zeros(works, np.int64)])
    order = random.permutation(shape.movies)
    work, part = work[order], part[: shape.movies][order]
    ids = np.sort(random.choice(shape.largest_id - 1, shape.movies - 1, replace=False) + 1)
    genre = random.integers(len(GENRES), size=works)[work]
    second = (genre + random.integers(1, len(GENRES), size=works)[work]) % len(GENRES)
    second[(random.random(works) < 0.5)[work]] = -1
    appeal = np.exp(random.normal(scale=1.55, size=shape.movies))
    appeal = np.maximum(appeal, np.quantile(appeal, 0.02))
    appeal[random.choice(shape.movies, shape.movies - shape.rated, replace=False)] = 0
    year = random.integers(1930, 2001, size=works)[work] + 3 * part
    return Movies(
        ids=np.append(ids, shape.largest_id),
        titles=_titles(work, part, year, random),
        work=work,
        genre=genre,
        second_genre=second,
        quality=random.normal(scale=0.25, size=works)[work],
        appeal=appeal,
    )


def _titles(work: Ints, part: Ints, year: Ints, random: np.random.Generator) -> list[str]:
    """Return distinct titles as MovieLens writes them: `Silver Harbor II, The (1987)`."""
    names = [f"{adjective} {noun}" for adjective in ADJECTIVES for noun in NOUNS]
    more = [f"{noun} of the {name}" for name in names for noun in NOUNS if noun not in name]
    names = [names[i] for i in random.permutation(len(names))]
    names += [more[i] for i in random.permutation(len(more))]
    articles = random.choice(["", ", The", ", A"], p=[0.6, 0.35, 0.05], size=len(names))
    numerals = ["", " II", " III"]
    return [
        f"{names[w]}{numerals[p]}{_article(names[w], str(articles[w]))} ({y})"
        for w, p, y in zip(work.tolist(), part.tolist(), year.tolist(), strict=True)
    ]


def _article(name: str, article: str) -> str:
    return ", An" if article == ", A" and name[0] in "AEIOU" else article


def movie_lines(movies: Movies) -> Iterator[str]:
    """Yield the lines of movies.dat."""
    for id, title, first, second in zip(
        movies.ids.tolist(), movies.titles, movies.genre, movies.second_genre, strict=True
    ):
        genres = sorted({GENRES[first], GENRES[second]} if second >= 0 else {GENRES[first]})
        yield f"{id}::{title}::{'|'.join(genres)}\n"


def user_counts(shape: Shape, random: np.random.Generator) -> Ints:
    """Draw the number of ratings per user: log-normal above 20 as in MovieLens, exact in sum."""
    normal = np.sort(random.normal(size=shape.users))
    most = min(shape.most_of_a_user, shape.rated)
    low, high = 0.0, float(most)
    while high - low > 1e-6:  # the median that gives the wanted sum
        median = (low + high) / 2
        counts = _counts(normal, median, most)
        low, high = (median, high) if counts.sum() < shape.ratings else (low, median)
    counts = _counts(normal, low, most)
    missing = shape.ratings - int(counts.sum())
    middle = shape.users // 2
    counts[middle - missing : middle] += 1
    return random.permutation(counts)


def _counts(normal: Floats, median: float, most: int) -> Ints:
    """Return counts for sorted standard normal numbers; the least is 20, the greatest `most`."""
    above = median * np.exp(1.3 * normal)
    counts = LEAST_OF_A_USER + np.minimum(above, most - LEAST_OF_A_USER).astype(np.int64)
    counts[0], counts[-1] = LEAST_OF_A_USER, most
    return counts


def rating_blocks(shape: Shape, movies: Movies, random: np.random.Generator) -> Iterator[bytes]:
    """Yield the lines of ratings.dat by user and movie, one block of users at a time."""
    counts = user_counts(shape, random)
    rated = np.flatnonzero(movies.appeal)
    # Chance may leave out the least popular movies, so each of them gets one fixed user.
    rare = rated[np.argsort(movies.appeal[rated], kind="stable")][: len(rated) // 2]
    sure = random.permutation(len(rare)) % shape.users
    for start in range(0, shape.users, USERS_AT_ONCE):
        block = counts[start : start + USERS_AT_ONCE]
        likes = _likes(len(block), random)
        here = (sure >= start) & (sure < start + len(block))
        user, movie = _choices(block, likes, movies, (sure[here] - start, rare[here]), random)
        stars = _stars(user, movie, likes, movies, random)
        begin = random.integers(FIRST_TIMESTAMP, LAST_TIMESTAMP - 86_400, size=len(block))
        time = begin[user] + random.integers(0, 86_400, size=len(user))
        yield _lines(user + start + 1, movies.ids[movie], stars, time)


def _likes(users: int, random: np.random.Generator) -> npt.NDArray[np.bool_]:
    """Draw the genres that each user likes, users x genres."""
    ranks = random.random((users, len(GENRES))).argsort(axis=1).argsort(axis=1)
    return ranks < LIKED


def _choices(
    counts: Ints,
    likes: npt.NDArray[np.bool_],
    movies: Movies,
    sure: tuple[Ints, Ints],
    random: np.random.Generator,
) -> tuple[Ints, Ints]:
    """Draw the movies that each user rates, by appeal and genre, without replacement.

    The smallest exponential variates, divided by their weights, are a weighted draw without
    replacement.

    Returns:
        Users (row numbers of the block) and movies (positions), ordered by user and movie.
    """
    with np.errstate(divide="ignore"):
        wait = (1 / movies.appeal).astype(np.float32)
    keys = random.standard_exponential((len(counts), len(wait)), dtype=np.float32)
    keys *= wait
    keys *= np.where(likes, np.float32(1 / AFFINITY), np.float32(1))[:, movies.genre]
    keys[sure] = 0
    chosen = [
        np.sort(np.argpartition(row, count - 1)[:count])
        for row, count in zip(keys, counts.tolist(), strict=True)
    ]
    return np.repeat(np.arange(len(counts)), counts), np.concatenate(chosen)


def _stars(
    user: Ints,
    movie: Ints,
    likes: npt.NDArray[np.bool_],
    movies: Movies,
    random: np.random.Generator,
) -> Ints:
    """Draw ratings in half stars, 1 to 10: taste for the genre, quality of the movie, noise."""
    taste = np.where(likes, 4.3, 1.6) + random.normal(scale=0.3, size=likes.shape)
    of_work = random.normal(scale=0.35, size=(len(likes), movies.work.max() + 1))
    stars = taste[user, movies.genre[movie]] + movies.quality[movie]
    stars += of_work[user, movies.work[movie]] + random.normal(scale=0.1, size=len(user))
    return np.clip(np.rint(stars * 2), 1, 10).astype(np.int64)


def _lines(user: Ints, movie: Ints, stars: Ints, time: Ints) -> bytes:
    text = [f"{half / 2:g}" for half in range(11)]
    columns = zip(user.tolist(), movie.tolist(), stars.tolist(), time.tolist(), strict=True)
    return "".join(f"{u}::{m}::{text[s]}::{t}\n" for u, m, s, t in columns).encode()


@click.command(
    context_settings=HELP_OPTIONS,
    epilog=module_examples("tools.synthetic", "--size 1m data/sample-1m"),
)
@click.argument("folder", metavar="FOLDER", type=click.Path(path_type=Path))
@click.option("--size", type=click.Choice(list(SHAPES)), default="100k", show_default=True)
def main(folder: Path, size: str) -> None:
    """Generate a data set of MovieLens' shape, with fictional titles, in FOLDER."""
    shape = SHAPES[size]
    generate(shape, folder)
    written = f"{shape.ratings:,} ratings of {shape.rated:,} movies by {shape.users:,} users"
    click.echo(f"{written} in {folder}", err=True)


if __name__ == "__main__":
    main(prog_name="python -m tools.synthetic")

"""An independent computation of similarities: NumPy, dense matrices, the whole data set at once."""

import itertools
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

type Rating = tuple[int, int, float]
type Row = tuple[int, int, int, float, float, float, float]


def similarities(ratings: Sequence[Rating], min_co_raters: int, min_score: float) -> list[Row]:
    """Pairs as the job writes them, sorted.

    Half stars are integers, and so are all sums; doubles hold them exactly, in any order.

    Args:
        ratings: user, movie, rating; each user and movie once.
        min_co_raters: at least 1.
        min_score: pairs with a lower score are dropped.
    """
    if not ratings:
        return []
    columns = list(zip(*ratings, strict=True))
    users, user = np.unique(np.array(columns[0]), return_inverse=True)
    movies, movie = np.unique(np.array(columns[1]), return_inverse=True)
    stars = np.zeros((len(users), len(movies)))
    stars[user, movie] = np.rint(2 * np.array(columns[2]))
    enough = (stars > 0).sum(axis=0) >= min_co_raters  # with fewer, a movie has no pair
    movies, stars = movies[enough], stars[:, enough]
    rated = (stars > 0).astype(float)

    count = rated.T @ rated
    sum_xy = stars.T @ stars / 4
    sum_xx = (stars * stars).T @ rated / 4
    sum_yy = sum_xx.T
    first, second = np.nonzero(np.triu(count >= min_co_raters, k=1))
    xy, xx, yy = (sums[first, second] for sums in (sum_xy, sum_xx, sum_yy))
    score = xy / (np.sqrt(xx) * np.sqrt(yy))
    kept = score >= min_score
    numbers = count[first, second].astype(int)
    table = (movies[first], movies[second], numbers, xy, xx, yy, score)
    return list(zip(*(column[kept].tolist() for column in table), strict=True))


def neighbours(pairs: Sequence[Row], most: int) -> dict[int, list[tuple[int, float, int]]]:
    """Each movie's neighbours, best first: id, score, co-raters."""
    lists: dict[int, list[tuple[int, float, int]]] = {}
    for first, second, count, *_, score in pairs:
        lists.setdefault(first, []).append((second, score, count))
        lists.setdefault(second, []).append((first, score, count))
    best_first = {
        movie: sorted(others, key=lambda other: (-other[1], -other[2], other[0]))
        for movie, others in lists.items()
    }
    return {movie: others[:most] for movie, others in best_first.items()}


def by_measure(
    ratings: Sequence[Rating], min_raters: int, beta: float, penalty: float
) -> tuple[np.ndarray, dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """Scores of all pairs of movies with enough raters, by the measures on ratings.

    Args:
        ratings: user, movie, rating; each user and movie once.
        min_raters: movies with fewer are left out.
        beta: of `damped`.
        penalty: the λ of `ease`.

    Returns:
        The movies; by measure the scores, [movies, movies], 0 on the diagonal; the number of
        co-raters; their cosine.
    """
    columns = list(zip(*ratings, strict=True))
    _, user = np.unique(np.array(columns[0]), return_inverse=True)
    movies, movie = np.unique(np.array(columns[1]), return_inverse=True)
    stars = np.zeros((user.max() + 1, len(movies)))
    stars[user, movie] = columns[2]
    enough = (stars > 0).sum(axis=0) >= min_raters
    movies, stars = movies[enough], stars[:, enough]
    rated = (stars > 0).astype(float)
    n = rated.T @ rated
    squares = (stars * stars).T @ rated
    with np.errstate(invalid="ignore"):
        cosine = stars.T @ stars / np.sqrt(squares * squares.T)
    lengths = np.linalg.norm(stars, axis=0)
    raters = rated.sum(axis=0)
    inverse = np.linalg.inv(stars.T @ stars / 25 + penalty * np.eye(len(movies)))
    scores = {
        "damped": np.nan_to_num(cosine) * n / (n + beta),
        "full-cosine": stars.T @ stars / np.outer(lengths, lengths),
        "jaccard": n / (raters[:, None] + raters[None, :] - n),
        "ease": -inverse / np.diag(inverse)[None, :],
    }
    for each in scores.values():
        np.fill_diagonal(each, 0)
    return movies, scores, n, cosine


def content(
    lines: str,
    tags: Mapping[tuple[int, str], float],
    series: Mapping[int, str],
    weights: Mapping[str, float],
) -> dict[tuple[int, int], float]:
    """The similarity by content of all pairs of movies, in plain loops over dictionaries.

    Args:
        lines: of a movies.dat.
        tags: by movie and tag, how much it says.
        series: by movie.
        weights: of `genres`, `tags`, `series` and `year`.
    """
    words: dict[str, dict[int, dict[str, float]]] = {kind: {} for kind in weights}
    for line in lines.splitlines():
        movie, title, genres = line.split("::")
        id, year = int(movie), re.search(r"\((\d{4})\)$", title)
        names = genres.split("|") if genres and "(" not in genres else []
        words["genres"][id] = dict.fromkeys(names, 1.0)
        words["tags"][id] = {tag: much for (of, tag), much in tags.items() if of == id}
        words["series"][id] = {series[id]: 1.0} if id in series else {}
        first = int(year[1]) if year else 0
        eras = [first // 10 * 10, (first + 5) // 10 * 10 - 5] if year else []
        words["year"][id] = dict.fromkeys(map(str, eras), 1.0)
    movies = list(words["year"])
    found = dict.fromkeys(itertools.permutations(movies, 2), 0.0)
    for kind, of_movies in words.items():
        having = Counter(word for each in of_movies.values() for word in each)
        vectors = {
            id: {
                word: much * (math.log((1 + len(movies)) / (1 + having[word])) + 1)
                for word, much in each.items()
                if having[word] > 1
            }
            for id, each in of_movies.items()
        }
        lengths = {id: math.hypot(*each.values()) or 1 for id, each in vectors.items()}
        for i, j in found:
            product = sum(much * vectors[j].get(word, 0) for word, much in vectors[i].items())
            found[i, j] += weights[kind] * product / (lengths[i] * lengths[j])
    return found

"""Rating tables in the shapes of MovieLens releases: what the cost depends on, without sense.

Users' activity is log-normal above 20, as MovieLens' is, movies' popularity falls along a curve
fitted to 10M's most-rated movies, and a user's movies are a weighted draw without replacement.
(`tools/synthetic.py` makes data with sensible neighbours, but fewer co-ratings than the real ones.)
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

USERS_AT_ONCE = 20_000_000  # users times movies that are drawn at once


@dataclass(frozen=True)
class Shape:
    """How large a table is.

    Attributes:
        users: how many.
        movies: how many.
        ratings: how many.
        most: ratings of the most active user.
        decay: how many times the popularity curve falls by e, beside its power law.
    """

    users: int
    movies: int
    ratings: int
    most: int
    decay: float


SHAPES = {
    "100k": Shape(943, 1_682, 100_000, 700, 3.2),
    "1m": Shape(6_988, 10_677, 1_000_005, 7_359, 3.2),
    "10m": Shape(69_878, 10_677, 10_000_054, 7_359, 3.2),
    "20m": Shape(138_493, 26_744, 20_000_263, 9_254, 5),
    "32m": Shape(200_948, 87_585, 32_000_204, 7_359, 14),
}


@dataclass(frozen=True)
class Table:
    """Ratings by user.

    Attributes:
        users: int32, ascending.
        movies: int32, ids; of one user in no order, none twice.
        halves: uint8, half stars.
    """

    users: np.ndarray
    movies: np.ndarray
    halves: np.ndarray

    @property
    def work(self) -> int:
        """W: how many pairs of ratings the users have."""
        of_user = np.bincount(self.users).astype(np.int64)
        return int((of_user * (of_user - 1) // 2).sum())


def make(shape: Shape, seed: int = 7) -> Table:
    """Draw a table; the same shape and seed give the same."""
    random = np.random.default_rng(seed)
    counts = _counts(shape, random)
    rank = np.arange(shape.movies)
    weight = np.exp(-rank * shape.decay / shape.movies) / (rank + 60.0)
    log_weight = np.log(np.maximum(weight, weight[0] * 2e-6)).astype(np.float32)
    users, movies = [], []
    step = max(1, USERS_AT_ONCE // shape.movies)
    for start in range(0, shape.users, step):
        block = counts[start : start + step]
        # The largest of Gumbel variates shifted by log-weights are a draw without replacement.
        keys = random.standard_exponential((block.size, shape.movies), dtype=np.float32)
        keys = log_weight - np.log(np.maximum(keys, np.float32(1e-30)))
        for user, (row, count) in enumerate(zip(keys, block.tolist(), strict=True), start + 1):
            movies.append(np.argpartition(row, -count)[-count:].astype(np.int32))
            users.append(np.full(count, user, np.int32))
    of_user, movie = np.concatenate(users), np.concatenate(movies)
    largest = 65_133 if shape.movies < 65_133 else 290_000
    ids = random.permutation(np.arange(1, largest + 1))[: shape.movies].astype(np.int32)
    stars = random.normal(3.5, 0.45, shape.movies)[movie]
    stars += random.normal(0, 0.4, shape.users)[of_user - 1] + random.normal(0, 0.85, of_user.size)
    in_halves = (random.random(shape.users) < 0.6)[of_user - 1]
    halves = np.where(in_halves, np.rint(2 * stars), 2 * np.clip(np.rint(stars), 1, 5))
    return Table(of_user, ids[movie], np.clip(halves, 1, 10).astype(np.uint8))


def _counts(shape: Shape, random: np.random.Generator) -> np.ndarray:
    counts = 20 + np.exp(random.normal(np.log(49), 1.28, shape.users))
    for _ in range(60):
        excess = shape.ratings / np.floor(counts).sum()
        counts = np.clip(20 + (counts - 20) * excess, 20, shape.most)
        counts[0] = shape.most
    counts = np.floor(counts).astype(np.int64)
    missing = shape.ratings - int(counts.sum())
    middle = np.flatnonzero((counts > 30) & (counts < shape.most // 2))
    counts[random.choice(middle, abs(missing), replace=abs(missing) > middle.size)] += np.sign(
        missing
    )
    return counts


def write(table: Table, folder: Path) -> None:
    """Write `ratings.dat` and `movies.dat` of a table, ordered by user and movie."""
    folder.mkdir(parents=True, exist_ok=True)
    order = np.lexsort((table.movies, table.users))
    times = 800_000_000 + np.random.default_rng(1).integers(0, 400_000_000, order.size)
    texts = np.array([f"{half / 2:g}" for half in range(11)], object)
    with (folder / "ratings.dat").open("wb") as out:
        for start in range(0, order.size, 1_000_000):
            some = order[start : start + 1_000_000]
            columns = (
                pa.array(table.users[some]).cast("string"),
                pa.array(table.movies[some]).cast("string"),
                pa.array(texts[table.halves[some]], "string"),
                pa.array(times[start : start + some.size]).cast("string"),
            )
            lines = pc.binary_join_element_wise(*columns, "::")
            out.write(("\n".join(lines.to_pylist()) + "\n").encode())
    with (folder / "movies.dat").open("w") as out:
        for movie in np.unique(table.movies).tolist():
            out.write(f"{movie}::Movie {movie} (1994)::Drama|Comedy\n")

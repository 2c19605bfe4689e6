"""The held-out users: who they are, which of their ratings are hidden, what the others learn."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np

from spark.engine.blocks import Blocks
from spark.engine.cells import HoldOutPass, Thresholds
from spark.ingest.chunks import Chunk, ChunkStatistics, RatingTable, unpacked
from spark.ingest.ratings import Ratings
from spark.measures.registry import MEASURES, pair_measures
from spark.runtime.places import places_in

MAX_USERS = 500  # the standard error of their recall is about a twentieth of it
MAX_SHARE = 0.1  # of all users
MAX_RATINGS = 1000  # of a user
HIDDEN_ONE_IN = 5  # ratings
RELEVANT_MIN = 8  # half stars


class HeldOutRatings(RatingTable):
    """The ratings of the held-out users, by user."""

    @property
    def are_hidden(self) -> np.ndarray:
        """Which ratings are hidden, bool."""
        keys = self.users.astype(np.uint64) << np.uint64(32) | self.movies.astype(np.uint64)
        return _mixed(keys) % np.uint64(HIDDEN_ONE_IN) == 0

    @property
    def visible(self) -> RatingTable:
        """The ratings that are not hidden."""
        return self.where(~self.are_hidden)

    @property
    def relevant(self) -> RatingTable:
        """The hidden ratings that a good list finds."""
        return self.where(self.are_hidden & (self.halves >= RELEVANT_MIN))

    @property
    def liked(self) -> RatingTable:
        """The ratings of liked movies, visible or hidden."""
        return self.where(self.halves >= RELEVANT_MIN)

    def products(self, movies: np.ndarray, others: np.ndarray) -> np.ndarray:
        """Σ h_i h_j of pairs of movies over these users, in half stars: int64.

        Args:
            movies: ids, ascending.
            others: ids, one for each of `movies`.
        """
        from scipy.sparse import csr_array

        from spark.measures.products import pair_products

        ids, row = np.unique(self.movies, return_inverse=True)
        users, column = np.unique(self.users, return_inverse=True)
        rated = csr_array((self.halves.astype(float), (row, column)), (ids.size, users.size))
        ones, twos = (places_in(ids, each) for each in (movies, others))
        known = (ones >= 0) & (twos >= 0)
        found = np.zeros(movies.size, np.int64)
        found[known] = pair_products(rated, ones[known], twos[known])  # integers below 2⁵³
        return found


def hash_bound_for(users: int, most: int) -> int:
    """The bound below which a user's hashed id means that the user is held out.

    Args:
        users: number of all users.
        most: roughly how many to hold out, at most a tenth of all; 0 for none.
    """
    return int(min(MAX_SHARE, most / max(1, users)) * 2**64)


def are_held_out(users: np.ndarray, counts: np.ndarray, hash_bound: int) -> np.ndarray:
    """Which users are held out, bool.

    Args:
        users: ids.
        counts: of their ratings.
        hash_bound: from `hash_bound_for`.
    """
    return (_mixed(users.astype(np.uint64)) < np.uint64(hash_bound)) & (counts <= MAX_RATINGS)


def collect_held_out(ratings: Ratings, hash_bound: int) -> HeldOutRatings:
    """Bring the ratings of the held-out users to the driver."""

    def select(packed: Iterable[Chunk | ChunkStatistics]) -> Iterable[RatingTable]:
        for chunk in packed:
            if isinstance(chunk, Chunk):
                users, starts, movies, halves = unpacked(chunk)
                counts = np.diff(starts)
                each = np.repeat(are_held_out(users, counts, hash_bound), counts)
                yield RatingTable(np.repeat(users, counts)[each], movies[each], halves[each])

    found = ratings.packed.mapPartitions(select).collect()
    users, movies, halves = (
        np.concatenate([np.empty(0, kind), *(getattr(each, name) for each in found)])
        for name, kind in {"users": np.int32, "movies": np.int32, "halves": np.uint8}.items()
    )
    order = np.lexsort((movies, users))
    return HeldOutRatings(users[order], movies[order], halves[order])


def evaluated_measures(default: str, measures: Iterable[str]) -> list[str]:
    """The measures that a run evaluates; the one that decides comes first.

    That is the default measure, with the measures that it needs. A measure that is computed from
    all ratings would have to be computed twice, so EASE stands in for it.

    Args:
        default: the run's default measure.
        measures: all measures of the run.
    """
    if MEASURES[default].source == "ratings":
        default = "ease" if "ease" in measures else "cosine"
    return list(dict.fromkeys((default, *MEASURES[default].needs, "cosine")))


def hold_out_pass(
    held_out: HeldOutRatings,
    blocks: Blocks,
    thresholds: Thresholds,
    measures: Iterable[str],
    parameters: Mapping[str, Mapping[str, float]],
) -> HoldOutPass:
    """The lists that the cells take without the held-out users.

    Args:
        held_out: the ratings of those users.
        blocks: of movies, with all users.
        thresholds: of the published lists.
        measures: from `evaluated_measures`.
        parameters: by measure.
    """
    raters, squares = held_out.totals_of(blocks.ids)
    others = replace(blocks, raters=blocks.raters - raters, squares=blocks.squares - squares)
    needed = replace(thresholds, measures=pair_measures(measures, parameters))
    return HoldOutPass(np.unique(held_out.visible.movies), others, needed)


def _mixed(numbers: np.ndarray) -> np.ndarray:
    """Numbers mixed to 64 bits that look random: the finalizer of SplitMix64 (Steele, 2014)."""
    mixed = numbers + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))

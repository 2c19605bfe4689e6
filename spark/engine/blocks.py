"""Which movies are compared, and how their ratings are cut into cells. Imports no Spark.

Movies with enough raters are sorted by falling popularity and dealt to B blocks in turn: all
blocks need about the same work. A cell is one of the B(B+1)/2 pairs of blocks.
"""

import math
from collections.abc import Iterator
from ctypes import c_int, c_int64
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from spark.contracts.movielens import DatasetError
from spark.engine.entries import BLOCK_MOVIES, HALVES_BITS, MAX_RATERS
from spark.runtime.native import array_of, function
from spark.runtime.places import places_in

SUM_BYTES = 16  # of one pair of movies: four 32-bit sums
CELLS_PER_CORE = 3  # so that all cores finish at about the same time
MARKS = 64  # bits of a word

_uint8, _uint16, _uint64 = array_of(np.uint8), array_of(np.uint16), array_of(np.uint64)
_int32, _int64 = array_of(np.int32), array_of(np.int64)
_split_by_block = function(
    "split_by_block",
    *(_int64, c_int64, _int32, _uint8, c_int64, c_int64, c_int, _uint64, _uint8),
    *(_uint16, _int64, _uint16),
)


@dataclass(frozen=True)
class Blocks:
    """The movies that are compared, in blocks.

    Attributes:
        ids: int32, the movies with enough raters, by falling popularity. A movie's index is its
            rank; its block is rank % count, and its place in the block is rank // count.
        raters: int64, per movie.
        squares: int64, per movie the sum of its squared ratings, in half stars.
        count: number of blocks.
    """

    ids: np.ndarray
    raters: np.ndarray
    squares: np.ndarray
    count: int

    @property
    def cells(self) -> list[tuple[int, int]]:
        """The pairs of blocks; those with most work first."""
        pairs = [(i, j) for i in range(self.count) for j in range(i, self.count)]
        return sorted(pairs, key=lambda pair: pair[0] == pair[1])

    def ids_of(self, block: int) -> np.ndarray:
        """The movies of a block."""
        return np.ascontiguousarray(self.ids[block :: self.count])

    def popular(self, block: int, limit: int) -> int:
        """How many movies of a block are among the `limit` most popular; they come first in it."""
        return len(range(block, min(limit, self.ids.size), self.count))


class CellRatings(NamedTuple):
    """The ratings of some users that a cell needs, as little-endian 16-bit arrays.

    Attributes:
        row_lengths: how many ratings each user has in the row block.
        row_entries: those ratings, by user, ascending; see entries.py.
        column_lengths: the same for the column block; empty on the diagonal.
        column_entries: the same for the column block; empty on the diagonal.
    """

    row_lengths: bytes
    row_entries: bytes
    column_lengths: bytes = b""
    column_entries: bytes = b""


def choose_blocks(
    movies: np.ndarray, raters: np.ndarray, squares: np.ndarray, min_co_raters: int, count: int
) -> Blocks:
    """Deal the movies with at least `min_co_raters` raters to blocks.

    Args:
        movies: int32, ids of all rated movies, ascending.
        raters: int64, per movie.
        squares: int64, per movie the sum of its squared ratings, in half stars.
        min_co_raters: a movie with fewer raters cannot be in any pair.
        count: number of blocks; raised if the blocks would be too large.

    Raises:
        DatasetError: a movie has more raters than a cell's sums can hold.
    """
    if raters.max(initial=0) > MAX_RATERS:
        raise DatasetError(f"a movie has more than {MAX_RATERS} ratings: the sums would overflow")
    enough = raters >= min_co_raters
    compared = movies[enough], raters[enough], squares[enough]
    by_popularity = np.lexsort((compared[0], -compared[1]))
    least = math.ceil(by_popularity.size / BLOCK_MOVIES)
    ids, raters, squares = (each[by_popularity] for each in compared)
    return Blocks(ids, raters, squares, max(1, count, least))


def block_count(movies: int, cores: int, cell_bytes: int) -> int:
    """The smallest number of blocks that keeps all cores busy and cells within their memory.

    Args:
        movies: number of movies to compare.
        cores: number of cores that work in parallel.
        cell_bytes: memory for the sums of one cell.
    """
    for_cores = math.ceil((math.sqrt(1 + 8 * CELLS_PER_CORE * cores) - 1) / 2)
    side = min(BLOCK_MOVIES, math.isqrt(cell_bytes // SUM_BYTES))
    return max(1, min(for_cores, movies), math.ceil(movies / side))


def split_by_block(
    starts: np.ndarray, movies: np.ndarray, halves: np.ndarray, blocks: Blocks
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Split the ratings of some users by block; ratings of other movies are dropped.

    Args:
        starts: where each user's ratings begin, int64 [users + 1].
        movies: ids, int32; a user's are distinct.
        halves: half stars, uint8.
        blocks: of movies.

    Returns:
        The number of entries per block and user, uint16 [blocks, users], and for each block its
        entries, uint16, by user, ascending.
    """
    rank, users = places_in(blocks.ids, movies), starts.size - 1
    ratings = np.bincount(rank[rank >= 0] % blocks.count, minlength=blocks.count)
    begins = np.cumsum(ratings) - ratings
    words = math.ceil(blocks.ids.size / blocks.count / MARKS)  # of marks, for one block
    marks = np.zeros(blocks.count * words, np.uint64)
    rated = np.empty(marks.size * MARKS, np.uint8)
    lengths = np.empty((blocks.count, users), np.uint16)
    entries = np.empty(ratings.sum(), np.uint16)
    _split_by_block(
        *(np.ascontiguousarray(starts, np.int64), users, rank, np.ascontiguousarray(halves)),
        *(blocks.count, words, HALVES_BITS, marks, rated, lengths, begins.copy(), entries),
    )
    return lengths, np.split(entries, begins[1:])


def split_by_cell(
    starts: np.ndarray, movies: np.ndarray, halves: np.ndarray, blocks: Blocks
) -> Iterator[tuple[int, CellRatings]]:
    """What each cell needs of some users' ratings; the arguments are those of `split_by_block`.

    Yields:
        The number of a cell and its ratings. A cell without pairs is left out.
    """
    lengths, entries = split_by_block(starts, movies, halves, blocks)
    for cell, (i, j) in enumerate(blocks.cells):
        has_pair = (lengths[i] > 0) & (lengths[j] > (1 if i == j else 0))
        if has_pair.any():
            needed = [
                array.tobytes()
                for block in ((i,) if i == j else (i, j))
                for array in (
                    lengths[block][has_pair],
                    entries[block][np.repeat(has_pair, lengths[block])],
                )
            ]
            yield cell, CellRatings(*needed)


def cell_name(i: int, j: int) -> str:
    """The name of a cell's files. It depends on nothing else, so a retry replaces them."""
    return f"cell-{i:04d}-{j:04d}"

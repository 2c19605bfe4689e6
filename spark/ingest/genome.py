"""The tag genome of MovieLens 20M, 25M and latest: the relevance of a fixed set of tags.

GroupLens estimates from tags, ratings and reviews how relevant each of its 1,128 tags is to a
movie, from 0 to 1. `genome-scores.csv` lists every pair, 15 million of them; most say that a tag
does not apply. So the file is read block by block, and per movie only the `MOST_PER_MOVIE` tags
with the highest relevance are kept, if it is at least `LEAST_RELEVANCE`.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from pyarrow import csv

from spark.contracts.movielens import Layout
from spark.contracts.movielens_lines import decode, genome_score_of, genome_tag_of
from spark.ingest.lines import BOM, LONGEST, blocks, data_lines, read_layout
from spark.ingest.tags import normalised, place_in_group, says_something

MOST_PER_MOVIE = 20
LEAST_RELEVANCE = 0.5

_KINDS = {"movieId": pa.int32(), "tagId": pa.int32(), "relevance": pa.float32()}


@dataclass(frozen=True)
class Scores:
    """Some lines of the genome.

    Attributes:
        movies: int32, ids.
        tags: int32, ids or numbers of tags.
        relevance: float32.
    """

    movies: np.ndarray
    tags: np.ndarray
    relevance: np.ndarray

    def __getitem__(self, places: np.ndarray) -> "Scores":
        return Scores(self.movies[places], self.tags[places], self.relevance[places])


def read_genome(
    scores: str, usual_scores: Layout, tags: str, usual_tags: Layout
) -> dict[tuple[int, str], float]:
    """The relevance of the most relevant tags of each movie, by movie id and normalised tag.

    Bad lines are skipped, as are those of an unknown tag. Tags that say nothing about a movie are
    left out. If several lines are for the same movie and tag, the highest relevance counts.

    Args:
        scores: URI of the scores.
        usual_scores: their usual layout.
        tags: URI of the tags.
        usual_tags: their usual layout.

    Raises:
        DatasetError: a file is not one of its format.
    """
    layout = read_layout(scores, usual_scores)
    names = _read_names(tags, usual_tags)
    words = sorted(set(names.values()))
    ids = np.array(sorted(names), np.int32)
    numbers = np.searchsorted(words, [names[id] for id in ids.tolist()]).astype(np.int32)
    best = _scores([])
    for some in _read_scores(scores, layout):
        some = some[(some.relevance >= LEAST_RELEVANCE) & np.isin(some.tags, ids)]
        named = replace(some, tags=numbers[np.searchsorted(ids, some.tags)])
        best = _most_relevant(best, named)
    keys = zip(best.movies.tolist(), map(words.__getitem__, best.tags.tolist()), strict=True)
    return dict(zip(keys, best.relevance.tolist(), strict=True))


def _read_names(uri: str, usual: Layout) -> dict[int, str]:
    """The tags that say something about a movie, normalised, by their id in the genome."""
    layout = read_layout(uri, usual)
    read = (genome_tag_of(line, layout) for line in data_lines(uri, layout))
    names = {tag_id: normalised(text) for tag_id, text in filter(None, read)}
    return {tag_id: tag for tag_id, tag in names.items() if says_something(tag)}


def _read_scores(uri: str, layout: Layout) -> Iterator[Scores]:
    """The good lines of the scores, block by block."""
    for number, block in enumerate(blocks(uri)):
        if number == 0:
            block = block.removeprefix(BOM.encode())
            if layout.has_header:
                _, _, block = block.partition(b"\n")
        scores = _plain_scores(block, layout)
        if scores is None:
            lines = (decode(line[:LONGEST]) for line in block.split(b"\n"))
            scores = _scores(genome_score_of(line, layout) for line in lines)
        yield scores


def _plain_scores(block: bytes, layout: Layout) -> Scores | None:
    """The scores of a block by compiled code, or None if a line is not as in the releases."""
    try:
        table = csv.read_csv(
            pa.py_buffer(block),
            # With threads, an empty or bad block can hang: apache/arrow#38676 and 43892.
            csv.ReadOptions(column_names=layout.columns, use_threads=False),
            convert_options=csv.ConvertOptions(column_types=_KINDS, null_values=[]),
        )
    except pa.ArrowInvalid:
        return None
    read = Scores(*(table[name].to_numpy() for name in _KINDS))
    return read[(read.movies >= 0) & (read.relevance >= 0) & (read.relevance <= 1)]


def _scores(lines: Iterable[tuple[int, int, float] | None]) -> Scores:
    """The scores of good lines; others are None."""
    kinds = [("movies", np.int32), ("tags", np.int32), ("relevance", np.float32)]
    read = np.fromiter(filter(None, lines), np.dtype(kinds))
    return Scores(read["movies"], read["tags"], read["relevance"])


def _most_relevant(*parts: Scores) -> Scores:
    """The best scores of each movie, each tag once."""
    columns = ([getattr(part, name) for part in parts] for name in ("movies", "tags", "relevance"))
    scores = Scores(*map(np.concatenate, columns))
    scores = scores[np.lexsort((-scores.relevance, scores.tags, scores.movies))]
    is_first = np.ones(scores.movies.size, np.bool_)
    is_first[1:] = (np.diff(scores.movies) != 0) | (np.diff(scores.tags) != 0)
    scores = scores[is_first]
    scores = scores[np.lexsort((-scores.relevance, scores.movies))]
    return scores[place_in_group(scores.movies) < MOST_PER_MOVIE]

"""The ratings file as packed chunks: whole users, each (user, movie) once, the latest rating."""

import json
import math
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from pyspark import StorageLevel, TaskContext
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from kernel_cache import compile_ahead, compiled
from lines import read_raw
from movielens import Format

BYTES_PER_RATING = 20  # of text, to guess how many there are
RATINGS_PER_PART = 4_000_000  # what a task holds at once: 100 MB or so
SPLIT_BYTES = 64 * 2**20  # of text that a task reads

_TYPES = {
    "part": pa.int32(),
    "source": pa.int32(),
    "user_count": pa.int64(),
    "lines": pa.int64(),
    **dict.fromkeys(("defects", "defect", "line"), pa.string()),
    **dict.fromkeys(
        ("users", "movies", "halves", "times", "starts", "rated", "raters"), pa.binary()
    ),
}
_DDL = {pa.int32(): "int", pa.int64(): "long", pa.string(): "string", pa.binary(): "binary"}


def _schema(*names: str) -> pa.Schema:
    return pa.schema([(name, _TYPES[name]) for name in names])


def _ddl(schema: pa.Schema) -> str:
    return ", ".join(f"{field.name} {_DDL[field.type]}" for field in schema)


# Rows of three kinds, told by what is not null: ratings, a tally of lines, a rejected line.
_SCANNED = _schema(
    "part", "source", "users", "movies", "halves", "times", "lines", "defect", "line"
)
_PACKED = _schema(
    "starts", "movies", "halves", "user_count", "rated", "raters", "lines", "defects", "defect",
    "line",
)  # fmt: skip

type Batches = Iterator[pa.RecordBatch]


@dataclass(frozen=True)
class Ratings:
    """All ratings that count, and what was said of the lines.

    Attributes:
        chunks: persisted, a row per chunk of users: `starts` (int64 [users + 1]) says where each
            user's ratings begin in `movies` (int32 ids) and `halves` (uint8, half stars).
        rejects: the lines that were no rating: `defect`, `line`.
        lines: how many lines held data, good or not.
        defects: how many were rejected, by defect.
        movies: int32, the ids of the rated movies, ascending.
        raters: int64, how many users rated each.
        users: how many there are.
    """

    chunks: DataFrame
    rejects: DataFrame
    lines: int
    defects: dict[str, int]
    movies: np.ndarray
    raters: np.ndarray
    users: int

    @property
    def count(self) -> int:
        """How many ratings there are."""
        return int(self.raters.sum())


def read_ratings(spark: SparkSession, uri: str, format: Format, size: int) -> Ratings:
    """Read a ratings file in one pass: scan its lines, bring users together, keep the latest.

    Of equal times the later line counts.

    Args:
        spark: session.
        uri: of the file.
        format: of the file.
        size: of the file, in bytes.
    """
    cores = spark.sparkContext.defaultParallelism
    parts = max(cores, math.ceil(size / BYTES_PER_RATING / RATINGS_PER_PART))
    split = min(SPLIT_BYTES, max(2**20, math.ceil(size / (2 * cores))))
    spark.conf.set("spark.sql.files.maxPartitionBytes", split)
    scanned = read_raw(spark, uri).mapInArrow(_scanner(format, parts), _ddl(_SCANNED))
    by_user = scanned.repartitionById(parts, F.col("part"))
    packed = by_user.mapInArrow(_pack_users, _ddl(_PACKED)).persist(StorageLevel.MEMORY_AND_DISK)
    return _summed_up(packed)


def _summed_up(packed: DataFrame) -> Ratings:
    tallies = packed.where(F.col("rated").isNotNull())
    told = tallies.select("user_count", "rated", "raters", "lines", "defects").collect()
    movies = np.concatenate([np.frombuffer(row.rated, np.int32) for row in told])
    raters = np.concatenate([np.frombuffer(row.raters, np.int64) for row in told])
    ids, place = np.unique(movies, return_inverse=True)
    totals = np.zeros(ids.size, np.int64)
    np.add.at(totals, place, raters)
    defects = sum((Counter(json.loads(row.defects)) for row in told), Counter())
    return Ratings(
        chunks=packed.where(F.col("starts").isNotNull()).select("starts", "movies", "halves"),
        rejects=packed.where(F.col("defect").isNotNull()).select("defect", "line"),
        lines=sum(row.lines for row in told),
        defects=dict(sorted(defects.items())),
        movies=ids,
        raters=totals,
        users=sum(row.user_count for row in told),
    )


def _scanner(format: Format, parts: int) -> Callable[[Batches], Batches]:
    def scan_task(batches: Batches) -> Batches:
        """Scan the lines of a split, then send each part of the users its ratings."""
        scan = compiled("scan").scan
        source = TaskContext.get().partitionId()
        part = source % parts
        scanned = []
        is_start = source == 0
        for batch in batches:
            lines = batch.column(0)
            offsets = np.frombuffer(lines.buffers()[1], np.int32)[lines.offset :][: len(lines) + 1]
            data = lines.buffers()[2]
            text = np.frombuffer(data, np.uint8) if data else np.empty(0, np.uint8)
            found = scan(text, offsets, format, is_start)
            scanned.append(found)
            is_start = False
            if found.rejects:
                defects, texts = zip(*found.rejects, strict=True)
                where = [part] * len(texts)
                yield _rows(_SCANNED, part=where, defect=list(defects), line=list(texts))
        yield _rows(_SCANNED, part=[part], lines=[sum(each.lines for each in scanned)])
        if scanned:
            yield from _by_part(scanned, source, parts)
        compile_ahead("kernel")

    return scan_task


def _by_part(scanned: list, source: int, parts: int) -> Batches:
    """The ratings of a task, packed by parts of the users."""
    names = ("users", "movies", "halves", "times")
    arrays = {name: np.concatenate([getattr(each, name) for each in scanned]) for name in names}
    part_of = (arrays["users"] % parts).astype(np.int16 if parts < 2**15 else np.int32)
    for part in range(parts):
        mine = np.flatnonzero(part_of == part)
        if mine.size:
            packed = {name: [array[mine].tobytes()] for name, array in arrays.items()}
            yield _rows(_SCANNED, part=[part], source=[source], **packed)


def _pack_users(batches: Batches) -> Batches:
    """All ratings of a part of the users as one chunk; a tally; the rejected lines as they came."""
    chunks = []
    lines, defects = 0, Counter()
    for batch in batches:
        for row in batch.to_pylist():
            lines += row["lines"] or 0
            if row["source"] is not None:
                chunks.append(row)
            elif row["defect"] is not None:
                defects[row["defect"]] += 1
                yield _rows(_PACKED, defect=[row["defect"]], line=[row["line"]])
    users, movies, halves = _latest(sorted(chunks, key=lambda row: row["source"]))
    begins = np.flatnonzero(np.append(True, users[1:] != users[:-1])[: users.size])
    starts = np.append(begins, users.size).astype(np.int64)
    rated, raters = np.unique(movies, return_counts=True)
    if users.size:
        yield _rows(
            _PACKED, starts=[starts.tobytes()], movies=[movies.tobytes()], halves=[halves.tobytes()]
        )
    yield _rows(
        _PACKED,
        user_count=[begins.size],
        rated=[rated.astype(np.int32).tobytes()],
        raters=[raters.astype(np.int64).tobytes()],
        lines=[lines],
        defects=[json.dumps(defects)],
    )


def _latest(chunks: list[dict]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Users, movies and half stars of the rating that counts of each user and movie, by both.

    Args:
        chunks: rows of packed ratings in the order of their lines.
    """
    kinds = {"users": np.int32, "movies": np.int32, "halves": np.uint8, "times": np.int64}
    users, movies, halves, times = (
        np.concatenate([np.empty(0, kind), *(np.frombuffer(row[name], kind) for row in chunks)])
        for name, kind in kinds.items()
    )
    keys = users.astype(np.int64) << 32 | movies
    if np.all(keys[1:] > keys[:-1]):  # as MovieLens comes
        return users, movies, halves
    # Stable: of equal users, movies and times the later line comes last, and counts.
    order = np.lexsort((times, keys))
    keys = keys[order]
    order = order[np.append(keys[1:] != keys[:-1], True)]
    return users[order], movies[order], halves[order]


def _rows(schema: pa.Schema, **columns: list) -> pa.RecordBatch:
    """A batch of a schema; columns that are not given are null."""
    count = len(next(iter(columns.values())))
    arrays = [pa.array(columns.get(field.name, [None] * count), field.type) for field in schema]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)

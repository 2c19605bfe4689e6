"""The files of a MovieLens folder: how the layout of one is found, and why one is refused.

Standard library only.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace

from spark.contracts.movielens import OPTIONAL, Column, DatasetError, Layout
from spark.contracts.movielens_lines import (
    BLANKS,
    MAX_ID,
    MAX_LINE,
    MAX_RATING,
    MIN_RATING,
    decode,
    number,
    split_line,
)

# Bytes at the beginning of a file that show its layout.
HEAD = 2**16
# A file with a larger share of malformed lines is not what its name says.
UNUSABLE_SHARE = 0.5
# Ratings beyond the scale on more lines than this, and a larger share of them, mean another scale.
SCALE_LINES = 5
SCALE_SHARE = 0.001
# How headers name the columns, in lower case and without anything but letters.
_NAMES: dict[str, Column] = {
    "userid": "userId", "user": "userId", "movieid": "movieId", "movie": "movieId",
    "itemid": "movieId", "item": "movieId", "rating": "rating", "timestamp": "timestamp",
    "time": "timestamp", "title": "title", "genres": "genres", "genre": "genres", "tag": "tag",
    "tagid": "tagId", "relevance": "relevance", "imdbid": "imdbId", "tmdbid": "tmdbId",
}  # fmt: skip
# What files begin with that are not text in an encoding of ASCII's family.
_NOT_TEXT = {
    b"\x1f\x8b": "gzip-compressed bytes: add .gz to its name",
    b"PK\x03\x04": "a zip archive: drop the archive under a name that ends in .zip",
    b"BZh": "bytes compressed by bzip2: unpack the file",
    b"\xfd7zXZ\x00": "bytes compressed by xz: unpack the file",
    b"\x28\xb5\x2f\xfd": "bytes compressed by Zstandard: unpack the file",
    b"PAR1": "Parquet: save the table as text",
    b"\xff\xfe": "UTF-16: save the file as UTF-8",
    b"\xfe\xff": "UTF-16: save the file as UTF-8",
}
_SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars", "::": "double colons"}


def layout_of(head: bytes, usual: Layout) -> Layout:
    """The layout of a file, by its header or, without one, by the number of its columns.

    A header is read by its names, in any order. Without one, the columns have the usual order; only
    the timestamp may be missing.

    Args:
        head: the first HEAD bytes of the file.
        usual: layout of its format.

    Raises:
        DatasetError: the file is not text, its header lacks a column or has an unknown one, or the
            columns are separated by something else.
    """
    for magic, what in _NOT_TEXT.items():
        if head.startswith(magic):
            raise DatasetError(f"{usual.file}: expected {usual.expected}; found {what}")
    whole = head if len(head) < HEAD else head[: max(head.rfind(b"\n"), head.rfind(b"\r"), 0)]
    lines = [decode(line) for line in re.split(rb"[\r\n]", whole)]
    lines = [line for line in lines if line.strip(BLANKS)]
    if lines:
        lines[0] = lines[0].removeprefix("\ufeff")
    if not lines:
        return usual
    first, columns = lines[0][:MAX_LINE], usual.columns
    cells = split_line(first, usual.separator)
    if _is_header(cells, usual):
        found = _names(cells)
        missing = set(columns) - {*found, OPTIONAL}
        if missing or not set(found) <= set(columns) or len(set(found)) < len(found):
            raise _unexpected(usual, first, "the columns")
        return replace(usual, columns=tuple(found), has_header=True)
    usual = replace(usual, has_header=False)
    fitting = {len(columns), len(columns) - (OPTIONAL in columns)}
    widths = Counter(len(split_line(line, usual.separator)) for line in lines)
    width, _ = widths.most_common(1)[0]
    if width not in fitting:
        for separator, words in _SEPARATORS.items():
            fits = sum(len(line.split(separator)) in fitting for line in lines)
            if separator != usual.separator and 2 * fits > len(lines):
                raise _unexpected(usual, first, f"columns separated by {words}")
    if width == len(columns) - 1 and OPTIONAL in columns:
        return replace(usual, columns=tuple(each for each in columns if each != OPTIONAL))
    return usual


def _names(cells: Iterable[str]) -> list[Column]:
    """The columns that cells of a header name; "" for one that names none."""
    return [_NAMES.get(re.sub("[^a-z]", "", cell.lower()), "") for cell in cells]


def _is_header(cells: list[str], usual: Layout) -> bool:
    """Whether the cells of a first line are names of columns.

    They are if two of them are known or, in a family whose files have a header, all are text.
    """
    if "" in usual.columns or any(number(cell) is not None for cell in cells):
        return False
    known = set(_names(cells)) & set(usual.columns)
    return len(known) > 1 or (usual.has_header and len(cells) == len(usual.columns))


def _unexpected(usual: Layout, line: str, what: str) -> DatasetError:
    return DatasetError(
        f"{usual.file}: expected {usual.expected}; found {what} {line[:QUOTED]!r} in line 1"
    )


QUOTED = 120  # characters of a line in a message
_HINTS: dict[str, str] = {
    "user_id": f"ids are whole numbers from 0 to {MAX_ID}",
    "movie_id": f"ids are whole numbers from 0 to {MAX_ID}",
    "rating": f"ratings are from {MIN_RATING:g} to {MAX_RATING:g} in half stars",
    "scale": f"ratings are from {MIN_RATING:g} to {MAX_RATING:g} in half stars",
    "timestamp": "timestamps are whole seconds since 1970",
}


def is_another_scale(lines: int, defects: Mapping[str, int]) -> bool:
    """Whether more than a few ratings are beyond the scale of the format.

    Args:
        lines: how many were read.
        defects: malformed lines per kind of defect.
    """
    return defects.get("scale", 0) > max(SCALE_LINES, SCALE_SHARE * lines)


def refusal(layout: Layout, lines: str, defects: Mapping[str, int], example: str) -> str:
    """The message for a file that is not what its name says: what was expected, what was found.

    Args:
        layout: of the file.
        lines: how many lines were read, in words.
        defects: malformed lines per kind of defect.
        example: a malformed line.
    """
    kinds = ", ".join(f"{kind} {count}" for kind, count in sorted(defects.items()))
    hint = _HINTS.get(max(defects, key=lambda kind: defects[kind]))
    if defects.get("scale"):
        hint = _HINTS["scale"]
    return (
        f"{layout.file}: {sum(defects.values())} of {lines} are malformed ({kinds}): expected "
        f"{layout.expected}{f', where {hint}' if hint else ''}; found {example[:QUOTED]!r}"
    )

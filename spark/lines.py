"""The lines of a MovieLens file as Spark columns: decoded, split, numbered, judged."""

from collections.abc import Sequence

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from movielens import BLANKS, MAX_ID, Defect, Format
from storage import literal

QUOTE = '"'
BOM = "\ufeff"
# Possessive quantifiers, since Java's regular expressions recurse where they might step back.
CSV_FIELD = r'("[^"]*+(?:""[^"]*+)*+"|[^",][^,]*+|)'


def read_raw(spark: SparkSession, uri: str) -> DataFrame:
    """The lines of a file as bytes without their ends, in the file's order: `line` (binary)."""
    return spark.read.text(literal(uri)).select(F.col("value").cast("binary").alias("line"))


def read_lines(spark: SparkSession, uri: str, format: Format) -> DataFrame:
    """The lines of a file that hold data.

    A line is UTF-8 where it can be, else ISO-8859-1: 1M's movies.dat and 100K's u.item are. Blank
    lines and a header in the first line are left out.

    Returns:
        `line` (text), `number` (long; rises with the line's place in the file).
    """
    raw = spark.read.text(literal(uri)).withColumn("number", F.monotonically_increasing_id())
    text = F.when(F.is_valid_utf8("value"), F.col("value")).otherwise(
        F.decode(F.col("value").cast("binary"), "ISO-8859-1")
    )
    # A file is split in order, so that its first line has the number 0 and no other has.
    is_first = F.col("number") == 0
    without_bom = F.when(
        is_first & F.col("line").startswith(BOM), F.substring("line", 2, 2**31 - 1)
    ).otherwise(F.col("line"))
    lines = raw.select(text.alias("line"), "number").select(without_bom.alias("line"), "number")
    if format.header:
        first_column = F.regexp_replace(F.substring_index("line", ",", 1), QUOTE, "")
        is_header = is_first & ~first_column.rlike(r"^[0-9]+\z")
        lines = lines.where(~is_header)
    return lines.where(F.btrim("line", F.lit(BLANKS)) != "")


def columns(line: Column, separator: str, count: int) -> Column:
    """The columns of a line as an array of texts; null where their number is not `count`."""
    split = F.split(line, r"\|" if separator == "|" else separator, -1)
    plain = F.when(F.size(split) == count, split)
    if separator == ",":
        return F.when(line.contains(QUOTE), _csv_columns(line, count)).otherwise(plain)
    return plain


def _csv_columns(line: Column, count: int) -> Column:
    """As `columns`, by the rules of CSV, in which a field may be quoted.

    Not Spark's from_csv: it mends lines whose quotes are wrong, each in its own way, and a line
    with very many columns ends the job.
    """
    pattern = f"^{','.join([CSV_FIELD] * count)}\\z"
    fields = [F.regexp_extract(line, pattern, index + 1) for index in range(count)]
    return F.when(line.rlike(pattern), F.array(*map(_unquoted, fields)))


def _unquoted(field: Column) -> Column:
    inside = F.substring(field, F.lit(2), F.length(field) - 2)
    text = F.replace(inside, F.lit(QUOTE * 2), F.lit(QUOTE))
    return F.when(field.startswith(QUOTE), text).otherwise(field)


def is_id(text: Column) -> Column:
    """Whether a text is a user or movie id."""
    return is_integer(text) & text.try_cast("long").between(1, MAX_ID)


def is_integer(text: Column) -> Column:
    """Whether a text is a whole number of at most 18 digits."""
    return text.rlike(r"^[0-9]{1,18}\z")


def first_defect(checks: Sequence[tuple[Defect, Column]]) -> Column:
    """The defect of the first check that fails, or null where all hold; a null check fails."""
    defect = F.lit(None).cast("string")
    for name, holds in reversed(checks):
        defect = F.when(F.coalesce(holds, F.lit(False)), defect).otherwise(F.lit(name))
    return defect

"""The lines of a MovieLens file as Spark columns: decoded, split, numbered, judged."""

from collections.abc import Sequence

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from movielens import MAX_ID, Defect, Format
from storage import literal

QUOTE = '"'
BOM = "\ufeff"


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
    return lines.where(F.trim("line") != "")


def columns(line: Column, separator: str, count: int) -> Column:
    """The columns of a line as an array of texts; null where their number is not `count`."""
    plain = F.split(line, separator if separator != "|" else r"\|", -1)
    if separator == ",":
        names = [f"c{index}" for index in range(count)]
        schema = ", ".join(f"{name} STRING" for name in names) + ", malformed STRING"
        options = {"escape": QUOTE, "columnNameOfCorruptRecord": "malformed"}
        parsed = F.from_csv(line, schema, options)
        quoted = F.when(
            parsed["malformed"].isNull(),
            F.array(*(F.coalesce(parsed[name], F.lit("")) for name in names)),
        )
        plain = F.when(line.contains(QUOTE), quoted).otherwise(plain)
    return F.when(F.size(plain) == count, plain)


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

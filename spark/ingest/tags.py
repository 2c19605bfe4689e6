"""The tags file: how many users gave each movie each tag."""

from collections import Counter

from spark.contracts.movielens import Format, tag_of
from spark.ingest.lines import data_lines


def read_tags(uri: str, format: Format) -> Counter[tuple[int, str]]:
    """Count the users per movie and tag; bad lines are skipped."""
    return Counter(tag for line in data_lines(uri, format) if (tag := tag_of(line, format)))

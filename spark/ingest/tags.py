"""The tags file: how many users gave each movie each tag."""

from collections import Counter

from spark.contracts.movielens import Layout, tag_of
from spark.ingest.lines import data_lines, read_layout


def read_tags(uri: str, usual: Layout) -> Counter[tuple[int, str]]:
    """Count the users per movie and tag; bad lines are skipped.

    Args:
        uri: of the file.
        usual: layout of its format.

    Raises:
        DatasetError: the file is not one of its format.
    """
    layout = read_layout(uri, usual)
    return Counter(tag for line in data_lines(uri, layout) if (tag := tag_of(line, layout)))

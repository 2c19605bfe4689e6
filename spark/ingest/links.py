"""The links file: the ids of the movies at IMDb and TMDB."""

import logging

from spark.contracts.movielens import DatasetError, Layout
from spark.contracts.movielens_lines import link_of
from spark.ingest.lines import data_lines, read_layout

logger = logging.getLogger(__name__)


def read_links(uri: str, usual: Layout) -> dict[int, dict[str, str | int]]:
    """`imdb_id` and `tmdb_id` by movie id, each where it is known.

    No result depends on them, so a file that cannot be used fails no run: bad lines are skipped,
    and so is a file that is not one of its format; the driver's log says so. If several lines are
    about a movie, the first one counts.

    Args:
        uri: of the file.
        usual: layout of its format.
    """
    links: dict[int, dict[str, str | int]] = {}
    bad = 0
    try:
        layout = read_layout(uri, usual)
    except DatasetError as error:
        logger.warning("not used: %s", error)
        return links
    for line in data_lines(uri, layout):
        if (found := link_of(line, layout)) is None:
            bad += 1
            continue
        movie, imdb, tmdb = found
        ids = {"imdb_id": imdb, "tmdb_id": tmdb}
        links.setdefault(movie, {name: id for name, id in ids.items() if id is not None})
    if bad:
        logger.warning("%s: %d lines without an id are not used", usual.file, bad)
    return links

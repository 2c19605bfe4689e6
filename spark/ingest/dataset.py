"""Reads a MovieLens folder: ratings, movies, tags and links; malformed lines are stored."""

import logging
import math
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from pyspark import SparkContext

from spark.contracts.movielens import OPTIONAL, DatasetError, Format, only_format
from spark.ingest.genome import read_genome
from spark.ingest.lines import read_layout
from spark.ingest.links import read_links
from spark.ingest.movies import Catalogue, catalogue, described, read_movies
from spark.ingest.ratings import Ratings, read_ratings
from spark.ingest.rejects import LineReport, refuse_unusable, write_rejects
from spark.ingest.tags import read_tags
from spark.storage import child, list_files

# The weight of a tag whose relevance is 1: that of a tag which ten users gave.
GENOME_WEIGHT = 1 + math.log(10)

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Dataset:
    """A usable data set.

    Attributes:
        format: of its folder.
        has_timestamps: whether the ratings have them; without, the order of their lines counts.
        line_reports: by file name, the ratings file first.
        ratings: packed; each user and movie once.
        movies: the catalogue.
        duplicate_movies: good lines for a movie that an earlier line describes.
        tags: by movie id and normalised tag, how much the tag says of the movie, as the term
            frequency of TF-IDF (> 0), see `movie_tags`; empty if tags are not read.
    """

    format: Format
    has_timestamps: bool
    line_reports: dict[str, LineReport]
    ratings: Ratings
    movies: Catalogue
    duplicate_movies: int
    tags: Mapping[tuple[int, str], float]

    @property
    def counts(self) -> dict[str, int]:
        """The counts of a data set that the manifest lists."""
        of_ratings, of_movies = self.line_reports.values()
        return {
            "ratings": self.ratings.count,
            "users": self.ratings.users,
            "movies": self.movies.ids.size,
            "duplicates": of_ratings.good - self.ratings.count - self.ratings.left_out,
            "left_out": self.ratings.left_out,
            "duplicate_movies": self.duplicate_movies,
            "rejected": of_ratings.rejected + of_movies.rejected,
        }


def read_dataset(
    context: SparkContext, folder: str, output: str, most: int | None, with_tags: bool
) -> Dataset:
    """Read a folder and store its rejected lines.

    Args:
        context: the Spark context.
        folder: URI of the folder.
        output: the run's prefix, for the rejected lines.
        most: most ratings that count per user, the latest ones; None for all.
        with_tags: whether to read the tags.

    Raises:
        DatasetError: the folder is not of exactly one format, or one of its files is unusable.
    """
    try:
        files = list_files(folder)
    except NotADirectoryError:
        raise DatasetError(f"{folder} is a file: give the folder that holds it") from None
    format = only_format(files, folder)
    of_movies = read_layout(child(folder, format.movies), format.movies_layout)
    of_ratings = read_layout(child(folder, format.ratings), format.ratings_layout)
    listed, movie_report, rejects = read_movies(child(folder, format.movies), of_movies)
    if rejects:
        write_rejects(output, format.movies, 0, rejects)
    has_links = format.links in files
    links = read_links(child(folder, format.links), format.links_layout) if has_links else {}
    with ThreadPoolExecutor(1) as beside:  # the driver has no other work while the workers read
        about = beside.submit(described, listed, links)
        tags = beside.submit(movie_tags, folder, format, files) if with_tags else None
        ratings = read_ratings(context, folder, of_ratings, files[format.ratings], output, most)
        refuse_unusable(of_ratings, ratings.line_report, ratings.samples)
        refuse_unusable(of_movies, movie_report, rejects)
        movies = catalogue(about.result(), ratings.movies, ratings.raters, links)
        weights = tags.result() if tags else {}
    return Dataset(
        format,
        of_ratings.place(OPTIONAL) is not None,
        {format.ratings: ratings.line_report, format.movies: movie_report},
        ratings,
        movies,
        len(listed) - movies.listed,
        weights,
    )


def movie_tags(folder: str, format: Format, files: Collection[str]) -> dict[tuple[int, str], float]:
    """How much each tag says of each movie, by movie id and normalised tag.

    The weight of a tag is u + g: u = 1 + ln(users who gave it), 0 without any; g = (1 + ln 10) ·
    relevance in the tag genome, 0 if it is not among the movie's most relevant tags. So the genome
    alone, where it is sure, weighs as much as ten users, and a tag of both more than of either.
    Movies with and without a genome are on one scale, and without one the weight is u.

    Args:
        folder: URI of the folder.
        format: of the folder.
        files: names of the files in it.

    Raises:
        DatasetError: a file is not one of its format.
    """
    tags: dict[tuple[int, str], float] = {}
    if format.tags in files:
        tags = read_tags(child(folder, format.tags), format.tags_layout)
    genome = {format.genome_scores, format.genome_tags} - {""}
    if missing := genome.difference(files):
        if missing != genome:
            logger.warning("%s is not used: %s is missing", *(genome - missing), *missing)
    elif genome:
        relevant = read_genome(
            child(folder, format.genome_scores),
            format.genome_scores_layout,
            child(folder, format.genome_tags),
            format.genome_tags_layout,
        )
        for tag, relevance in relevant.items():
            tags[tag] = tags.get(tag, 0) + GENOME_WEIGHT * relevance
    return tags

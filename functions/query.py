"""Answers the API: similar titles, movies, runs.

Triggered by API Gateway. One request to DynamoDB answers a warm call: it reads the live pointer and
the movie under the run that was live at the last call, together; only where the pointer has moved
is the movie read again. A client never sees two runs mixed, nor an older run after a newer one.
"""

import os
from typing import Any

import boto3
from aws_lambda_powertools import Logger
from aws_lambda_powertools.logging import correlation_paths
from aws_lambda_powertools.utilities.typing import LambdaContext

import answers
import catalogue
import exchange
import problems
import runs
import similar
from answers import Health, Movies, OneMovie, Run, Runs, SimilarTitles
from explorer import explorer
from live import Live
from questions import LatestRuns, Nothing, OneRun, Search, SimilarTo
from questions import OneMovie as MovieById
from reader import Reader
from routing import Api, Page

logger = Logger()
dynamodb = boto3.resource("dynamodb")
runs_table = dynamodb.Table(os.environ["RUNS_TABLE"])
reader = Reader(dynamodb, os.environ["INDEX_TABLE"], os.environ["RESULTS_BUCKET"])
api = Api()

MINUTE = 60  # for which an answer of a run may be kept; a new run shows as late as that


@logger.inject_lambda_context(
    correlation_id_path=correlation_paths.API_GATEWAY_REST, clear_state=True
)
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:  # noqa: ARG001
    """See the module."""
    request = exchange.request_of(event)
    return exchange.proxied(request, api.answer(request))


@api.route("GET", "/movies/{movie_id}/similar", "Titles similar to a movie", MINUTE, (404, 503))
def get_similar(asked: SimilarTo) -> SimilarTitles:
    """Its neighbours in the live run, the most similar first."""
    return similar.similar_titles(*_movie(asked.movie_id), asked)


@api.route("GET", "/movies/{movie_id}", "One movie", MINUTE, (404, 503))
def get_movie(asked: MovieById) -> OneMovie:
    """Its title, year, genres and how many users rated it."""
    return answers.one_movie(*_movie(asked.movie_id))


@api.route("GET", "/movies", "Movies by title", MINUTE, (503,))
def get_movies(asked: Search) -> Movies:
    """The live run's movies whose titles match, equal titles first, then the most rated."""
    live, titles = reader.titles()
    found = catalogue.search(titles, asked.title, asked.limit)
    return Movies(run_id=live.run_id, movies=[answers.movie(movie) for movie in found])


@api.route("GET", "/runs", "The latest runs, newest first")
def get_runs(asked: LatestRuns) -> Runs:
    """Each with its state, and why it failed where it did."""
    live = reader.live()
    return Runs(
        live_run_id=live.run_id if live else None,
        runs=[answers.run(item) for item in runs.latest(runs_table, asked.limit)],
    )


@api.route("GET", "/runs/{run_id}", "One run", fails=(404,))
def get_run(asked: OneRun) -> Run:
    """Its state, when it entered each, its cluster and its counts."""
    item = runs.get(runs_table, asked.run_id)
    if item is None:
        raise problems.no_such(f"no run {asked.run_id}")
    return answers.run(item)


@api.route("GET", "/health", "Whether the API can answer")
def get_health(asked: Nothing) -> Health:  # noqa: ARG001
    """Also says which run is live, since when, and by which measures it has neighbours."""
    return answers.health(reader.live())


@api.route("GET", "/", "The explorer, a page for people")
def get_explorer(asked: Nothing) -> Page:  # noqa: ARG001
    """Shows what the other routes answer."""
    return explorer()


def _movie(movie_id: int) -> tuple[Live, dict[str, Any]]:
    live, lines = reader.movies([movie_id])
    if movie_id not in lines:
        raise problems.no_such(f"no movie {movie_id} in run {live.run_id}")
    return live, lines[movie_id]

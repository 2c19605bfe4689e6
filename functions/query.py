"""Answers the API: similar titles, movies, runs.

Triggered by API Gateway. One request to DynamoDB answers a warm call: it reads the live pointer and
the movie under the run that was live at the last call, together; only where the pointer has moved
is the movie read again. A client never sees two runs mixed, nor an older run after a newer one.
"""

import os
from http import HTTPStatus
from typing import Annotated, Any

import boto3
from aws_lambda_powertools import Logger
from aws_lambda_powertools.event_handler import APIGatewayRestResolver, Response
from aws_lambda_powertools.event_handler.exceptions import NotFoundError
from aws_lambda_powertools.event_handler.openapi.exceptions import RequestValidationError
from aws_lambda_powertools.event_handler.openapi.params import Path, Query
from aws_lambda_powertools.logging import correlation_paths
from aws_lambda_powertools.utilities.typing import LambdaContext

import answers
import runs
from answers import Health, Movie, Movies, Problem, Run, Runs, SimilarTitles
from reader import BusyError, NotLiveError, Reader
from spark.movielens import MAX_ID

logger = Logger()
app = APIGatewayRestResolver(enable_validation=True)
dynamodb = boto3.resource("dynamodb")
runs_table = dynamodb.Table(os.environ["RUNS_TABLE"])
reader = Reader(
    dynamodb=dynamodb,
    s3=boto3.client("s3"),
    table_name=os.environ["INDEX_TABLE"],
    bucket=os.environ["RESULTS_BUCKET"],
)

type MovieId = Annotated[int, Path(ge=1, le=MAX_ID, description="The data set's id of the movie")]
type Limit = Annotated[int, Query(ge=1, le=50, description="At most so many")]


class NoSuchError(Exception):
    """A movie or run that was asked for by an id that is not there."""


@logger.inject_lambda_context(
    correlation_id_path=correlation_paths.API_GATEWAY_REST, clear_state=True
)
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """See the module."""
    return app.resolve(event, context)


@app.get("/movies/<movie_id>/similar", summary="Titles similar to a movie")
def get_similar(movie_id: MovieId, limit: Limit = 10) -> SimilarTitles:
    """Its neighbours in the live run, the most similar first."""
    live, line = reader.movie(movie_id)
    if line is None:
        raise NoSuchError(f"there is no movie {movie_id} in run {live.run_id}")
    return answers.similar_titles(live, line, limit)


@app.get("/movies/<movie_id>", summary="One movie")
def get_movie(movie_id: MovieId) -> Movie:
    """Its title, year, genres and how many users rated it."""
    live, line = reader.movie(movie_id)
    if line is None:
        raise NoSuchError(f"there is no movie {movie_id} in run {live.run_id}")
    return answers.movie(line)


@app.get("/movies", summary="Movies by title")
def get_movies(
    title: Annotated[str, Query(min_length=1, max_length=200, description="Words of the title")],
    limit: Limit = 10,
) -> Movies:
    """The live run's movies whose titles hold all the words, equal titles first."""
    live, found = reader.search(title, limit)
    return Movies(run_id=live.run_id, movies=[answers.movie(movie) for movie in found])


@app.get("/runs", summary="The latest runs, newest first")
def get_runs(limit: Limit = 20) -> Runs:
    """Each with its state, and why it failed where it did."""
    live = reader.live()
    return Runs(
        live_run_id=live.run_id if live else None,
        runs=[answers.run(item) for item in runs.latest(runs_table, limit)],
    )


@app.get("/runs/<run_id>", summary="One run")
def get_run(run_id: str) -> Run:
    """Its state, when it entered each, its cluster and its counts."""
    item = runs.get(runs_table, run_id)
    if item is None:
        raise NoSuchError(f"there is no run {run_id}")
    return answers.run(item)


@app.get("/health", summary="Whether the API can answer")
def get_health() -> Health:
    """Also says which run is live."""
    live = reader.live()
    return Health(status="ok", live_run_id=live.run_id if live else None)


def problem(status: HTTPStatus, detail: str) -> Response[str]:
    """An error as RFC 9457 problem+json."""
    body = Problem(
        title=status.phrase, status=status, detail=detail, instance=app.current_event.path
    )
    return Response(int(status), "application/problem+json", body.model_dump_json())


@app.exception_handler(RequestValidationError)
def invalid_request(error: RequestValidationError) -> Response[str]:
    """400 for parameters that are missing or out of range."""
    faults = [f"{fault['loc'][-1]}: {fault['msg']}" for fault in error.errors()]
    return problem(HTTPStatus.BAD_REQUEST, "; ".join(faults))


@app.exception_handler(NoSuchError)
def no_such_thing(error: NoSuchError) -> Response[str]:
    """404 for an id that is not there."""
    return problem(HTTPStatus.NOT_FOUND, str(error))


@app.not_found
def no_such_path(error: NotFoundError) -> Response[str]:  # noqa: ARG001
    """404 for a path that no route has."""
    event = app.current_event
    return problem(HTTPStatus.NOT_FOUND, f"there is nothing at {event.http_method} {event.path}")


@app.exception_handler([NotLiveError, BusyError])
def unavailable(error: NotLiveError | BusyError) -> Response[str]:
    """503 while no run is live or the index does not answer."""
    return problem(HTTPStatus.SERVICE_UNAVAILABLE, str(error))


@app.exception_handler(Exception)
def unexpected(error: Exception) -> Response[str]:
    """500 that tells the caller nothing of the inside."""
    logger.exception("unexpected error", exc_info=error)
    return problem(HTTPStatus.INTERNAL_SERVER_ERROR, "something went wrong; it has been logged")

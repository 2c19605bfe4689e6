"""Answers the API: similar titles, movies, runs.

Triggered by API Gateway. One request to DynamoDB answers a warm call: it reads the live pointer and
the movie under the run that was live at the last call, together; only where the pointer has moved
is the movie read again. A client never sees two runs mixed, nor an older run after a newer one.
Where AWS stalls or is busy, the answer is a 503 in time, see `reader.DEADLINE`.
"""

import os
from time import perf_counter
from typing import Any

import boto3
import msgspec
from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.logging import correlation_paths
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext
from msgspec import UNSET

import runs
from clients import PROMPT
from live_pointer import Live
from query import explorer, recommendations, responses, similar, title_search
from query.http import messages, problems, swagger
from query.http.app import App, RawResponse
from query.index_reader import MAX_ATTEMPTS, Reader
from query.requests import (
    AssetQuery,
    MovieQuery,
    NoParameters,
    RecommendationRequest,
    RunQuery,
    RunsQuery,
    SearchQuery,
    SimilarByTitleQuery,
    SimilarQuery,
)
from query.responses import (
    Health,
    MovieOfRun,
    Movies,
    Recommendations,
    Run,
    Runs,
    SimilarByTitle,
    SimilarTitles,
)
from query.title_search import Hit

logger = Logger()
metrics = Metrics()
dynamodb = boto3.resource("dynamodb", config=PROMPT)
runs_table = dynamodb.Table(os.environ["RUNS_TABLE"])
reader = Reader(dynamodb, os.environ["INDEX_TABLE"], os.environ["RESULTS_BUCKET"])
app = App()

ALTERNATIVES = 5  # to the movie that a title is taken to mean
HOUR = 3600
MINUTE = 60  # for which an answer of a run may be kept; a new run shows as late as that


@metrics.log_metrics
@logger.inject_lambda_context(
    correlation_id_path=correlation_paths.API_GATEWAY_REST, clear_state=True
)
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:  # noqa: ARG001
    """See the module."""
    began = perf_counter()
    reader.start_request()
    request = messages.from_event(event)
    proxied = messages.to_gateway(request, app.handle(request))
    took = 1000 * (perf_counter() - began)
    metrics.add_metric("QueryLatency", MetricUnit.Milliseconds, took)
    return proxied


@app.route("GET", "/movies/{movie_id}/similar", "Titles similar to a movie", MINUTE, (404, 503))
def get_similar(asked: SimilarQuery) -> SimilarTitles:
    """Its neighbours in the live run, the most similar first."""
    return similar.similar_titles(*_movie(asked.movie_id), asked)


@app.route("GET", "/movies/{movie_id}", "One movie", MINUTE, (404, 503))
def get_movie(asked: MovieQuery) -> MovieOfRun:
    """Its title, year, genres and how many users rated it."""
    return responses.movie_of_run(*_movie(asked.movie_id))


@app.route("GET", "/movies", "Movies by title", MINUTE, (503,))
def get_movies(asked: SearchQuery) -> Movies:
    """The live run's movies whose titles match, equal titles first, then the most rated."""
    live, hits = _search(asked, asked.limit)
    return Movies(run_id=live.run_id, movies=[responses.movie(hit.movie) for hit in hits])


@app.route("GET", "/similar", "Titles similar to a movie, by its title", MINUTE, (404, 503))
def get_similar_to_title(asked: SimilarByTitleQuery) -> SimilarByTitle:
    """The neighbours of the movie that matches best; `did_you_mean` has what matches as well."""
    for _ in range(MAX_ATTEMPTS):
        live, hits = _search(asked, 1 + ALTERNATIVES)
        if not hits:
            raise problems.not_found(
                f"no movie in run {live.run_id} with a title like {asked.title}"
            )
        movie_id = hits[0].movie["movie_id"]
        current, lines = reader.movies([movie_id])
        if current.run_id == live.run_id:  # else its movies may be others
            return similar.similar_by_title(live, lines[movie_id], hits, asked)
    raise reader.unavailable()


@app.route("POST", "/recommendations", "Titles to watch next", errors=(404, 413, 415, 503))
def post_recommendations(asked: RecommendationRequest) -> Recommendations:
    """From the neighbours of what is liked; each says which liked movies led to it."""
    live, lines = reader.movies(recommendations.requested_ids(asked))
    return recommendations.recommend(live, lines, asked)


@app.route("GET", "/runs", "The latest runs, newest first")
def get_runs(asked: RunsQuery) -> Runs:
    """Each with its state, and why it failed where it did."""
    items = runs.latest(runs_table, asked.limit)
    live = reader.live()  # last: it is not asked for where the first call took too long
    return Runs(
        live_run_id=live.run_id if live else None, runs=[responses.run(item) for item in items]
    )


@app.route("GET", "/runs/{run_id}", "One run", errors=(404,))
def get_run(asked: RunQuery) -> Run:
    """Its state, when it entered each, its cluster and its counts."""
    item = runs.get(runs_table, asked.run_id)
    if item is None:
        raise problems.not_found(f"no run {asked.run_id}")
    return responses.run(item)


@app.route("GET", "/health", "Whether the API can answer")
def get_health(asked: NoParameters) -> Health:  # noqa: ARG001
    """Also says which run is live, since when, and by which measures it has neighbours."""
    return responses.health(reader.live())


@app.route("GET", "/", "The explorer, a page for people")
def get_explorer(asked: NoParameters) -> RawResponse:  # noqa: ARG001
    """Shows what the other routes answer."""
    return explorer.page()


def _movie(movie_id: int) -> tuple[Live, dict[str, Any]]:
    live, lines = reader.movies([movie_id])
    logger.append_keys(run_id=live.run_id)
    if movie_id not in lines:
        raise problems.not_found(f"no movie {movie_id} in run {live.run_id}")
    return live, lines[movie_id]


@app.route("GET", "/openapi.json", "This API's document, OpenAPI 3.1", HOUR)
def get_openapi(asked: NoParameters) -> RawResponse:  # noqa: ARG001
    """Made of the routes, questions and answers themselves."""
    from query.http import openapi  # only this route needs it

    return RawResponse(messages.JSON, msgspec.json.encode(openapi.document(app.routes)))


@app.route("GET", "/docs", "The document to read and to try", HOUR)
def get_docs(asked: NoParameters) -> RawResponse:  # noqa: ARG001
    """Swagger UI; nothing of it comes from elsewhere."""
    return swagger.page()


@app.route("GET", "/docs/{name}", "What that page is made of", HOUR, (404,))
def get_docs_asset(asked: AssetQuery) -> RawResponse:
    """Swagger UI's own files, which Powertools brings."""
    return swagger.asset(asked.name)


def _search(asked: SearchQuery | SimilarByTitleQuery, limit: int) -> tuple[Live, list[Hit]]:
    live, titles = reader.titles()
    hits = title_search.search(
        titles, asked.title, limit, None if asked.year is UNSET else asked.year
    )
    if not hits:
        metrics.add_metric("SearchMisses", MetricUnit.Count, 1)
        logger.info("no title matches", run_id=live.run_id, title=asked.title)
    return live, hits

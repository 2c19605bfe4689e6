"""The API: similar titles, movies, recommendations and runs.

Triggered by API Gateway. A warm request makes one call to DynamoDB: it reads the live pointer
together with the movies of the run that was live at the last request, and reads the movies again
only if the pointer has moved. A client never sees two runs mixed, nor an older run after a newer
one. If AWS stalls or is busy, the response is a 503 in time, see `index_reader.DEADLINE`.
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
import waiting
from clients import PROMPT
from live_pointer import LivePointer
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
    SimilarToManyRequest,
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
    SimilarToMany,
)
from query.title_search import Hit

logger = Logger()
metrics = Metrics()
dynamodb = boto3.resource("dynamodb", config=PROMPT)
runs_table = dynamodb.Table(os.environ["RUNS_TABLE"])
reader = Reader(dynamodb, os.environ["INDEX_TABLE"], os.environ["RESULTS_BUCKET"])
app = App()

INFO = {
    "title": "similar-titles",
    "version": "1",
    "summary": "Titles similar to a movie, by how the same users rated both.",
    "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
}
ALTERNATIVES = 5  # to the best match of a title
HOUR = 3600  # seconds
MINUTE = 60  # seconds that clients may keep a run's responses: the delay until a new run shows


@metrics.log_metrics
@logger.inject_lambda_context(
    correlation_id_path=correlation_paths.API_GATEWAY_REST, clear_state=True
)
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:  # noqa: ARG001
    """Answer one request."""
    started = perf_counter()
    reader.start_request()
    result = app.resolve(event)
    milliseconds = 1000 * (perf_counter() - started)
    metrics.add_metric("QueryLatency", MetricUnit.Milliseconds, milliseconds)
    return result


@app.get(
    "/movies/{movie_id}/similar",
    summary="Titles similar to a movie",
    max_age=MINUTE,
    errors=(404, 503),
)
def get_similar(query: SimilarQuery) -> SimilarTitles:
    """Its neighbours in the live run, the most similar first."""
    return similar.similar_titles(*_movie(query.movie_id), query)


@app.get("/movies/{movie_id}", summary="One movie", max_age=MINUTE, errors=(404, 503))
def get_movie(query: MovieQuery) -> MovieOfRun:
    """Its title, year, genres and number of ratings."""
    return responses.movie_of_run(*_movie(query.movie_id))


@app.get("/movies", summary="Movies by title", max_age=MINUTE, errors=(503,))
def get_movies(query: SearchQuery) -> Movies:
    """The live run's movies whose titles match, equal titles first, then the most rated."""
    live, hits = _search(query, query.limit)
    note = hits[0].note if hits else None
    movies = [responses.movie(hit.movie) for hit in hits]
    return Movies(run_id=live.run_id, movies=movies, note=note)


@app.get(
    "/similar",
    summary="Titles similar to a movie, by its title",
    max_age=MINUTE,
    errors=(404, 503),
)
def get_similar_to_title(query: SimilarByTitleQuery) -> SimilarByTitle:
    """The neighbours of the best match; `did_you_mean` lists the movies that match equally well."""
    for _ in range(MAX_ATTEMPTS):
        live, hits = _search(query, 1 + ALTERNATIVES)
        if not hits:
            raise problems.not_found(
                f"no movie in run {live.run_id} with a title like {query.title}"
            )
        movie_id = hits[0].movie["movie_id"]
        current, lines = reader.movies([movie_id])
        if current.run_id == live.run_id:  # otherwise an id may mean another movie
            return similar.similar_by_title(live, lines[movie_id], hits, query)
    raise reader.unavailable()


@app.post("/similar", summary="Titles similar to several movies", errors=(413, 415, 503))
def post_similar(request: SimilarToManyRequest) -> SimilarToMany:
    """One list for each of up to 100 movies, in the order of the request."""
    live, items = reader.items(similar.many_ids(request))
    return similar.similar_to_many(live, items, request)


@app.post("/recommendations", summary="Titles to watch next", errors=(404, 413, 415, 503))
def post_recommendations(request: RecommendationRequest) -> Recommendations:
    """From the neighbours of liked movies; each title names the liked movies that led to it."""
    live, lines = reader.movies(recommendations.requested_ids(request))
    return recommendations.recommend(live, lines, request)


@app.get("/runs", summary="The latest runs, newest first")
def get_runs(query: RunsQuery) -> Runs:
    """Each with its state and, if it failed, the reason; also the dropped folders without a run."""
    latest = []
    for item in runs.latest(runs_table, query.limit):
        reader.check_deadline()  # the next item may need a further call
        latest.append(responses.run(item))
    live = reader.live()
    reader.check_deadline()
    drops = waiting.stored(runs_table, waiting.MAX_SHOWN)
    return Runs(
        live_run_id=live.run_id if live else None,
        runs=latest,
        waiting=[responses.waiting_drop(item) for item in drops],
    )


@app.get("/runs/{run_id}", summary="One run", errors=(404,))
def get_run(query: RunQuery) -> Run:
    """Its state, the time of each transition, its cluster and its counts."""
    item = runs.get(runs_table, query.run_id)
    if item is None:
        raise problems.not_found(f"no run {query.run_id}")
    return responses.run(item)


@app.get("/health", summary="Whether the API can answer")
def get_health(query: NoParameters) -> Health:  # noqa: ARG001
    """Also names the live run, the time it went live and its measures."""
    return responses.health(reader.live())


@app.get("/", summary="The explorer, a page for people")
def get_explorer(query: NoParameters) -> RawResponse:  # noqa: ARG001
    """Shows the responses of the other routes."""
    return explorer.page()


@app.get("/openapi.json", summary="The OpenAPI 3.1 document of this API", max_age=HOUR)
def get_openapi(query: NoParameters) -> RawResponse:  # noqa: ARG001
    """Made from the routes and their classes."""
    from query.examples import EXAMPLES  # only this route needs these two
    from query.http import openapi

    document = openapi.document(INFO, app.routes, EXAMPLES)
    return RawResponse(messages.JSON, msgspec.json.encode(document))


@app.get("/docs", summary="The documentation as a page", max_age=HOUR)
def get_docs(query: NoParameters) -> RawResponse:  # noqa: ARG001
    """Swagger UI."""
    return swagger.page()


@app.get("/docs/{name}", summary="A file of the documentation page", max_age=HOUR, errors=(404,))
def get_docs_asset(query: AssetQuery) -> RawResponse:
    """A script or a stylesheet."""
    return swagger.asset(query.name)


def _movie(movie_id: int) -> tuple[LivePointer, dict[str, Any]]:
    """The live run and a movie's line of `neighbours/`."""
    live, lines = reader.movies([movie_id])
    logger.append_keys(run_id=live.run_id)
    if movie_id not in lines:
        raise problems.not_found(f"no movie {movie_id} in run {live.run_id}")
    return live, lines[movie_id]


def _search(query: SearchQuery | SimilarByTitleQuery, limit: int) -> tuple[LivePointer, list[Hit]]:
    """The live run and its movies whose titles match, the best match first."""
    live, titles = reader.titles()
    year = None if query.year is UNSET else query.year
    hits = title_search.search(titles, query.title, limit, year)
    if not hits:
        metrics.add_metric("SearchMisses", MetricUnit.Count, 1)
        logger.info("no title matches", run_id=live.run_id, title=query.title)
    return live, hits

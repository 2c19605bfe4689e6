"""The API: similar titles, movies, recommendations and runs.

Triggered by API Gateway. A warm request makes one call to DynamoDB: it reads the live pointer
together with the movies of the run that was live at the last request, and reads the movies again
only if the pointer has moved. A client never sees two runs mixed, nor an older run after a newer
one. If AWS stalls or is busy, the response is a 503 in time, see `index_reader.DEADLINE`.
"""

import gc
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
from query import explorer, recommendations, responses, run_responses, similar
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
    MovieOfRun,
    Movies,
    Recommendations,
    SimilarByTitle,
    SimilarTitles,
    SimilarToMany,
)
from query.run_responses import Health, Run, Runs
from query.search import title_search
from query.search.title_search import Hit

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
    "description": "Finds movies by title, lists the titles most similar to a movie, and recommends"
    " titles from movies that a person likes. Every response comes from one finished run over a"
    " MovieLens data set and names it; no caller data is stored.",
    "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
}
TAGS = {
    "movies": "Find movies",
    "similar": "Titles similar to movies",
    "recommendations": "Titles to watch next",
    "runs": "The state of the data behind the answers",
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
    errors=(404,),
    tag="similar",
)
def get_similar(query: SimilarQuery) -> SimilarTitles:
    """A movie's neighbours in the live run, the most similar first.

    Use it when you know the movie's id. With a title only, use `get_similar_to_title`; with
    several ids, `post_similar`.
    """
    return similar.similar_titles(*_movie(query.movie_id), query)


@app.get("/movies/{movie_id}", summary="One movie", max_age=MINUTE, errors=(404,), tag="movies")
def get_movie(query: MovieQuery) -> MovieOfRun:
    """A movie's title, year, genres and number of ratings.

    Use it to show a movie of which you know only the id. Lists of titles already have all of this.
    """
    return responses.movie_of_run(*_movie(query.movie_id))


@app.get("/movies", summary="Movies by title", max_age=MINUTE, tag="movies")
def get_movies(query: SearchQuery) -> Movies:
    """The live run's movies whose titles match, equal titles first, then the most rated.

    Use it to find a movie's id from what a person typed, with typing errors or as `godfather 2`.
    """
    live, hits = _search(query, query.limit)
    note = hits[0].note if hits else None
    movies = [responses.movie(hit.movie) for hit in hits]
    return Movies(run_id=live.run_id, movies=movies, note=note)


@app.get(
    "/similar",
    summary="Titles similar to a movie, by its title",
    max_age=MINUTE,
    errors=(404,),
    tag="similar",
)
def get_similar_to_title(query: SimilarByTitleQuery) -> SimilarByTitle:
    """The neighbours of the best match; `did_you_mean` lists the movies that match equally well.

    Use it to answer in one call what is like a title that a person typed. `movie` in the response
    is the movie that was found: check that it is the one that was meant.
    """
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


@app.post(
    "/similar",
    summary="Titles similar to several movies",
    errors=(413, 415),
    tag="similar",
)
def post_similar(request: SimilarToManyRequest) -> SimilarToMany:
    """One list of similar titles for each of up to 100 movies, in the order of the request.

    Use it for several movies instead of one `get_similar` each. For a single list of titles that
    suit all of them, use `post_recommendations`.
    """
    live, items = reader.items(similar.many_ids(request))
    return similar.similar_to_many(live, items, request)


@app.post(
    "/recommendations",
    summary="Titles to watch next",
    errors=(404, 413, 415),
    tag="recommendations",
)
def post_recommendations(request: RecommendationRequest) -> Recommendations:
    """Titles near the liked movies; each names the liked movies that led to it.

    Use it when you know the ids of one or more movies that a person likes, and perhaps dislikes;
    `get_movies` finds ids. Nothing about the person is stored.
    """
    live, lines = reader.movies(recommendations.requested_ids(request))
    return recommendations.recommend(live, lines, request)


@app.get("/runs", summary="The latest runs, newest first", tag="runs")
def get_runs(query: RunsQuery) -> Runs:
    """Runs with their states and, if they failed, the reasons; also the folders without a run.

    Use it to see which data sets were processed, what failed, and what still waits and for what.
    """
    latest = []
    for item in runs.latest(runs_table, query.limit):
        reader.check_deadline()  # the next item may need a further call
        latest.append(run_responses.run(item))
    live = reader.live()
    reader.check_deadline()
    drops = waiting.stored(runs_table, waiting.MAX_SHOWN)
    return Runs(
        live_run_id=live.run_id if live else None,
        runs=latest,
        waiting=[run_responses.waiting_drop(item) for item in drops],
    )


@app.get("/runs/{run_id}", summary="One run", errors=(404,), tag="runs")
def get_run(query: RunQuery) -> Run:
    """A run's state, the time of each transition, its cluster and its counts.

    Use it to follow one run or to see what it changed; `get_runs` lists the ids.
    """
    item = runs.get(runs_table, query.run_id)
    if item is None:
        raise problems.not_found(f"no run {query.run_id}")
    return run_responses.run(item)


@app.get("/health", summary="Whether the API can answer", tag="runs")
def get_health(query: NoParameters) -> Health:  # noqa: ARG001
    """Whether a run is live: its id, the time it went live and its measures.

    Use it to check the API, and to learn the values of `measure` before you choose one.
    """
    return run_responses.health(reader.live())


@app.get("/", summary="The explorer, a page for people")
def get_explorer(query: NoParameters) -> RawResponse:  # noqa: ARG001
    """Shows the responses of the other routes."""
    return explorer.page()


@app.get("/openapi.json", summary="The OpenAPI 3.1 document of this API", max_age=HOUR)
def get_openapi(query: NoParameters) -> RawResponse:  # noqa: ARG001
    """Made from the routes and their classes."""
    return RawResponse(messages.JSON, msgspec.json.encode(_document()))


@app.get("/llms.txt", summary="This API for language models", max_age=HOUR)
def get_llms(query: NoParameters) -> RawResponse:  # noqa: ARG001
    """A summary of the OpenAPI document in the form of https://llmstxt.org."""
    from query.http import llms

    return llms.page(_document(), app.routes)


@app.get("/docs", summary="The documentation as a page", max_age=HOUR)
def get_docs(query: NoParameters) -> RawResponse:  # noqa: ARG001
    """Swagger UI."""
    return swagger.page()


@app.get("/docs/{name}", summary="A file of the documentation page", max_age=HOUR, errors=(404,))
def get_docs_asset(query: AssetQuery) -> RawResponse:
    """A script or a stylesheet."""
    return swagger.asset(query.name)


def _document() -> dict[str, Any]:
    """The OpenAPI document."""
    from query.examples import EXAMPLES, PROBLEMS  # only the documentation needs these
    from query.http import openapi

    return openapi.document(INFO, TAGS, app.routes, EXAMPLES, PROBLEMS)


def _movie(movie_id: int | str) -> tuple[LivePointer, dict[str, Any]]:
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


# What is imported by now lives as long as the function. If the garbage collector walked through all
# of it now and then, that would add tens of milliseconds to a request.
gc.freeze()

"""`make demo`: the pipeline from a dropped folder to the API's similar titles."""

import gzip
import json
import shutil
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from rich import box
from rich.console import Console
from rich.table import Table

from local import drops
from local.cloud import Cloud
from query.run_responses import Run
from runs.states import State
from tools.data_sets import folder_of
from tools.paths import ROOT
from tools.progress import StageProgress

FAVOURITE = "Toy Story (1995)"
SHOWN = 10

type Movie = dict[str, Any]


class DemoError(Exception):
    """The demo failed; the message says why."""


def demo(dataset: str, movie: str | None) -> None:
    """Run the pipeline on a data set and print the titles similar to a movie.

    Args:
        dataset: a name or path that `data_sets.folder_of` accepts.
        movie: an id or a title; by default a well-known or popular movie.

    Raises:
        DemoError, NoDataSetError, CloudError, RunError: the demo failed; the message says why.
    """
    folder = folder_of(dataset)
    with StageProgress() as progress:
        progress.stage("local cloud", "building and deploying template.yaml")
        with Cloud.start() as cloud:
            try:
                run = _run(cloud, folder, progress)
                answer = _get(cloud, f"/movies/{_choose(cloud, run, movie)}/similar?limit={SHOWN}")
            except Exception:
                _keep_log(cloud)
                raise
            progress.done()
    _show(answer)


def _run(cloud: Cloud, folder: Path, progress: StageProgress) -> Run:
    """Drop a folder and follow its run until it is live."""
    progress.stage("drop", folder.name)
    drops.drop(
        cloud.client("s3"),
        cloud.outputs["DatasetsBucket"],
        folder,
        folder.name,
        progress.transferred,
    )
    state = None
    for run in drops.follow(cloud, folder.name):
        if run.state != state:
            state = run.state
            progress.stage(state, State[state].label)
        if parts := run.indexed:
            progress.note(f"{parts.parts} of {parts.of} parts", parts.parts, parts.of)
    if state != "LIVE":
        raise DemoError(f"run {run.run_id} is {state}: {run.reason or 'no reason given'}")
    progress.done(", ".join(f"{count:,} {what}" for what, count in (run.counts or {}).items()))
    return run


def _choose(cloud: Cloud, run: Run, movie: str | None) -> int:
    """Return the id of the requested movie, or of one that has similar titles."""
    if movie and movie.isdecimal():
        return int(movie)
    found = _get(cloud, "/movies?" + urlencode({"title": movie or FAVOURITE}))["movies"]
    if movie:
        if not found:
            raise DemoError(f"{run.folder} has no movie with the title {movie}")
        return found[0]["movie_id"]
    for candidate in [each for each in found if each["title"] == FAVOURITE] + _popular(cloud, run):
        id: int = candidate["movie_id"]
        if _get(cloud, f"/movies/{id}/similar?limit=1")["similar"]:
            return id
    raise DemoError("none of the movies has similar titles: too few users rated the same ones")


def _popular(cloud: Cloud, run: Run) -> list[Movie]:
    """Return the run's movies, most rated first."""
    s3, bucket = cloud.client("s3"), cloud.outputs["ResultsBucket"]
    listed = s3.list_objects_v2(Bucket=bucket, Prefix=f"runs/{run.run_id}/titles/")
    key = listed["Contents"][0]["Key"]
    text = gzip.decompress(s3.get_object(Bucket=bucket, Key=key)["Body"].read())
    movies = [json.loads(line) for line in text.splitlines()]
    return sorted(movies, key=lambda movie: -movie["ratings"])


def _get(cloud: Cloud, path: str) -> Any:
    """Send a GET request to the API and return the body.

    Raises:
        DemoError: the API answered with an error.
    """
    status, body = cloud.get(path)
    if status != 200:
        raise DemoError(f"the API answered {status}: {body.get('detail', body)}")
    return body


def _show(answer: dict[str, Any]) -> None:
    movie = answer["movie"]
    title = movie["title"] or f"movie {movie['movie_id']}"
    genres = ", ".join(movie["genres"])
    columns = ("rank", "title", "genres", "score", "co-raters")
    heading = f"Similar to {title}" + (f": {genres}" if genres else "")
    table = Table(*columns, title=heading, box=box.SIMPLE)
    table.columns[1].no_wrap = True
    for column in (0, 3, 4):
        table.columns[column].justify = "right"
    for each in answer["similar"]:
        name = each["title"] or f"movie {each['movie_id']}"
        score, co_raters = f"{each['score']:.4f}", str(each["co_raters"])
        table.add_row(str(each["rank"]), name, ", ".join(each["genres"]), score, co_raters)
    console = Console()
    if answer["similar"]:
        console.print(table, markup=False)
    else:
        console.print(f"Nothing is similar to {title}: {answer.get('reason')}", markup=False)
    source = f"{answer['measure']}, run {answer['run_id']}, {answer['total']} neighbours in all"
    console.print(source, markup=False)


def _keep_log(cloud: Cloud) -> None:
    """Keep the emulator's log after a failure; it contains the functions' logs."""
    kept = ROOT / ".local" / "emulator.log"
    kept.parent.mkdir(exist_ok=True)
    shutil.copyfile(cloud.folder / "emulator.log", kept)

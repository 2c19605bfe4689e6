"""`make screenshots`: the README's pictures of the explorer, on synthetic MovieLens."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlencode

import click
from playwright.sync_api import Browser

from local import drops
from local.cloud import Cloud, CloudError
from local.drops import RunError
from local.process import prepare_process
from pictures.browser import NoBrowserError, browser
from tools.command_line import HELP_OPTIONS, errors_as_exit_status, module_examples
from tools.data_sets import NoDataSetError, folder_of
from tools.job_archive import ArchiveError
from tools.paths import ROOT
from tools.progress import StageProgress
from tools.setup.java import NoJavaError

IMAGES = ROOT / "docs" / "images"


@dataclass(frozen=True)
class Picture:
    """One screenshot.

    Attributes:
        view: query parameters of the page, besides the movie.
        width: width of the window in pixels.
        height: height of the window in pixels.
        scheme: the preferred colour scheme.
        density: pixels of the picture per pixel of the window.
    """

    view: Mapping[str, str]
    width: int = 1000
    height: int = 800
    scheme: Literal["light", "dark"] = "light"
    density: float = 1


PICTURES = {
    "explorer": Picture({}),
    "explorer-dark": Picture({}, scheme="dark"),
    "explorer-side-by-side": Picture({"measure": "ease", "beside": "full-cosine"}, width=1240),
    "explorer-phone": Picture({}, width=390, height=780, density=1.5),
}


def screenshots() -> None:
    """Run the pipeline on the sample and write the screenshots to docs/images.

    Raises:
        NoDataSetError, CloudError, RunError, NoBrowserError: it failed; the message says why.
    """
    folder = folder_of("sample")
    with StageProgress() as progress, browser() as chromium:
        progress.stage("local cloud")
        with Cloud.start() as cloud:
            progress.stage("run")
            s3, bucket = cloud.client("s3"), cloud.outputs["DatasetsBucket"]
            drops.drop(s3, bucket, folder, folder.name)
            *_, run = drops.follow(cloud, folder.name)
            if run.state != "LIVE":
                raise RunError(f"run {run.run_id} is {run.state}: {run.reason}")
            movie = most_rated(cloud)
            IMAGES.mkdir(exist_ok=True)
            for file, picture in PICTURES.items():
                progress.stage(file)
                url = f"{cloud.api_url}/?{urlencode({'movie': movie, **picture.view})}"
                take(chromium, url, picture, IMAGES / f"{file}.png")


def most_rated(cloud: Cloud) -> int:
    """Return the id of a much rated movie.

    Raises:
        CloudError: the API answered with an error.
    """
    status, body = cloud.get("/movies?title=the&limit=1")
    if status != 200:
        raise CloudError(f"the API answered {status}: {body}")
    return body["movies"][0]["movie_id"]


def take(chromium: Browser, url: str, picture: Picture, path: Path) -> None:
    """Take one screenshot of a page after it has loaded."""
    context = chromium.new_context(
        viewport={"width": picture.width, "height": picture.height},
        device_scale_factor=picture.density,
        color_scheme=picture.scheme,
    )
    page = context.new_page()
    page.goto(url)
    page.locator("main:not([aria-busy]) .rows li").first.wait_for()
    page.locator("#run").wait_for()
    page.screenshot(path=path)
    context.close()


@click.command(context_settings=HELP_OPTIONS, epilog=module_examples("pictures.screenshots", ""))
@errors_as_exit_status(
    NoDataSetError, CloudError, RunError, ArchiveError, NoBrowserError, NoJavaError
)
def main() -> None:
    """Write the explorer's screenshots to docs/images."""
    prepare_process()
    screenshots()


if __name__ == "__main__":
    main(prog_name="python -m pictures.screenshots")

"""A browser without a window, for the page's tests and its screenshots."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
# It asks this machine's addresses and nobody else, not even for news of itself.
FLAGS = (
    "--no-sandbox",  # which root cannot have; it only ever sees our own page
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


class NoBrowserError(Exception):
    """There is none on this machine."""


@contextmanager
def browser() -> Iterator[Browser]:
    """The system's Chromium, with a profile of its own that is gone afterwards.

    Raises:
        NoBrowserError: there is none; the message says how to get one.
    """
    path = next((path for name in NAMES if (path := shutil.which(name))), None)
    if path is None:
        raise NoBrowserError("there is no Chromium on PATH: apt-get install chromium, or the like")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        yield started
        started.close()

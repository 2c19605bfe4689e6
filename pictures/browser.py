"""A headless browser for the page's tests and screenshots."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
# The browser connects to this machine only, and does not look for updates.
FLAGS = (
    "--no-sandbox",  # root cannot use the sandbox, and only our own page is opened
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


class NoBrowserError(Exception):
    """This machine has no browser; the message says how to install one."""


@contextmanager
def browser() -> Iterator[Browser]:
    """Start the system's Chromium with a temporary profile.

    Raises:
        NoBrowserError: there is no Chromium on PATH.
    """
    path = next((path for name in NAMES if (path := shutil.which(name))), None)
    if path is None:
        raise NoBrowserError(
            "there is no Chromium on PATH: install it, for example Debian's chromium"
        )
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        yield started
        started.close()

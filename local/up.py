"""`make local`: a local cloud that stays up until it is interrupted."""

import fcntl
import os
import shlex
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from local.cloud import ROOT, Cloud, CloudError
from local.runs import PATIENCE_SECONDS, POLL_SECONDS, Run, RunError, all_runs
from local.screen import Screen

FOLDER = ROOT / ".local"


def up() -> None:
    """Start a cloud, say how to use it, and tell of its runs until interrupted."""
    with Screen() as screen:
        screen.stage("local cloud", "building and deploying template.yaml")
        with Cloud.start() as cloud, environment_file(cloud.environment) as path:
            screen.done()
            print(usage(path, cloud), flush=True)
            _tell(cloud)


def usage(path: Path, cloud: Cloud) -> str:
    """What to type next."""
    shown = path.relative_to(ROOT)
    others = "" if path.name == "env" else f" (another one is up: this one is in {shown})"
    return f"""
The local cloud is up{others}. In another shell:

  source {shown}
  aws s3 cp --recursive ml-latest-small "s3://$DATASETS_BUCKET/ml-latest-small/"
  curl "$API_URL/runs"
  curl "$API_URL/movies/1/similar?limit=5"

API: {cloud.api_url}
Ctrl-C ends it and leaves nothing behind.
"""


@contextmanager
def environment_file(environment: Mapping[str, str], folder: Path = FOLDER) -> Iterator[Path]:
    """A file of shell lines that export an environment, there while the block lasts.

    Its name is `env`, or `env-2`, `env-3`... where other clouds of this clone are up.
    """
    folder.mkdir(exist_ok=True)
    number = 1
    while True:
        path = folder / ("env" if number == 1 else f"env-{number}")
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            # A file that nobody has locked is left over from a cloud that was killed.
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            os.close(file)
            number += 1
    try:
        lines = [f"export {name}={shlex.quote(value)}\n" for name, value in environment.items()]
        os.ftruncate(file, 0)
        os.write(file, "".join(lines).encode())
        yield path
    finally:
        path.unlink(missing_ok=True)
        os.close(file)


def _tell(cloud: Cloud) -> None:
    """Print a line for each state that a run comes to, for ever.

    Raises:
        CloudError, RunError: the API has not answered for too long.
    """
    told: dict[str, str] = {}
    answered = time.monotonic()
    while True:
        runs: list[Run] = []
        try:
            runs = all_runs(cloud)
            answered = time.monotonic()
        except (CloudError, RunError):  # one slow answer ends no cloud that others work with
            if time.monotonic() - answered > PATIENCE_SECONDS:
                raise
        for run in reversed(runs):
            if told.get(run["run_id"]) != run["state"]:
                told[run["run_id"]] = run["state"]
                why = f": {run['reason']}" if run.get("reason") else ""
                clock = time.strftime("%H:%M:%S")
                print(f"{clock}  {run['folder']}  {run['state']}{why}", flush=True)
        time.sleep(POLL_SECONDS)

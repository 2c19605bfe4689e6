"""Keeps Spark's classes in a form that Java loads at once: a class-data-sharing archive.

A job on this machine starts a JVM, which reads and verifies thousands of classes for a second or
more. The archive is made once, at set-up, by a run of the job on a handful of ratings.
"""

import hashlib
import os
import subprocess
import tempfile
from functools import cache
from importlib.metadata import version
from pathlib import Path

from tools.paths import ROOT
from tools.setup.java import NoJavaError, java_home

BUILD = ROOT / "build"
# The JVM ignores an archive that does not fit it, for example after an update, and says nothing.
QUIET = "-Xlog:cds=off -Xlog:cds+dynamic=off"


@cache
def options() -> str:
    """Options for a JVM that runs Spark; empty if there is no archive for it."""
    path = archive_path()
    return f"-XX:SharedArchiveFile={path} {QUIET}" if path and path.exists() else ""


def archive_path() -> Path | None:
    """Where the archive for this machine's Java and Spark is; None without a Java."""
    try:
        release = java_home() / "release"
    except NoJavaError:
        return None
    known = (
        f"{ROOT} {version('pyspark')} {release} {release.read_text() if release.exists() else ''}"
    )
    return BUILD / f"spark-classes-{hashlib.sha256(known.encode()).hexdigest()[:16]}.jsa"


def make() -> None:
    """Make the archive if it is missing. Without one everything works, but starts later."""
    path = archive_path()
    if path is None or path.exists():
        return
    BUILD.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=BUILD) as scratch:
        folder, made = Path(scratch), Path(scratch) / "spark.jsa"
        _write_ratings(folder / "dataset")
        command = [
            *(str(ROOT / ".venv" / "bin" / "spark-submit"), "--master", "local[2]"),
            *("--driver-java-options", f"-XX:ArchiveClassesAtExit={made} {QUIET}"),
            *("--conf", "spark.ui.enabled=false", "--conf", "spark.driver.host=127.0.0.1"),
            *("--conf", f"spark.local.dir={folder}", str(ROOT / "spark" / "similarity_job.py")),
            *("--dataset", str(folder / "dataset"), "--output", str(folder / "output")),
        ]
        environment = os.environ | {
            "JAVA_HOME": str(java_home()),
            "SPARK_LOCAL_IP": "127.0.0.1",
            "PYSPARK_PYTHON": str(ROOT / ".venv" / "bin" / "python"),
        }
        subprocess.run(command, env=environment, capture_output=True, check=False)
        if made.exists():  # a Java without an archive of its own classes makes none
            made.replace(path)


def _write_ratings(folder: Path) -> None:
    """Write a folder in which 40 users rate the same 20 movies."""
    folder.mkdir()
    ratings = (
        f"{user}::{movie}::{1 + (user * movie) % 5}::1\n"
        for user in range(1, 41)
        for movie in range(1, 21)
    )
    (folder / "ratings.dat").write_text("".join(ratings))
    (folder / "movies.dat").write_text(
        "".join(f"{movie}::Movie {movie} (1990)::Drama\n" for movie in range(1, 21))
    )


if __name__ == "__main__":
    make()

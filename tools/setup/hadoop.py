"""Downloads the jars of YARN and S3A from Maven Central, as requirements/yarn.sha256 locks them."""

import hashlib
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import click

from tools.command_line import HELP_OPTIONS, errors_as_exit_status, module_examples
from tools.paths import ROOT
from tools.setup.java import system_java

POM = ROOT / "requirements" / "yarn.xml"
LOCK = ROOT / "requirements" / "yarn.sha256"
PLUGIN = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies"


class HadoopError(Exception):
    """Hadoop cannot be installed on this machine; the message says why."""


def locked() -> dict[str, str]:
    """Return the SHA-256 of each locked jar, by name."""
    rows = (line.split() for line in LOCK.read_text().splitlines())
    return {name: sha256 for sha256, name in rows}


def missing() -> str | None:
    """Return what this machine lacks to run YARN, or None if nothing is missing."""
    if sys.platform != "linux" or not shutil.which("unshare"):
        return "YARN needs Linux with unshare of util-linux, for its own namespaces"
    if system_java() is None:
        return "YARN needs a JDK 17: install one, for example Debian's openjdk-17-jre-headless"
    if not _folder().is_dir() and not shutil.which("mvn"):
        return "YARN's jars are downloaded by Maven: install it, for example Debian's maven"
    return None


def jars() -> Path:
    """Return the folder of the jars; download and check them the first time.

    Raises:
        HadoopError: the jars cannot be downloaded, or differ from the locked ones.
    """
    folder = _folder()
    if not folder.is_dir():
        if what := missing():
            raise HadoopError(what)
        folder.parent.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
            fetched = Path(scratch) / "jars"
            _fetch(fetched)
            check(fetched)
            fetched.rename(folder)
    return folder


def check(folder: Path) -> None:
    """Check that a folder contains the locked jars and nothing else.

    Raises:
        HadoopError: it does not.
    """
    found, wanted = _digests(folder), locked()
    for name in sorted(found.keys() | wanted.keys()):
        if found.get(name) != wanted.get(name):
            raise HadoopError(f"{name} differs from requirements/yarn.sha256: see `make lock`")


def _folder() -> Path:
    return ROOT / "build" / f"hadoop-{hashlib.sha256(LOCK.read_bytes()).hexdigest()[:16]}"


def _fetch(folder: Path) -> None:
    command = ["mvn", "--batch-mode", "--quiet", "--file", str(POM), PLUGIN]
    command += [f"-DoutputDirectory={folder}", "-DincludeScope=runtime"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise HadoopError(f"Maven could not download YARN:\n{done.stdout[-2000:]}")


def _digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


@click.command(
    context_settings=HELP_OPTIONS,
    epilog=module_examples("tools.setup.hadoop", "", "--adopt"),
)
@click.option("--adopt", is_flag=True, help="Lock the jars that requirements/yarn.xml gives now.")
@errors_as_exit_status(HadoopError)
def main(adopt: bool) -> None:
    """Download the jars of YARN and S3A, and print their folder."""
    if adopt:
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch) / "jars"
            _fetch(folder)
            rows = sorted((name, sha256) for name, sha256 in _digests(folder).items())
        LOCK.write_text("".join(f"{sha256}  {name}\n" for name, sha256 in rows))
    click.echo(jars().relative_to(ROOT))


if __name__ == "__main__":
    main(prog_name="python -m tools.setup.hadoop")

"""Builds the job archive, which carries the job's native code to a cluster's nodes.

The archive contains the packages that requirements/job.txt locks and the job's compiled loops, for
Linux on x86-64 and Python 3.13. It depends on nothing else: the same lock and the same C files give
the same archive. `spark/environment.sha256` names the archive that this commit's job needs, by the
SHA-256 of a tar of its files.

The archive also contains the modules' bytecode, because nodes cannot write bytecode to the folder
into which YARN unpacks an archive, and every Python process would compile all its imports. The
SHA-256 covers neither bytecode nor compression: bytecode differs between releases of Python 3.13,
zlib between systems.
"""

import compileall
import gzip
import hashlib
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path
from py_compile import PycInvalidationMode
from typing import Any

import boto3
import click
from botocore.exceptions import BotoCoreError, ClientError

from s3_keys import environment_key
from spark.runtime import native
from tools.command_line import HELP_OPTIONS, errors_as_exit_status, module_examples
from tools.paths import ROOT

LOCK = ROOT / "requirements" / "job.txt"
LOCKED_SHA256 = ROOT / "spark" / "environment.sha256"
BUILD = ROOT / "build"
# Files that nobody imports: tests, headers, sources, and parts of pyarrow and SciPy that neither
# Spark nor the job uses. YARN unpacks every file on every node.
UNUSED_FOLDERS = frozenset({"tests", "include", "__pycache__", "bin"})
UNUSED_SUFFIXES = frozenset({".pyx", ".pxd", ".pxi", ".h", ".hpp", ".c", ".cpp", ".pyi", ".a"})
UNUSED_IN_SCIPY = frozenset(
    {"cluster", "datasets", "differentiate", "fftpack", "integrate", "interpolate", "io", "misc"}
    | {"ndimage", "odr", "signal", "stats"}
)
UNUSED_PARTS = ("flight", "_orc", "_azurefs", "_gcsfs", "gandiva")


class ArchiveError(Exception):
    """The archive could not be built or uploaded, or is not the locked one."""


def archive_path(sha256: str) -> Path:
    """Return the path of the archive with a SHA-256."""
    return BUILD / f"environment-{sha256}.tar.gz"


def locked_sha256() -> str:
    """Return the SHA-256 of the archive that this commit's job needs."""
    return LOCKED_SHA256.read_text().strip()


def ensure_archive() -> Path:
    """Return the path of the archive that this commit's job needs; build it if missing.

    Raises:
        ArchiveError: the build failed, or its result is not the locked archive.
    """
    path = archive_path(locked_sha256())
    if not path.exists():
        built = build()
        if built != path:
            raise ArchiveError(
                f"requirements/job.txt and the C files of spark/ give {built.name}, but "
                f"spark/environment.sha256 names {path.name}: run `python -m tools.job_archive "
                "--adopt`, or `make lock`, and commit what it changes"
            )
    return path


def build() -> Path:
    """Build the archive and return its path."""
    BUILD.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=BUILD) as scratch:
        target = Path(scratch) / "environment"
        install(target)
        prune(target)
        native.build(target / native.LIBRARY, native.CLUSTER)
        packed = Path(scratch) / "environment.tar"
        pack(target, packed)
        with packed.open("rb") as content:
            sha256 = hashlib.file_digest(content, "sha256").hexdigest()
        add_bytecode(target)
        pack(target, packed)
        zipped = packed.with_suffix(".tar.gz")
        with (
            packed.open("rb") as content,
            gzip.GzipFile(zipped, "wb", mtime=0, compresslevel=6) as out,
        ):
            shutil.copyfileobj(content, out, 2**20)
        return zipped.replace(archive_path(sha256))


def install(target: Path) -> None:
    """Install the locked wheels for the cluster's platform into a folder."""
    command = [
        *(str(ROOT / ".venv" / "bin" / "uv"), "pip", "install", "--quiet", "--no-deps"),
        *("--target", str(target)),
        *("--python-platform", "x86_64-manylinux_2_28", "--python-version", "3.13"),
        *("--only-binary", ":all:", "--require-hashes", "--link-mode", "copy"),
        *("--python", str(ROOT / ".venv" / "bin" / "python"), "--requirement", str(LOCK)),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ArchiveError(f"uv could not install requirements/job.txt: {done.stderr.strip()}")


def prune(folder: Path) -> None:
    """Remove the files of an installation that nobody uses."""
    for path in _files(folder):
        parts = path.relative_to(folder).parts
        is_record = path.name in {"RECORD", "INSTALLER", "REQUESTED", "direct_url.json", ".lock"}
        if (
            is_record
            or UNUSED_FOLDERS.intersection(parts)
            or path.suffix in UNUSED_SUFFIXES
            or (parts[0] == "pyarrow" and any(part in path.name for part in UNUSED_PARTS))
            or (parts[0] == "scipy" and parts[1] in UNUSED_IN_SCIPY)
        ):
            path.unlink()


def add_bytecode(folder: Path) -> None:
    """Compile all modules; no Python compares the bytecode with its source then.

    Raises:
        ArchiveError: a module cannot be compiled.
    """
    unchecked = PycInvalidationMode.UNCHECKED_HASH
    if not compileall.compile_dir(
        folder, quiet=1, workers=0, stripdir=folder, invalidation_mode=unchecked
    ):
        raise ArchiveError("a module cannot be compiled; see above")


def pack(folder: Path, target: Path) -> None:
    """Write a folder to a tar file, sorted and without times and owners."""
    with tarfile.open(target, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path in _files(folder):
            entry = tarfile.TarInfo(path.relative_to(folder).as_posix())
            entry.size = path.stat().st_size
            entry.mode = 0o755 if path.suffix == ".so" else 0o644
            with path.open("rb") as content:
                archive.addfile(entry, content)


def upload(s3: Any, bucket: str) -> bool:
    """Upload the archive to where the launcher expects it, unless it is already there.

    Returns:
        Whether it was uploaded.

    Raises:
        ArchiveError: the archive could not be built.
    """
    key = environment_key(locked_sha256())
    exists = s3.list_objects_v2(Bucket=bucket, Prefix=key).get("KeyCount", 0)
    if not exists:
        s3.upload_file(str(ensure_archive()), bucket, key)
    return not exists


def results_bucket(stack: str) -> str:
    """Return the name of a stack's results bucket.

    Raises:
        ArchiveError: this account and region have no such stack.
    """
    try:
        stacks = boto3.client("cloudformation").describe_stacks(StackName=stack)["Stacks"]
    except (BotoCoreError, ClientError) as error:
        raise ArchiveError(f"cannot look up the bucket of stack {stack}: {error}") from error
    outputs = {each["OutputKey"]: each["OutputValue"] for each in stacks[0]["Outputs"]}
    return outputs["ResultsBucket"]


def _files(folder: Path) -> list[Path]:
    """Return the files below a folder in a fixed order."""
    found = (path for path in folder.rglob("*") if path.is_file())
    return sorted(found, key=lambda path: path.relative_to(folder).as_posix())


@click.command(
    context_settings=HELP_OPTIONS,
    epilog=module_examples(
        "tools.job_archive",
        "",
        "--upload similar-titles",
        "--adopt",
    ),
)
@click.option("--upload", "stack", metavar="STACK", help="Put it into the stack's results bucket.")
@click.option("--adopt", is_flag=True, help="Lock the archive that this tree gives now.")
@errors_as_exit_status(ArchiveError, native.NativeCodeError)
def main(stack: str | None, adopt: bool) -> None:
    """Build the archive of the job's native code into build/."""
    if adopt:
        path = build()
        sha256 = path.name.removeprefix("environment-").removesuffix(".tar.gz")
        LOCKED_SHA256.write_text(f"{sha256}\n")
    else:
        path = ensure_archive()
    if stack:
        bucket = results_bucket(stack)
        done = "uploaded to" if upload(boto3.client("s3"), bucket) else "already in"
        click.echo(f"{environment_key(locked_sha256())} {done} {bucket}")
    click.echo(f"{path.relative_to(ROOT)}  {path.stat().st_size / 2**20:.0f} MiB")


if __name__ == "__main__":
    main(prog_name="python -m tools.job_archive")

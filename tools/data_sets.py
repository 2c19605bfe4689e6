"""Finds a data set by its name: generated here, published by GroupLens, or a folder."""

import hashlib
import http.client
import re
import shutil
import tempfile
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from spark.contracts.movielens import DatasetError, only_format
from tools.paths import ROOT
from tools.progress import StageProgress
from tools.synthetic import SHAPES, generate

DATA = ROOT / "data"
GROUPLENS = "https://files.grouplens.org/datasets/movielens"
RELEASES = (
    "ml-latest-small", "ml-100k", "ml-1m", "ml-10m", "ml-20m", "ml-25m", "ml-32m",
)  # fmt: skip
SYNTHETIC = {"sample": "100k", "1m": "1m", "10m": "10m"}
TIMEOUT_SECONDS = 60
_CHUNK = 2**20

# Takes the bytes transferred so far and their total, which is 0 if unknown.
type ReportBytes = Callable[[int, int], None]


class NoDataSetError(Exception):
    """The data set is unknown or unavailable; the message tells the user why."""


def folder_of(name: str, data: Path = DATA, base: str = GROUPLENS) -> Path:
    """Return the folder of a data set; generate or download it first if necessary.

    Args:
        name: `sample`, `1m`, `10m`, a MovieLens release, or a path.
        data: folder that keeps downloaded and generated data sets.
        base: URL of the releases.

    Raises:
        NoDataSetError: the data set is unknown or unavailable.
    """
    if name in SYNTHETIC:
        return _synthetic(SYNTHETIC[name], data)
    if name in RELEASES:
        return download(name, data, base)
    folder = Path(name).expanduser()
    if not folder.is_dir():
        known = ", ".join([*SYNTHETIC, *RELEASES])
        raise NoDataSetError(f"{name} is neither a folder nor one of {known}")
    _check(folder)
    return folder.resolve()


def files_of(folder: Path) -> list[Path]:
    """Return the files of a MovieLens folder that make up the data set, tags first.

    The last file dropped starts the run, and the run uses the tags that are in the bucket by then.
    """
    names = {path.name for path in folder.iterdir()}
    form = only_format(names, str(folder))
    return [folder / name for name in (form.tags, *form.files) if name in names]


def _check(folder: Path) -> None:
    try:
        files_of(folder)
    except DatasetError as error:
        raise NoDataSetError(str(error)) from error


def _synthetic(size: str, data: Path) -> Path:
    """Return the generated set of a size; generate it again if the generator has changed."""
    generator = Path(generate.__code__.co_filename).read_bytes()
    version = hashlib.sha256(generator).hexdigest()[:8]
    folder = data / f"generated-{version}" / f"sample-{size}"
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=data, prefix=".sample-") as temporary:
            made = Path(temporary) / "made"
            generate(SHAPES[size], made)
            _move(made, folder)
    return folder


def download(name: str, data: Path = DATA, base: str = GROUPLENS) -> Path:
    """Download a MovieLens release and check it against the published MD5.

    A release that was downloaded before is reused. Progress and the MD5 go to standard error.

    Raises:
        NoDataSetError: the release cannot be downloaded, or its MD5 differs.
    """
    folder = data / name
    if folder.is_dir():
        return folder
    data.mkdir(parents=True, exist_ok=True)
    url = f"{base}/{name}.zip"
    with (
        tempfile.TemporaryDirectory(dir=data, prefix=f".{name}-") as temporary,
        StageProgress() as progress,
    ):
        progress.stage("download", name)
        archive = Path(temporary) / f"{name}.zip"
        try:
            published = _published_md5(f"{url}.md5")
            found = _fetch(url, archive, progress.transferred)
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise NoDataSetError(
                f"{name} cannot be downloaded from {url}: {_why(error)}"
            ) from error
        if found != published:
            raise NoDataSetError(
                f"{url} has MD5 {found}, but the published MD5 is {published}: try again"
            )
        progress.done(f"{name}: MD5 {found}, as published")
        unpacked = _unpack(archive, Path(temporary) / "unpacked")
        _check(unpacked)
        _move(unpacked, folder)
    return folder


def _published_md5(url: str) -> str:
    """Return the MD5 in a `.md5` file of md5sum's format or BSD's."""
    with urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS) as response:  # noqa: S310
        text = response.read(10_000).decode("ascii", "replace")
    digests = re.findall(r"\b[0-9a-fA-F]{32}\b", text)
    if len(digests) != 1:
        raise ValueError(f"{url} contains no MD5")
    return digests[0].lower()


def _fetch(url: str, path: Path, report: ReportBytes) -> str:
    """Download a file and return its MD5."""
    digest = hashlib.md5(usedforsecurity=False)
    with (
        urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS) as response,  # noqa: S310
        path.open("wb") as out,
    ):
        total = int(response.headers.get("Content-Length") or 0)
        done = 0
        while chunk := response.read(_CHUNK):
            out.write(chunk)
            digest.update(chunk)
            done += len(chunk)
            report(done, total)
    if total and done < total:
        raise ValueError(f"the connection ended after {done:,} of {total:,} bytes")
    return digest.hexdigest()


def _why(error: Exception) -> str:
    match error:
        case urllib.error.HTTPError():
            return f"the server answered {error.code} {error.reason}"
        case urllib.error.URLError():
            return f"no connection ({error.reason})"
    return str(error)


def _unpack(archive: Path, folder: Path) -> Path:
    """Unpack the files in a release's one folder and return the folder that holds them.

    Only names of the form `<folder>/<file>` are unpacked, so none can lead outside.

    Raises:
        NoDataSetError: the archive is not a zip, or contains a file twice.
    """
    folder.mkdir()
    try:
        with zipfile.ZipFile(archive) as content:
            for entry in content.infolist():
                parts = PurePosixPath(entry.filename).parts
                plain = len(parts) == 2 and not {"..", "/", "__MACOSX"} & set(parts)
                if entry.is_dir() or not plain:
                    continue  # no release has deeper folders
                target = folder / parts[1]
                if target.exists():
                    raise NoDataSetError(f"{archive.name} contains {parts[1]} twice")
                with content.open(entry) as source, target.open("wb") as out:
                    shutil.copyfileobj(source, out, _CHUNK)
    except zipfile.BadZipFile as error:
        raise NoDataSetError(f"{archive.name} is not a zip archive: {error}") from error
    return folder


def _move(made: Path, folder: Path) -> None:
    """Move a complete folder to its place, unless another program has put one there."""
    try:
        made.rename(folder)
    except OSError:
        if not folder.is_dir():
            raise

"""The data sets that the tools take by name: generated, published by GroupLens, or a folder."""

import hashlib
import http.client
import re
import shutil
import sys
import tempfile
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from spark.contracts.movielens import DatasetError, only_format
from tools.synthetic import SHAPES, generate

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT / "data"
GROUPLENS = "https://files.grouplens.org/datasets/movielens"
RELEASES = (
    "ml-latest-small", "ml-100k", "ml-1m", "ml-10m", "ml-20m", "ml-25m", "ml-32m",
)  # fmt: skip
SYNTHETIC = {"sample": "100k", "1m": "1m", "10m": "10m"}
TIMEOUT_SECONDS = 60
_CHUNK = 2**20

# Told how many bytes there are now, and how many there will be (0 where that is not known).
type Progress = Callable[[int, int], None]


class NoDataSetError(Exception):
    """A data set that cannot be had; the message is one sentence for the person who asked."""


def folder_of(name: str, progress: Progress, data: Path = DATA, base: str = GROUPLENS) -> Path:
    """The folder of a data set, made or downloaded if need be.

    Args:
        name: `sample`, `1m`, `10m`, the name of a release, or a folder.
        progress: told of a download's progress.
        data: where downloads and generated sets are kept.
        base: URL below which the releases stand.

    Raises:
        NoDataSetError: there is no such data set, or it cannot be had.
    """
    if name in SYNTHETIC:
        return _synthetic(SYNTHETIC[name], data)
    if name in RELEASES:
        return download(name, progress, data, base)
    folder = Path(name).expanduser()
    if not folder.is_dir():
        known = ", ".join([*SYNTHETIC, *RELEASES])
        raise NoDataSetError(f"there is no folder {name}, and it is none of {known}")
    _check(folder)
    return folder.resolve()


def files_of(folder: Path) -> list[Path]:
    """The files of a MovieLens folder that make the data set, its tags first where it has any.

    What is dropped last starts the run, which takes the tags that are there by then.
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
    """The generated set of a size, made anew where the generator has changed."""
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


def download(name: str, progress: Progress, data: Path = DATA, base: str = GROUPLENS) -> Path:
    """A release of MovieLens, its MD5 checked against the published one; reused where it is there.

    That it was checked is said on standard error.

    Raises:
        NoDataSetError: it cannot be downloaded, or it is not what was published.
    """
    folder = data / name
    if folder.is_dir():
        return folder
    data.mkdir(parents=True, exist_ok=True)
    url = f"{base}/{name}.zip"
    with tempfile.TemporaryDirectory(dir=data, prefix=f".{name}-") as temporary:
        archive = Path(temporary) / f"{name}.zip"
        try:
            published = _published_md5(f"{url}.md5")
            found = _fetch(url, archive, progress)
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise NoDataSetError(
                f"{name} cannot be downloaded from {url}: {_why(error)}"
            ) from error
        if found != published:
            raise NoDataSetError(
                f"{url} arrived with MD5 {found}, but {published} is published: try again"
            )
        print(f"{name}: MD5 {found}, as published", file=sys.stderr, flush=True)
        unpacked = _unpack(archive, Path(temporary) / "unpacked")
        _check(unpacked)
        _move(unpacked, folder)
    return folder


def _published_md5(url: str) -> str:
    """The MD5 in a `.md5` file, which may be md5sum's format or BSD's."""
    with urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS) as answer:  # noqa: S310
        text = answer.read(10_000).decode("ascii", "replace")
    digests = re.findall(r"\b[0-9a-fA-F]{32}\b", text)
    if len(digests) != 1:
        raise ValueError(f"{url} holds no MD5")
    return digests[0].lower()


def _fetch(url: str, path: Path, progress: Progress) -> str:
    """Download a file; returns its MD5."""
    digest = hashlib.md5(usedforsecurity=False)
    with (
        urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS) as answer,  # noqa: S310
        path.open("wb") as out,
    ):
        total = int(answer.headers.get("Content-Length") or 0)
        done = 0
        while chunk := answer.read(_CHUNK):
            out.write(chunk)
            digest.update(chunk)
            done += len(chunk)
            progress(done, total)
    if total and done < total:
        raise ValueError(f"the connection ended after {done:,} of {total:,} bytes")
    return digest.hexdigest()


def _why(error: Exception) -> str:
    match error:
        case urllib.error.HTTPError():
            return f"the server says {error.code} {error.reason}"
        case urllib.error.URLError():
            return f"no connection ({error.reason})"
    return str(error)


def _unpack(archive: Path, folder: Path) -> Path:
    """Unpack the files of a release's one folder; returns the folder that holds them.

    Only names of the form `<folder>/<file>` are taken, so none can lead outside.

    Raises:
        NoDataSetError: it is no zip, or holds a file twice.
    """
    folder.mkdir()
    try:
        with zipfile.ZipFile(archive) as content:
            for entry in content.infolist():
                parts = PurePosixPath(entry.filename).parts
                plain = len(parts) == 2 and not {"..", "/", "__MACOSX"} & set(parts)
                if entry.is_dir() or not plain:
                    continue  # no release has files deeper down
                target = folder / parts[1]
                if target.exists():
                    raise NoDataSetError(f"{archive.name} holds {parts[1]} twice")
                with content.open(entry) as source, target.open("wb") as out:
                    shutil.copyfileobj(source, out, _CHUNK)
    except zipfile.BadZipFile as error:
        raise NoDataSetError(f"{archive.name} is no zip archive: {error}") from error
    return folder


def _move(made: Path, folder: Path) -> None:
    """Put a complete folder in its place; another program may have been faster."""
    try:
        made.rename(folder)
    except OSError:
        if not folder.is_dir():
            raise


def bar(label: str) -> Progress:
    """A progress on standard error: one line that grows on a terminal, a few lines elsewhere."""
    shown = [-1]
    step = 1 if sys.stderr.isatty() else 25

    def show(done: int, total: int) -> None:
        share = done * 100 // total // step * step if total else done // _CHUNK // 10 * 10
        if share != shown[0]:
            shown[0] = share
            unit = "%" if total else " MiB"
            end = "\n" if not sys.stderr.isatty() or done == total else "\r"
            print(f"{label}: {share}{unit}", end=end, file=sys.stderr, flush=True)

    return show

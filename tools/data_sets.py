"""Finds a data set by its name: generated here, published by GroupLens, or a folder."""

import hashlib
import re
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

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
    """Return the files of a MovieLens folder that make up the data set, optional ones first.

    The last file dropped starts the run, and the run uses the optional files that are in the bucket
    by then.
    """
    names = {path.name for path in folder.iterdir()}
    form = only_format(names, str(folder))
    return [folder / name for name in (*form.optional, *form.files) if name in names]


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
        NoDataSetError: the release cannot be downloaded, its MD5 differs, or it is not MovieLens.
    """
    folder = data / name
    if folder.is_dir():
        return folder
    import pooch  # only a download needs these two
    import requests

    pooch.get_logger().setLevel("WARNING")
    data.mkdir(parents=True, exist_ok=True)
    url = f"{base}/{name}.zip"
    with (
        tempfile.TemporaryDirectory(dir=data, prefix=f".{name}-") as temporary,
        StageProgress() as progress,
    ):
        progress.stage("download", name)
        fetch = pooch.HTTPDownloader(_Bar(progress), chunk_size=2**20, timeout=TIMEOUT_SECONDS)
        md5 = Path(temporary, "md5")
        unpacked = Path(temporary, "unpacked")
        try:
            fetch(f"{url}.md5", str(md5), None)
            published = _md5_in(md5.read_text("ascii", "replace"))
            unzip = pooch.Unzip(extract_dir=unpacked.name)
            pooch.retrieve(url, f"md5:{published}", f"{name}.zip", temporary, unzip, fetch)
        except (OSError, ValueError, zipfile.BadZipFile) as error:
            offline = isinstance(error, requests.ConnectionError)
            why = f"no connection ({error})" if offline else error
            raise NoDataSetError(f"{name} cannot be downloaded from {url}: {why}") from error
        progress.done(f"{name}: MD5 {published}, as published")
        roots = [path for path in unpacked.iterdir() if path.name != "__MACOSX"]
        root = roots[0] if len(roots) == 1 else unpacked
        _check(root)
        _move(root, folder)
    return folder


class _Bar:
    """The progress bar that pooch wants, shown by a `StageProgress`."""

    def __init__(self, progress: StageProgress) -> None:
        self.total = 0  # set by pooch
        self._done = 0
        self._progress = progress

    def update(self, size: int) -> None:
        self._done = min(self._done + size, self.total)
        self._progress.transferred(self._done, self.total)

    def reset(self) -> None:
        self._done = 0

    close = reset


def _md5_in(text: str) -> str:
    """Return the MD5 in a `.md5` file of md5sum's format or BSD's."""
    digests = re.findall(r"\b[0-9a-f]{32}\b", text)
    if len(digests) != 1:
        raise ValueError("no MD5 is published")
    return digests[0]


def _move(made: Path, folder: Path) -> None:
    """Move a complete folder to its place, unless another program has put one there."""
    try:
        made.rename(folder)
    except OSError:
        if not folder.is_dir():
            raise

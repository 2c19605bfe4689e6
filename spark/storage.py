"""Reads and writes files by URI, on the driver and on executors: local folders, and S3.

S3's errors do not say whether they are transient. If credentials are missing for a moment, pyarrow
sends unsigned requests, and they fail like requests without permission. If the completion of an
upload succeeded but the response was lost, the retry fails because the upload no longer exists. The
SDK retries neither. So every operation that reads or writes a whole file is retried for a minute.
"""

import itertools
import logging
import os
import random
import re
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

import pyarrow as pa
from pyarrow import fs

S3_ATTEMPTS = 8  # of a request that S3 throttles
PATIENCE = 60.0  # seconds for which whole reads and writes are retried
LONGEST_PAUSE = 10.0  # seconds between two attempts, at most

_LASTING = re.compile("NO_SUCH_BUCKET|NO_SUCH_KEY|HTTP status 301")  # a wrong name: no retry helps
_UNFINISHED = re.compile(r"\..+\.[0-9a-f]{32}")

logger = logging.getLogger(__name__)


def child(uri: str, name: str) -> str:
    """The URI of a file or folder below a folder."""
    return f"{uri.rstrip('/')}/{name}"


def absolute(uri: str) -> str:
    """A URI that means the same on every executor: a relative path becomes absolute."""
    return uri if "://" in uri or uri.startswith("file:") else str(Path(uri).absolute())


def list_files(uri: str) -> dict[str, int]:
    """The files in a folder and their sizes in bytes; empty if the folder does not exist.

    Names that begin with a dot are left out.
    """
    return {name: size for name, size in _listed(uri).items() if not name.startswith(".")}


def delete(uri: str) -> None:
    """Delete a file or folder, if it exists."""

    def remove(system: fs.FileSystem, path: str) -> None:
        kind = system.get_file_info(path).type
        if kind == fs.FileType.Directory:
            system.delete_dir(path)
        elif kind == fs.FileType.File:
            system.delete_file(path)

    _whole(remove, uri)


def delete_unfinished(uri: str) -> None:
    """Delete the unfinished files in a folder that dead writers left; see `replacing`."""
    for name in filter(_UNFINISHED.fullmatch, _listed(uri)):
        delete(child(uri, name))


def read(uri: str, start: int = 0, size: int | None = None) -> bytes:
    """Read a file, or a range of it.

    Args:
        uri: of the file.
        start: offset of the first byte.
        size: number of bytes; None to read to the end. Near the end there may be fewer.

    Raises:
        FileNotFoundError: the file does not exist.
    """

    def take(system: fs.FileSystem, path: str) -> bytes:
        with system.open_input_file(path) as file:
            left = max(0, file.size() - start)
            count = left if size is None else min(size, left)
            content: bytes = file.read_at(count, start) if count else b""
        return content

    return _whole(take, uri)


def write(uri: str, content: bytes) -> None:
    """Write a whole file and replace an existing one. Readers never see it half written."""

    def put(system: fs.FileSystem, path: str) -> None:
        with system.open_output_stream(path, compression=None) as stream:
            stream.write(content)

    if _is_on_disk(uri):
        with replacing(uri) as stream:
            stream.write(content)
    else:
        _whole(put, uri)  # an S3 object appears only when it is complete


@contextmanager
def replacing(uri: str) -> Iterator[pa.NativeFile]:
    """A stream that becomes a file and replaces an existing one. Readers never see it half written.

    The stream has a temporary name until it is complete, because pyarrow completes an S3 object
    even if its writer fails. Temporary names begin with a dot, and readers skip those: a killed
    worker may leave one behind.
    """
    system, path = _open(uri)
    folder, _, name = path.rpartition("/")
    unfinished = f".{name}.{uuid.uuid4().hex}"
    if _is_on_disk(uri):
        system.create_dir(folder)
    try:
        # By default, pyarrow compresses if the name ends in .gz or the like.
        with system.open_output_stream(f"{folder}/{unfinished}", compression=None) as stream:
            yield stream
    except BaseException:
        with suppress(OSError):
            system.delete_file(f"{folder}/{unfinished}")
        raise
    if _is_on_disk(uri):
        system.move(f"{folder}/{unfinished}", path)
    else:
        _whole(lambda system, path: system.copy_file(f"{folder}/{unfinished}", path), uri)
        delete(child(uri.rpartition("/")[0], unfinished))


def _listed(uri: str) -> dict[str, int]:
    """All files in a folder and their sizes in bytes."""

    def look(system: fs.FileSystem, path: str) -> list[fs.FileInfo]:
        found: list[fs.FileInfo] = system.get_file_info(
            fs.FileSelector(path.rstrip("/"), allow_not_found=True)
        )
        return found

    return {each.base_name: each.size for each in _whole(look, uri) if each.is_file}


def _whole[T](work: Callable[[fs.FileSystem, str], T], uri: str) -> T:
    """Call a function, and call it again while S3 fails with an error that may be transient.

    Args:
        work: takes the file system and the path on it; repeating it must be harmless.
        uri: of the file or folder.
    """
    end = time.monotonic() + PATIENCE
    for attempt in itertools.count():
        try:
            return work(*_open(uri))
        except OSError as error:
            message = str(error)
            pause = min(2.0**attempt, LONGEST_PAUSE) * random.uniform(0.5, 1)  # noqa: S311
            is_transient = "AWS Error" in message and not _LASTING.search(message)
            if not is_transient or time.monotonic() + pause > end:
                raise
            logger.warning("retrying in %.0f s: %s", pause, message)
            time.sleep(pause)
            _s3.cache_clear()  # a new client fetches credentials at once
    raise AssertionError("unreachable: the loop returns or raises")


def _is_on_disk(uri: str) -> bool:
    return "://" not in uri or uri.startswith("file:")


def _open(uri: str) -> tuple[fs.FileSystem, str]:
    """The file system of a URI, and the path on it. Names are not decoded: `%20` stays `%20`."""
    scheme, separator, rest = uri.partition("://")
    if not separator or scheme == "file":
        return fs.LocalFileSystem(), str(Path(rest if separator else uri.removeprefix("file:")))
    if scheme in ("s3", "s3a"):
        return _s3(rest.partition("/")[0]), rest
    system, path = fs.FileSystem.from_uri(uri)
    return system, path


@cache
def _s3(bucket: str) -> fs.S3FileSystem:
    """An S3 client. The cluster's request sets the region; without it, pyarrow asks S3."""
    region = os.environ.get("AWS_REGION") or fs.resolve_s3_region(bucket)
    return fs.S3FileSystem(
        region=region,
        endpoint_override=os.environ.get("AWS_ENDPOINT_URL_S3", os.environ.get("AWS_ENDPOINT_URL")),
        allow_delayed_open=True,  # one PUT instead of a multipart upload for files below 10 MB
        retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=S3_ATTEMPTS),
    )

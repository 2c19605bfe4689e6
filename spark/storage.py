"""Files by URI, on the driver as on the executors: local folders and S3, by way of pyarrow.

What S3 answers does not tell faults that pass from those that stay. Without credentials for a
moment, pyarrow sends its requests unsigned, and they are forbidden as if there were no right; an
upload whose completion was carried out but never acknowledged is unknown when it is completed
again. The SDK repeats neither. So whatever is read or written whole is begun anew for a minute.
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

S3_ATTEMPTS = 8  # of a request that S3 answers with "slow down"
PATIENCE = 60.0  # seconds for which whole reads and writes are begun anew
LONGEST_PAUSE = 10.0  # seconds between two of them

_LASTING = re.compile("NO_SUCH_BUCKET|NO_SUCH_KEY|HTTP status 301")  # somebody gave a wrong name
_UNFINISHED = re.compile(r"\..+\.[0-9a-f]{32}")

logger = logging.getLogger(__name__)


def child(uri: str, name: str) -> str:
    """The URI of something below a folder."""
    return f"{uri.rstrip('/')}/{name}"


def absolute(uri: str) -> str:
    """A URI that means the same wherever an executor runs; a relative path becomes absolute."""
    return uri if "://" in uri or uri.startswith("file:") else str(Path(uri).absolute())


def list_files(uri: str) -> dict[str, int]:
    """The files in a folder and their sizes in bytes; empty where there is no such folder.

    What is hidden by a dot is left out.
    """
    return {name: size for name, size in _listed(uri).items() if not name.startswith(".")}


def delete(uri: str) -> None:
    """Delete a file or folder; one that is not there is no error."""

    def remove(system: fs.FileSystem, path: str) -> None:
        kind = system.get_file_info(path).type
        if kind == fs.FileType.Directory:
            system.delete_dir(path)
        elif kind == fs.FileType.File:
            system.delete_file(path)

    _whole(remove, uri)


def delete_unfinished(uri: str) -> None:
    """Delete what writers that died have left in a folder; see `replacing`."""
    for name in filter(_UNFINISHED.fullmatch, _listed(uri)):
        delete(child(uri, name))


def read(uri: str, start: int = 0, size: int | None = None) -> bytes:
    """The bytes of a file, or some of them.

    Args:
        uri: of the file.
        start: the first of them.
        size: how many, or fewer where the file ends; to its end if not given.

    Raises:
        FileNotFoundError: there is no such file.
    """

    def take(system: fs.FileSystem, path: str) -> bytes:
        with system.open_input_file(path) as file:
            there = max(0, file.size() - start)
            wanted = there if size is None else min(size, there)
            content: bytes = file.read_at(wanted, start) if wanted else b""
        return content

    return _whole(take, uri)


def write(uri: str, content: bytes) -> None:
    """Write a file whole, in place of one that is there; it is never seen half written."""

    def put(system: fs.FileSystem, path: str) -> None:
        with system.open_output_stream(path, compression=None) as stream:
            stream.write(content)

    if _is_on_disk(uri):
        with replacing(uri) as stream:
            stream.write(content)
    else:
        _whole(put, uri)  # S3 has an object when all of it has come


@contextmanager
def replacing(uri: str) -> Iterator[pa.NativeFile]:
    """A stream that becomes a file, in place of one that is there; it is never seen half written.

    It has a name of its own until it is whole: pyarrow completes an object of S3 also where its
    writer fails. Readers pass over names that begin with a dot, such as one that a killed worker
    has left.
    """
    system, path = _open(uri)
    folder, _, name = path.rpartition("/")
    unfinished = f".{name}.{uuid.uuid4().hex}"
    if _is_on_disk(uri):
        system.create_dir(folder)
    try:
        # Without a word on compression pyarrow takes a name such as .gz for one.
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
    """What some work with a URI gives, which is begun anew while S3 fails and that may pass.

    Args:
        work: is given the file system and the path there; changes nothing if it is repeated.
        uri: of what it works with.
    """
    end = time.monotonic() + PATIENCE
    for attempt in itertools.count():
        try:
            return work(*_open(uri))
        except OSError as error:
            told = str(error)
            pause = min(2.0**attempt, LONGEST_PAUSE) * random.uniform(0.5, 1)  # noqa: S311
            is_passing = "AWS Error" in told and not _LASTING.search(told)
            if not is_passing or time.monotonic() + pause > end:
                raise
            logger.warning("again in %.0f s: %s", pause, told)
            time.sleep(pause)
            _s3.cache_clear()  # a client asks for new credentials every five minutes, a new one now
    raise AssertionError("there is no last attempt")


def _is_on_disk(uri: str) -> bool:
    return "://" not in uri or uri.startswith("file:")


def _open(uri: str) -> tuple[fs.FileSystem, str]:
    """The file system of a URI and the path there; names stand for themselves, `%20` too."""
    scheme, separator, rest = uri.partition("://")
    if not separator or scheme == "file":
        return fs.LocalFileSystem(), str(Path(rest if separator else uri.removeprefix("file:")))
    if scheme in ("s3", "s3a"):
        return _s3(rest.partition("/")[0]), rest
    system, path = fs.FileSystem.from_uri(uri)
    return system, path


@cache
def _s3(bucket: str) -> fs.S3FileSystem:
    """S3 as this machine may use it; the cluster's request names the region, else S3 is asked."""
    region = os.environ.get("AWS_REGION") or fs.resolve_s3_region(bucket)
    return fs.S3FileSystem(
        region=region,
        endpoint_override=os.environ.get("AWS_ENDPOINT_URL_S3", os.environ.get("AWS_ENDPOINT_URL")),
        allow_delayed_open=True,  # one PUT for what is below 10 MB, no upload in parts
        retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=S3_ATTEMPTS),
    )

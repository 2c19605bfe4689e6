"""Files by URI, on the driver as on the executors: local folders and S3, by way of pyarrow."""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pyarrow as pa
from pyarrow import fs

S3_ATTEMPTS = 8  # of a request that S3 answers with "slow down"


def child(uri: str, name: str) -> str:
    """The URI of something below a folder."""
    return f"{uri.rstrip('/')}/{name}"


def absolute(uri: str) -> str:
    """A URI that means the same wherever an executor runs; a relative path becomes absolute."""
    return uri if "://" in uri or uri.startswith("file:") else str(Path(uri).absolute())


def list_files(uri: str) -> dict[str, int]:
    """The files in a folder and their sizes in bytes; empty where there is no such folder."""
    system, path = _open(uri)
    found = system.get_file_info(fs.FileSelector(path.rstrip("/"), allow_not_found=True))
    return {each.base_name: each.size for each in found if each.type == fs.FileType.File}


def delete(uri: str) -> None:
    """Delete a file or folder; one that is not there is no error."""
    system, path = _open(uri)
    kind = system.get_file_info(path).type
    if kind == fs.FileType.Directory:
        system.delete_dir(path)
    elif kind == fs.FileType.File:
        system.delete_file(path)


def open_input(uri: str) -> pa.NativeFile:
    """A file to read from, at any place of it."""
    system, path = _open(uri)
    return system.open_input_file(path)


@contextmanager
def replacing(uri: str) -> Iterator[pa.NativeFile]:
    """A stream that becomes a file, in place of one that is there; it is never seen half written.

    An object of S3 is there when its stream is closed, also by an error: what a failed attempt has
    left there the next one replaces. A file is made complete by a rename. Readers pass over names
    that begin with a dot, such as one that a killed worker has left.
    """
    system, path = _open(uri)
    is_local = isinstance(system, fs.LocalFileSystem)
    folder, _, name = path.rpartition("/")
    target = f"{folder}/.{name}.{uuid.uuid4().hex}" if is_local else path
    if is_local:
        system.create_dir(folder)
    try:
        with system.open_output_stream(target, compression=None) as stream:  # else by the name
            yield stream
    except BaseException:
        if is_local:
            system.delete_file(target)
        raise
    if is_local:
        system.move(target, path)


def write(uri: str, content: bytes) -> None:
    """Write a file whole; see `replacing`."""
    with replacing(uri) as stream:
        stream.write(content)


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
        retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=S3_ATTEMPTS),
    )

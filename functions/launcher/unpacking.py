"""Unpacks gzip files, parts and zips of a drop into the run's own input, with bounded memory.

Objects are read in ranges and written in parts. How much comes out is counted while it is read:
what headers say of a size may be a lie. An unpacked file is as the format names it, so the job and
all that follows know only plain files.
"""

import gzip
import io
import lzma
import struct
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, BinaryIO, override

from boto3.s3.transfer import TransferConfig

from datasets import DatasetFile, Folder, folder_of
from launcher.intake import read_range
from spark.contracts.movielens import DatasetError, formats_in
from spark.contracts.movielens_lines import BLANKS, MAX_LINE

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer
    from mypy_boto3_s3 import S3Client

CHUNK = 2**20
RANGE = 8 * 2**20  # bytes of a read from S3
TRANSFER = TransferConfig(
    multipart_threshold=RANGE, multipart_chunksize=RANGE, max_concurrency=4
)  # keeps up to ten parts in memory
MAX_FILE = 5 * 2**30  # bytes; CopyObject, with which a rerun copies the input, takes no more
MAX_DIRECTORY = 2**22  # bytes of a zip's directory, about 50,000 members; it is read into memory
# A release becomes four times as large, a bomb a thousand times and more.
MAX_RATIO = 100
ALWAYS = 2**28  # bytes that may come out at any ratio
# Unpacking must end before LauncherFunction times out after 120 seconds; otherwise nobody would
# learn why. The 32M release, 240 MB as a zip and 900 MB unpacked, is estimated at 25 seconds: one
# vCPU unpacks 300 MB a second, and Lambda's network moves about 75 MB a second.
SECONDS = 80


class _OutsideError(OSError):
    """A zip refers to a place outside of it; zipfile expects OSError."""


# What the standard library raises for damaged files.
DAMAGED = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    gzip.BadGzipFile,
    EOFError,
    struct.error,
    UnicodeDecodeError,
    NotImplementedError,
    _OutsideError,
)


@dataclass
class Allowance:
    """What a drop may become when it is unpacked.

    Attributes:
        name: of the drop, for messages.
        packed: bytes as dropped.
        deadline: by `time.monotonic`.
        unpacked: bytes so far.
    """

    name: str
    packed: int
    deadline: float = field(default_factory=lambda: time.monotonic() + SECONDS)
    unpacked: int = 0

    def use(self, count: int) -> None:
        """Count unpacked bytes.

        Raises:
            DatasetError: there are too many, or unpacking takes too long.
        """
        self.unpacked += count
        if self.unpacked > max(ALWAYS, MAX_RATIO * self.packed):
            raise DatasetError(
                f"{self.name} becomes more than {MAX_RATIO} times as large when it is unpacked: "
                "drop the unpacked files"
            )
        if time.monotonic() > self.deadline:
            raise DatasetError(
                f"{self.name} takes longer than {SECONDS} seconds to unpack: drop the unpacked "
                "files"
            )


@dataclass(frozen=True)
class Source:
    """The data files of a drop.

    Attributes:
        folder: the objects of a folder, or the members of a zip.
        open: opens a file as it is stored.
        allowance: see there.
    """

    folder: Folder
    open: Callable[[DatasetFile], BinaryIO]
    allowance: Allowance


class ObjectReader(io.RawIOBase):
    """An object of S3 as a file; zipfile jumps about in it."""

    def __init__(self, s3: "S3Client", bucket: str, file: DatasetFile) -> None:
        """Open an object.

        Args:
            s3: client.
            bucket: its bucket.
            file: as listed; another content is refused.
        """
        self._s3, self._bucket, self._file, self._at = s3, bucket, file, 0

    @override
    def readable(self) -> bool:
        return True

    @override
    def seekable(self) -> bool:
        return True

    @override
    def tell(self) -> int:
        return self._at

    @override
    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._file.size}[whence]
        if base + offset < 0:
            raise _OutsideError("it refers to a place before its beginning")
        self._at = base + offset
        return self._at

    @override
    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        view = memoryview(buffer).cast("B")
        if self._at >= self._file.size or not view:
            return 0
        content = read_range(self._s3, self._bucket, self._file, self._at, len(view))
        view[: len(content)] = content
        self._at += len(content)
        return len(content)


class _BoundedReader(io.BufferedReader):
    """A reader that refuses to read a huge directory of a zip into memory."""

    @override
    def read(self, size: int | None = -1, /) -> bytes:
        limit = MAX_DIRECTORY + 1
        content = super().read(limit if size is None or size < 0 else min(size, limit))
        if len(content) > MAX_DIRECTORY:
            raise zipfile.BadZipFile(f"its directory is larger than {MAX_DIRECTORY} bytes")
        return content


@contextmanager
def opened(s3: "S3Client", folder: Folder) -> Iterator[Source]:
    """Open a drop: a folder, or a zip.

    Raises:
        DatasetError: the zip is damaged, encrypted, or not one data set.
    """
    allowance = Allowance(folder.name, sum(file.size for file in folder.files))
    if not folder.is_archive:
        yield Source(folder, partial(_open_object, s3, folder.bucket), allowance)
        return
    (file,) = folder.files
    raw = ObjectReader(s3, folder.bucket, file)
    with _damage_of(file), zipfile.ZipFile(_BoundedReader(raw, RANGE)) as archive:
        members = {_key(folder, each): each for each in archive.infolist() if not each.is_dir()}
        inner = _members(folder, archive)
        yield Source(inner, lambda member: _open_member(archive, members[member.key]), allowance)


def _open_object(s3: "S3Client", bucket: str, file: DatasetFile) -> BinaryIO:
    return io.BufferedReader(ObjectReader(s3, bucket, file), RANGE)


def _open_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> BinaryIO:
    if member.flag_bits & 1:
        raise DatasetError(f"{member.filename} is encrypted: pack the folder without a password")
    try:
        return archive.open(member)  # type: ignore[return-value]  # typeshed calls it IO[bytes]
    except NotImplementedError as error:
        raise DatasetError(
            f"{member.filename} cannot be unpacked ({error}): pack the folder with deflate, as "
            "zip does"
        ) from error


def _key(folder: Folder, member: zipfile.ZipInfo) -> str:
    """Return the key that a member of a zip would have if the zip were a folder."""
    return f"{folder.prefix}/{member.filename.replace('\\', '/')}"


def _members(folder: Folder, archive: zipfile.ZipFile) -> Folder:
    """Return the one folder of a zip that has a data set.

    Raises:
        DatasetError: a name leaves the zip, or there are two data sets.
    """
    files: dict[str, list[DatasetFile]] = {}
    modified = folder.files[0].modified
    for member in archive.infolist():
        name = member.filename.replace("\\", "/")
        if name.startswith("/") or name[1:2] == ":" or ".." in name.split("/"):
            raise DatasetError(
                f"{folder.name} has the member {member.filename}, which would be outside of it: "
                "pack the folder again"
            )
        key = _key(folder, member)
        prefix = folder_of(key)
        if prefix not in (None, key) and not member.is_dir():
            files.setdefault(str(prefix), []).append(
                DatasetFile(key, "", member.file_size, modified)
            )
    folders = [Folder(folder.bucket, prefix, tuple(found)) for prefix, found in files.items()]
    complete = [each for each in folders if formats_in(each.names)]
    if len(complete) > 1:
        both = " and ".join(sorted(each.name for each in complete))
        raise DatasetError(f"{folder.name} holds the data sets {both}: drop a zip of one folder")
    return (complete or folders or [Folder(folder.bucket, folder.prefix + "/", ())])[0]


@contextmanager
def _damage_of(file: DatasetFile) -> Iterator[None]:
    """Explain what the standard library says of damaged files."""
    try:
        yield
    except DAMAGED as error:
        raise DatasetError(
            f"{file.name} is damaged or incomplete, so it cannot be unpacked ({error}): upload it "
            "again"
        ) from error


def unpack(
    s3: "S3Client", source: Source, files: Sequence[DatasetFile], bucket: str, key: str
) -> None:
    """Write one file of a format, unpacked and in one piece, to S3.

    Args:
        s3: client.
        source: where the files are.
        files: the file, or its parts in order; parts after the first may repeat its header.
        bucket: the results bucket.
        key: of the new object.

    Raises:
        DatasetError: a file is damaged, or becomes too large.
    """
    content = _Chunks(_contents(source, files), key.rpartition("/")[2], source.allowance)
    # boto3 keeps at most ten parts in memory if a file has only `read`.
    s3.upload_fileobj(content, bucket, key, Config=TRANSFER)  # type: ignore[arg-type]


def _contents(source: Source, files: Sequence[DatasetFile]) -> Iterator[bytes]:
    """Yield the content of a file in chunks."""
    header: bytes | None = None
    last = b"\n"
    for file in files:
        with _damage_of(file), source.open(file) as stored:
            stream = gzip.GzipFile(fileobj=stored) if file.is_packed else stored
            first = stream.readline(MAX_LINE)
            if not first:
                continue  # an empty part
            if header is None:
                header = _header(first)
            elif _header(first) == header != b"":
                first = b""
            if not last.endswith(b"\n"):
                yield (last := b"\n")
            while first or (first := stream.read(CHUNK)):
                yield first
                last, first = first, b""


def _header(line: bytes) -> bytes:
    """Return a first line that names columns, without its line break; otherwise nothing."""
    text = line.removeprefix(b"\xef\xbb\xbf").strip(BLANKS.encode())
    return b"" if text.lstrip(b'"')[:1].isdigit() else text


class _Chunks:
    """Chunks as what boto3 uploads: something to read from."""

    def __init__(self, chunks: Iterator[bytes], name: str, allowance: Allowance) -> None:
        self._chunks, self._name, self._allowance = chunks, name, allowance
        self._rest = bytearray()
        self._size = 0

    def read(self, size: int | None = None) -> bytes:
        """Read `size` bytes, fewer only at the end; without a size all that is left."""
        while (size is None or len(self._rest) < size) and (chunk := next(self._chunks, b"")):
            self._size += len(chunk)
            if self._size > MAX_FILE:
                raise DatasetError(
                    f"{self._name} has more than {MAX_FILE} bytes; the limit is 5 GiB"
                )
            self._allowance.use(len(chunk))
            self._rest += chunk
        result = bytes(self._rest[:size])
        del self._rest[:size]
        return result

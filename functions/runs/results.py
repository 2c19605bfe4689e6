"""A run's result in S3: manifest, parts checked against it, and what is compared of two runs."""

import gzip
import hashlib
import io
import time
import zlib
from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

import msgspec
from botocore.exceptions import ClientError

import index_table
import quality_gate
from runs.diff import DEPTH, Movies, Result
from runs.item import Run
from s3_keys import code_prefix, input_prefix, manifest_key, run_prefix
from spark.contracts.manifest import Manifest, ManifestError, Part
from spark.contracts.quality import Quality, QualityError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


NO_GZIP = OSError, EOFError, zlib.error


class PartError(Exception):
    """A part does not match its manifest; the message names the difference."""


class _Other(msgspec.Struct):
    movie_id: int


class _Line(msgspec.Struct):
    """What is compared of a line of `neighbours/`; the rest is skipped."""

    movie_id: int
    title: str | None
    ratings: int
    others: list[_Other]
    neighbours: dict[str, msgspec.Raw]


_LINE = msgspec.json.Decoder(_Line)
_ROWS = msgspec.json.Decoder(list[tuple[int, float, int, float | None]])


@dataclass(frozen=True)
class RunResults:
    """Reads the results of runs.

    Attributes:
        s3: client.
        bucket: the results bucket.
    """

    s3: "S3Client"
    bucket: str

    def manifest(self, run_id: str) -> Manifest:
        """Read a run's manifest.

        Raises:
            ManifestError: it does not exist or cannot be indexed.
        """
        try:
            response = self.s3.get_object(Bucket=self.bucket, Key=manifest_key(run_id))
        except self.s3.exceptions.NoSuchKey as error:
            raise ManifestError("manifest.json does not exist") from error
        manifest = Manifest.from_json(response["Body"].read())
        if not manifest.neighbours:
            raise ManifestError("manifest.json names no parts: there is nothing to index")
        return manifest

    def quality(self, run_id: str, manifest: Manifest) -> Quality | None:
        """Read quality.json; None if the run did not evaluate itself.

        Raises:
            PartError: it does not match the manifest.
            QualityError: it does not fit its schema.
        """
        if manifest.quality is None:
            return None
        return Quality.from_json(self._bytes(run_id, manifest.quality))

    def lines(self, run_id: str, part: Part) -> Iterator[bytes]:
        """Return the lines of a part, each with its line end, after checking all of it.

        Decompresses it twice to save memory: with many neighbours a part has hundreds of megabytes.

        Raises:
            PartError: it does not match the manifest, or has a line without a movie.
        """
        blob = self._bytes(run_id, part)
        try:
            with gzip.open(io.BytesIO(blob)) as unpacked:
                lines = sum(1 for _ in map(index_table.movie_of, unpacked))
        except NO_GZIP as error:
            raise PartError(f"{part.name} is not a gzip file: {error}") from error
        except msgspec.DecodeError as error:
            raise PartError(f"{part.name} has a line that cannot be read: {error}") from error
        if lines != part.records:
            raise PartError(f"{part.name} has {lines} lines; the manifest says {part.records}")
        return iter(gzip.GzipFile(fileobj=io.BytesIO(blob)))

    def movies(self, run_id: str, manifest: Manifest, until: float) -> Movies:
        """Read the titles and lists of a run, part by part; a movie takes about 500 bytes.

        Args:
            run_id: the run.
            manifest: its manifest.
            until: when to give up, by `time.monotonic`.

        Raises:
            PartError: a part does not match the manifest.
            TimeoutError: it is too late.
        """
        titles: dict[int, str] = {}
        ratings: dict[int, int] = {}
        lists: dict[int, array[int]] = {}
        for part in manifest.neighbours:
            blob = self._bytes(run_id, part)
            try:
                for text in gzip.GzipFile(fileobj=io.BytesIO(blob)):
                    line = _LINE.decode(text)
                    titles[line.movie_id] = line.title or ""
                    ratings[line.movie_id] = line.ratings
                    if raw := line.neighbours.get(manifest.measure):
                        rated = (row for row in _ROWS.decode(raw) if row[2])
                        ids = [line.others[place].movie_id for place, *_ in islice(rated, DEPTH)]
                        if ids:
                            lists[line.movie_id] = array("i", ids)
            except (*NO_GZIP, msgspec.DecodeError, IndexError, OverflowError) as error:
                raise PartError(f"{part.name} has a line that cannot be read: {error}") from error
            if time.monotonic() > until:
                raise TimeoutError("reading the result takes too long")
        return Movies(titles, ratings, lists)

    def result(self, run: Run, until: float = float("inf")) -> Result:
        """Read what is compared of a run; of a result that is gone, the runs table has a little.

        Args:
            run: the run, which has or had a result.
            until: when to give up reading its lists, by `time.monotonic`.
        """
        run_id = run["run_id"]
        try:
            manifest = self.manifest(run_id)
        except ManifestError as error:
            return Result(
                run_id=run_id,
                measure=run.get("measure", "unknown"),
                parameters={},
                counts=run.get("counts", {}),
                quality=run.get("quality"),
                lines={},
                unterminated=[],
                files={},
                movies=f"the result of run {run_id} cannot be read: {error}",
            )
        try:
            quality = self.quality(run_id, manifest)
        except (PartError, QualityError):
            quality = None
        movies: Movies | str
        try:
            movies = self.movies(run_id, manifest, until)
        except (PartError, TimeoutError, ClientError) as error:  # for example archived
            movies = f"the lists of run {run_id} cannot be compared: {error}"
        return Result(
            run_id=run_id,
            measure=manifest.measure,
            parameters=parameters(manifest),
            counts=manifest.counts,
            quality=quality_gate.to_item(quality) if quality else None,
            lines=manifest.dataset.get("lines", {}),
            unterminated=manifest.dataset.get("unterminated", []),
            files=self.files(run_id),
            movies=movies,
        )

    def files(self, run_id: str) -> dict[str, str]:
        """Return the checksum of each input file of a run, and as `code` that of its job.

        S3's ETags: both prefixes are written by requests that make them MD5 sums.
        """
        found: dict[str, str] = {}
        code = hashlib.sha256()
        for prefix in (input_prefix(run_id), code_prefix(run_id)):
            listed = self.s3.list_objects_v2(Bucket=self.bucket, Prefix=prefix).get("Contents", [])
            for item in listed:
                name = item["Key"].removeprefix(prefix)
                if prefix == input_prefix(run_id):
                    found[name] = item["ETag"]
                else:
                    code.update(f"{name} {item['ETag']}\n".encode())
                    found["code"] = code.hexdigest()
        return found

    def _bytes(self, run_id: str, part: Part) -> bytes:
        """Read a part and check it against the manifest."""
        key = run_prefix(run_id) + part.name
        try:
            blob = self.s3.get_object(Bucket=self.bucket, Key=key)["Body"].read()
        except self.s3.exceptions.NoSuchKey as error:
            raise PartError(f"{part.name} is in the manifest but not in S3") from error
        if hashlib.sha256(blob).hexdigest() != part.sha256:
            raise PartError(
                f"{part.name} does not match the manifest: {len(blob)} bytes with a different "
                f"SHA-256; {part.bytes} bytes expected"
            )
        return blob


def parameters(manifest: Manifest) -> Mapping[str, float | None]:
    """The parameters of the job and of the default measure by which two runs may differ.

    What the data decides, such as the number of movies of EASE, is not a parameter.
    """
    found = dict(manifest.parameters)
    for measure, values in manifest.measures.items():
        found |= {f"{measure}.{name}": each for name, each in values.items() if name != "movies"}
    return found

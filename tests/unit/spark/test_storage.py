"""Files by URI: written completely or not at all, on disk and on S3."""

import hashlib
import uuid
from collections.abc import Iterator
from pathlib import Path

import boto3
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from moto.server import ThreadedMotoServer

from spark import storage
from spark.contracts.manifest import NEIGHBOURS
from spark.output.results import write_lines
from spark.parquet import write_empty, write_parquet

ODD = "my [odd] 50% d%20ta +&=?#ü"


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A bucket of a local S3."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    where = {"LocationConstraint": "eu-central-1"}
    name = f"results-{uuid.uuid4().hex}"
    boto3.client("s3").create_bucket(Bucket=name, CreateBucketConfiguration=where)
    yield name
    server.stop()


@pytest.fixture(params=["disk", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A folder whose name has characters that a URI would escape."""
    if request.param == "disk":
        return str(tmp_path / ODD)
    return f"s3://{request.getfixturevalue('bucket')}/runs/{ODD}"


def test_written_files_can_be_listed_read_and_deleted(place: str) -> None:
    uri = storage.child(place, "a.json")
    assert storage.list_files(place) == {}
    storage.write(uri, b"old")
    storage.write(uri, b"newer")
    storage.write(storage.child(place, "below/b"), b"")
    assert storage.list_files(place) == {"a.json": 5}
    assert storage.read(uri) == b"newer"
    assert storage.read(uri, 1, 2) == b"ew"
    assert storage.read(uri, 3) == storage.read(uri, 3, 99) == b"er"
    assert storage.read(uri, 5) == storage.read(uri, 99, 1) == b""
    for name in ("a.json", "below", "never there"):
        storage.delete(storage.child(place, name))
    assert storage.list_files(storage.child(place, "below")) == storage.list_files(place) == {}


def test_parquet_files_are_written_to_disk_and_s3(place: str) -> None:
    batch = pa.RecordBatch.from_pydict({"movie1": [1, 2], "numPairs": [3, 4]})
    uri = storage.child(place, "cell.parquet")
    assert write_parquet(iter([batch, batch]), batch.schema, uri) == 4
    written = pq.read_table(pa.BufferReader(storage.read(uri)))
    assert written.to_pydict() == {"movie1": [1, 2] * 2, "numPairs": [3, 4] * 2}
    write_empty(batch.schema, uri)
    assert pq.read_table(pa.BufferReader(storage.read(uri))) == batch.schema.empty_table()
    assert list(storage.list_files(place)) == ["cell.parquet"]


def test_s3_objects_have_the_given_names(bucket: str) -> None:
    storage.write(f"s3://{bucket}/runs/{ODD}", b"x")
    found = boto3.client("s3").list_objects_v2(Bucket=bucket)["Contents"]
    assert [item["Key"] for item in found] == [f"runs/{ODD}"]


def test_a_stored_part_matches_its_checksum_whatever_its_name(
    bucket: str,
) -> None:
    part = write_lines(f"s3://{bucket}/runs/1", f"{NEIGHBOURS}/part-00000.json.gz", ["{}"] * 9)
    content = boto3.client("s3").get_object(Bucket=bucket, Key=f"runs/1/{part.name}")["Body"].read()
    assert (len(content), hashlib.sha256(content).hexdigest()) == (part.bytes, part.sha256)
    for ending in (
        "gz",
        "bz2",
        "lz4",
        "zst",
        "parquet",
    ):  # endings for which pyarrow would compress
        storage.write(f"s3://{bucket}/plain.{ending}", b"as it is")
        assert storage.read(f"s3://{bucket}/plain.{ending}") == b"as it is"
        with storage.replacing(f"s3://{bucket}/streamed.{ending}") as stream:
            stream.write(b"as it is")
        assert storage.read(f"s3://{bucket}/streamed.{ending}") == b"as it is"


def test_a_file_is_replaced_and_never_overwritten_in_place(tmp_path: Path) -> None:
    target, seen = tmp_path / "manifest.json", tmp_path / "seen"
    storage.write(str(target), b"old")
    seen.hardlink_to(target)  # like a reader that has it open
    storage.write(target.as_uri(), b"new")
    assert (seen.read_text(), target.read_text()) == ("old", "new")
    assert {path.name for path in tmp_path.iterdir()} == {"manifest.json", "seen"}


def test_a_write_that_fails_half_way_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "part"
    target.write_text("old")

    def torn() -> Iterator[pa.RecordBatch]:
        yield pa.RecordBatch.from_pydict({"movie1": [1], "numPairs": [2]})
        raise ValueError("torn")

    schema = pa.schema([("movie1", pa.int64()), ("numPairs", pa.int64())])
    with pytest.raises(ValueError, match="torn"):
        write_parquet(torn(), schema, str(target))
    assert [path.name for path in tmp_path.iterdir()] == ["part"]
    assert target.read_text() == "old"


def test_a_relative_path_becomes_absolute_and_a_uri_stays(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert storage.absolute("data") == str(tmp_path / "data")
    assert storage.absolute("s3://bucket/data") == "s3://bucket/data"

"""The archive of native dependencies: the same input gives the same bytes, of what is used."""

import tarfile
from pathlib import Path

import boto3
import pytest
from moto import mock_aws

from local import environment
from local.environment import ArchiveError


def installed(folder: Path) -> Path:
    """A folder as an installation leaves it."""
    files = {
        "numpy/__init__.py": "x = 1",
        "numpy/core.so": "binary",
        "numpy/tests/test_it.py": "assert 1",
        "numpy/include/numpy.h": "int x;",
        "numpy-1.dist-info/METADATA": "Name: numpy",
        "numpy-1.dist-info/RECORD": str(folder),
        "numpy-1.dist-info/INSTALLER": "uv",
        "pyarrow/libarrow_flight.so": "unused",
        ".lock": "",
    }
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def test_the_same_files_give_the_same_archive_wherever_they_stand(tmp_path: Path) -> None:
    for place in ("one", "another/place"):
        environment.pack(installed(tmp_path / place), tmp_path / f"{place[:3]}.tar")
    assert (tmp_path / "one.tar").read_bytes() == (tmp_path / "ano.tar").read_bytes()


def test_what_nobody_imports_stays_out(tmp_path: Path) -> None:
    environment.pack(installed(tmp_path / "one"), tmp_path / "one.tar")
    with tarfile.open(tmp_path / "one.tar") as archive:
        assert archive.getnames() == [
            "numpy-1.dist-info/METADATA",
            "numpy/__init__.py",
            "numpy/core.so",
        ]


def test_the_archive_is_put_where_the_launcher_looks_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = tmp_path / "archive"
    archive.write_text("bytes")
    monkeypatch.setattr(environment, "ensure", lambda: archive)
    with mock_aws():
        s3 = boto3.client("s3", region_name="eu-central-1")
        where = {"LocationConstraint": "eu-central-1"}
        s3.create_bucket(Bucket="results", CreateBucketConfiguration=where)
        assert environment.upload(s3, "results")
        assert not environment.upload(s3, "results")
        (item,) = s3.list_objects_v2(Bucket="results")["Contents"]
    assert item["Key"] == f"environments/{environment.named()}.tar.gz"


def test_a_lock_that_gives_another_archive_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environment, "BUILD", tmp_path)
    monkeypatch.setattr(environment, "build", lambda: tmp_path / "environment-other.tar.gz")
    with pytest.raises(ArchiveError, match=r"spark/environment\.sha256 names"):
        environment.ensure()

"""The job archive: the same input gives the same bytes, and only needed files are in it."""

import gzip
import importlib.util
import subprocess
import sys
import tarfile
from pathlib import Path

import boto3
import pytest
from moto import mock_aws

from tests.conftest import ROOT
from tools import job_archive
from tools.job_archive import ArchiveError


def installed(folder: Path) -> Path:
    """Fill a folder as an installation does."""
    files = {
        "numpy/__init__.py": "x = 1",
        "numpy/core.so": "binary",
        "numpy/tests/test_it.py": "assert 1",
        "numpy/include/numpy.h": "int x;",
        "numpy-1.dist-info/METADATA": "Name: numpy",
        "numpy-1.dist-info/RECORD": str(folder),
        "numpy-1.dist-info/INSTALLER": "uv",
        "pyarrow/libarrow_flight.so": "unused",
        "scipy/stats/__init__.py": "unused",
        "scipy/version.py": "unused = 1",
        ".lock": "",
    }
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


@pytest.fixture
def building(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The build folder, with `installed` instead of wheels."""
    monkeypatch.setattr(job_archive, "BUILD", tmp_path / "build")
    monkeypatch.setattr(job_archive, "install", installed)
    return tmp_path / "build"


def test_the_same_files_give_the_same_archive_in_any_folder(tmp_path: Path) -> None:
    for place in ("one", "another/place"):
        job_archive.prune(installed(tmp_path / place))
        job_archive.pack(tmp_path / place, tmp_path / f"{place[:3]}.tar")
    assert (tmp_path / "one.tar").read_bytes() == (tmp_path / "ano.tar").read_bytes()


@pytest.mark.usefixtures("building")
def test_the_archive_has_the_packages_and_the_loops_without_files_that_nobody_imports() -> None:
    with tarfile.open(job_archive.build()) as archive:
        assert archive.getnames() == [
            "numpy-1.dist-info/METADATA",
            "numpy/__init__.py",
            f"numpy/__pycache__/__init__.{sys.implementation.cache_tag}.pyc",
            "numpy/core.so",
            f"scipy/__pycache__/version.{sys.implementation.cache_tag}.pyc",
            "scipy/version.py",
            "similar_titles_loops.so",
        ]


def test_no_module_of_the_job_imports_a_part_of_scipy_that_the_archive_lacks() -> None:
    program = """
import importlib, pkgutil, sys, spark
for module in pkgutil.walk_packages(spark.__path__, "spark."):
    importlib.import_module(module.name)
print(*(name for name in sys.modules if name.startswith("scipy.")))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    imported = {name.split(".")[1] for name in done.stdout.split()}
    assert "sparse" in imported
    assert not imported & job_archive.UNUSED_IN_SCIPY


def test_an_archives_name_depends_on_the_packages_and_not_on_the_bytecode(
    building: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = job_archive.build()
    content = gzip.decompress(path.read_bytes())

    def other(folder: Path) -> None:
        (folder / "numpy" / "__pycache__").mkdir()
        (folder / "numpy" / "__pycache__" / "__init__.pyc").write_text("by another Python")

    monkeypatch.setattr(job_archive, "add_bytecode", other)
    assert job_archive.build() == path
    assert gzip.decompress(path.read_bytes()) != content
    assert [each.name for each in building.iterdir()] == [path.name]


@pytest.mark.usefixtures("building")
def test_a_node_that_cannot_write_bytecode_compiles_nothing(tmp_path: Path) -> None:
    with tarfile.open(job_archive.build()) as archive:
        archive.extractall(tmp_path / "node", filter="data")
    python = subprocess.run(
        [sys.executable, "-v", "-c", "import numpy; print(numpy.x)"],
        env={"PYTHONPATH": str(tmp_path / "node"), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    source = str(tmp_path / "node" / "numpy" / "__init__.py")
    cached = importlib.util.cache_from_source(source)
    assert python.stdout == "1\n"
    assert f"# {cached} matches {source}" in python.stderr
    assert f"# code object from '{source}'" not in python.stderr
    assert str(tmp_path / "build").encode() not in Path(cached).read_bytes()


def test_a_module_that_cannot_be_compiled_is_reported(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("def")
    with pytest.raises(ArchiveError, match="cannot be compiled"):
        job_archive.add_bytecode(tmp_path)


def test_the_archive_is_uploaded_once_to_where_the_launcher_expects_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = tmp_path / "archive"
    archive.write_text("bytes")
    monkeypatch.setattr(job_archive, "ensure_archive", lambda: archive)
    with mock_aws():
        s3 = boto3.client("s3", region_name="eu-central-1")
        where = {"LocationConstraint": "eu-central-1"}
        s3.create_bucket(Bucket="results", CreateBucketConfiguration=where)
        assert job_archive.upload(s3, "results")
        assert not job_archive.upload(s3, "results")
        (item,) = s3.list_objects_v2(Bucket="results")["Contents"]
    assert item["Key"] == f"environments/{job_archive.locked_sha256()}.tar.gz"


def test_a_lock_that_gives_another_archive_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_archive, "BUILD", tmp_path)
    monkeypatch.setattr(job_archive, "build", lambda: tmp_path / "environment-other.tar.gz")
    with pytest.raises(ArchiveError, match=r"spark/environment\.sha256 names"):
        job_archive.ensure_archive()

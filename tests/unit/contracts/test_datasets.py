"""Dropped folders: when they are complete, and the identity of their data set."""

from dataclasses import replace
from datetime import UTC, datetime
from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets import (
    NAMES,
    DatasetFile,
    Folder,
    dataset,
    dataset_files,
    fingerprint_of,
    fingerprints_of,
    folder_of,
)
from spark.contracts.movielens import DatasetError
from tools.template import template

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
FILES = st.builds(
    DatasetFile,
    key=st.text(min_size=1),
    etag=st.text(alphabet="0123456789abcdef-", min_size=1),
    size=st.integers(0, 2**40),
    modified=st.just(NOW),
)


def folder(*names: str, uploading: frozenset[str] = frozenset()) -> Folder:
    """A folder of files with these names."""
    files = tuple(DatasetFile(f"ml/{name}", f'"{name}"', 1, NOW) for name in names)
    return Folder("datasets", "ml/", files, uploading)


@pytest.mark.parametrize(
    ("key", "prefix"),
    [
        ("ml/ratings.dat", "ml/"),
        ("a/b c/ml+1/u.item", "a/b c/ml+1/"),
        ("movies.csv", ""),
        ("ml/myratings.dat", None),
        ("ml/ratings.dat/", None),
        ("ml/ratings.dat.gz", "ml/"),
        ("ml/RATINGS.DAT", "ml/"),
        ("ml/Rating.csv.GZ", "ml/"),
        ("ml/tags.csv", "ml/"),
        ("ml/genome-scores.csv", "ml/"),
        ("ml/Genome_Tags.csv.gz", "ml/"),
        ("ml/ratings.csv/part-00000-5e3a-c000.csv", "ml/"),
        ("ml/ratings.csv/part-00000-5e3a-c000.csv.gz", "ml/"),
        ("ratings.csv/part-00000", ""),
        ("ml/ratings.csv/_SUCCESS", None),
        ("ml/ratings.csv/.part-00000-5e3a-c000.csv.crc", None),
        ("ml/ratings.csv/_temporary/0/part-00000.csv", None),
        ("ml/ratings.csv/part-00000.parquet", None),
        ("ml/part-00000.csv", None),
        ("ml/movies_metadata.csv", None),
        ("ml/links.csv", "ml/"),
        ("ml/Link.csv.gz", "ml/"),
        ("drop/ml-1m.zip", "drop/ml-1m.zip"),
        ("ML-1M.ZIP", "ML-1M.ZIP"),
    ],
)
def test_data_files_are_recognised_by_name(key: str, prefix: str | None) -> None:
    assert folder_of(key) == prefix


names = st.sampled_from(sorted(NAMES)).flatmap(
    lambda name: st.sampled_from([name, name.upper(), name.capitalize(), f"{name}.gz"])
)
parts = st.sampled_from(["part-00000", "part-00001-5e3a-c000.csv", "part-00001-5e3a-c000.csv.gz"])
keys = st.one_of(
    st.builds("{}{}".format, st.sampled_from(["", "ml/", "a/b/"]), names),
    st.builds("{}{}/{}".format, st.sampled_from(["", "ml/", "a/b/"]), names, parts),
    st.sampled_from(["ml-1m.zip", "drop/ML-1M.ZIP"]),
)


@given(key=keys)
def test_the_events_of_all_data_files_reach_the_launcher(key: str) -> None:
    rule = template()["Resources"]["DatasetDroppedRule"]["Properties"]
    patterns = rule["EventPattern"]["detail"]["object"]["key"]
    suffixes = [each["suffix"]["equals-ignore-case"] for each in patterns if "suffix" in each]
    wildcards = [each["wildcard"] for each in patterns if "wildcard" in each]
    assert folder_of(key) is not None
    assert key.lower().endswith(tuple(suffixes)) or any(
        fnmatchcase(key, wildcard) for wildcard in wildcards
    )


def test_a_zip_is_complete_as_soon_as_it_is_there() -> None:
    file = DatasetFile("drop/ml.zip", '"e"', 1, NOW)
    assert Folder("datasets", "drop/ml.zip", (file,)).is_complete
    assert not Folder("datasets", "drop/ml.zip", (file,), frozenset({"drop/ml.zip"})).is_complete
    assert not Folder("datasets", "drop/ml.zip", ()).is_complete
    assert dataset_files(Folder("datasets", "drop/ml.zip", (file,))) == [file]


def test_a_folder_is_complete_when_a_format_is_and_nothing_is_being_uploaded() -> None:
    assert folder("ratings.dat", "movies.dat").is_complete
    assert not folder("ratings.dat", "movies.csv").is_complete
    assert not folder("ratings.dat", "movies.dat", uploading=frozenset({"ratings.dat"})).is_complete
    assert not folder().is_complete


@given(files=st.lists(FILES, min_size=1, max_size=3, unique_by=lambda file: file.key))
def test_the_fingerprint_does_not_depend_on_order(files: list[DatasetFile]) -> None:
    assert fingerprint_of(files) == fingerprint_of(files[::-1])


@given(one=FILES, other=FILES)
def test_different_files_have_different_fingerprints(one: DatasetFile, other: DatasetFile) -> None:
    assert (fingerprint_of([one]) == fingerprint_of([other])) == (one == other)


@given(one=FILES, other=FILES)
def test_a_checksum_identifies_a_file_whatever_its_etag(
    one: DatasetFile, other: DatasetFile
) -> None:
    first = replace(one, checksum="ChecksumCRC64NVME=x")
    assert fingerprint_of([replace(first, etag=other.etag)]) == fingerprint_of([first])
    assert fingerprint_of([replace(first, checksum="ChecksumCRC64NVME=y")]) != fingerprint_of(
        [first]
    )
    assert fingerprints_of([first]) == (fingerprint_of([first]), fingerprint_of([one]))
    assert fingerprints_of([one]) == (fingerprint_of([one]),)


def test_half_of_another_format_does_not_change_the_data_set() -> None:
    alone = dataset_files(folder("ratings.dat", "movies.dat"))
    assert dataset_files(folder("ratings.dat", "movies.dat", "u.data")) == alone


def test_two_complete_formats_are_not_a_data_set() -> None:
    with pytest.raises(DatasetError, match="keep the files of one format"):
        dataset(folder("ratings.dat", "movies.dat", "u.data", "u.item"))

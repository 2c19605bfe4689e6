"""Dropped folders: when they are complete, and the identity of their data set."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets import DatasetFile, Folder, dataset, dataset_files, fingerprint_of, folder_of
from spark.contracts.movielens import DatasetError

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
        ("ml/ratings.dat.gz", None),
        ("ml/RATINGS.DAT", None),
    ],
)
def test_data_files_are_recognised_by_name(key: str, prefix: str | None) -> None:
    assert folder_of(key) == prefix


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


def test_half_of_another_format_does_not_change_the_data_set() -> None:
    alone = dataset_files(folder("ratings.dat", "movies.dat"))
    assert dataset_files(folder("ratings.dat", "movies.dat", "u.data")) == alone


def test_two_complete_formats_are_not_a_data_set() -> None:
    with pytest.raises(DatasetError, match="keep the files of one format"):
        dataset(folder("ratings.dat", "movies.dat", "u.data", "u.item"))

"""The intake check: samples are enough to find unusable files."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets import dataset, list_folder
from launcher import intake
from launcher.intake import CHUNK, chunk_offsets, sample_lines
from spark.contracts.movielens import DatasetError
from tests.builders.aws import MOVIES, RATINGS, Cloud, long_ago

GOOD = "7::12::4.5::978300760\n"


def check(cloud: Cloud, ratings: bytes | str, movies: bytes | str = MOVIES) -> list[intake.Finding]:
    """Drop a folder and check it."""
    cloud.put("ml/ratings.dat", ratings)
    cloud.put("ml/movies.dat", movies)
    return intake.check(cloud.s3, dataset(list_folder(cloud.s3, "datasets", "ml/", long_ago())))


def test_a_good_folder_passes_and_its_lines_are_counted(cloud: Cloud) -> None:
    ratings, movies = check(cloud, RATINGS)
    assert (ratings.lines, ratings.defects) == (40, {})
    assert (movies.lines, movies.defects) == (2, {})


def test_a_few_bad_lines_are_reported_and_accepted(cloud: Cloud) -> None:
    ratings, _ = check(cloud, RATINGS + "1::1::9::1\nrubbish\n")
    assert ratings.defects == {"scale": 1, "columns": 1}
    assert ratings.samples[0] == {
        "offset": len(RATINGS), "line": "1::1::9::1", "defect": "scale",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("ratings", "message"),
    [
        ("", "ratings.dat has no line of data"),
        ("\n \n", "ratings.dat has no line of data"),
        (
            GOOD + "rubbish\n" * 2,
            "2 of 3 sampled lines .* .columns 2.: expected userId::movieId::rating::timestamp; "
            "found 'rubbish' at byte 22",
        ),
        (b"\x00" * 300_000, "ratings.dat has no line of data|malformed"),
        (b"\xff\xfe1\x00,\x002\x00\n\x00" * 40, "found UTF-16: save the file as UTF-8"),
        ("1::2::5::4\n" * 60 + "1::2::8::4\n" * 40, "half stars; found '1::2::8::4'"),
        ("x" * 1_000_000, "ratings.dat has no line of data"),
        (GOOD * 3000 + "rubbish\n" * 90_000, "malformed"),
    ],
)
def test_an_unusable_ratings_file_is_refused(cloud: Cloud, ratings: bytes, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        check(cloud, ratings)


def test_both_files_are_reported(cloud: Cloud) -> None:
    with pytest.raises(
        DatasetError, match=r"ratings\.dat has no line of data: .*; movies\.dat: 1 of 1"
    ):
        check(cloud, "", "rubbish\n")


def test_a_file_that_is_replaced_meanwhile_is_not_sampled(cloud: Cloud) -> None:
    cloud.drop("ml", ratings=RATINGS)
    seen = dataset(list_folder(cloud.s3, "datasets", "ml/", long_ago()))
    cloud.drop("ml", ratings=RATINGS + RATINGS)
    with pytest.raises(
        DatasetError, match=r"ratings\.dat was replaced while the run was being prepared"
    ):
        intake.check(cloud.s3, seen)


def test_titles_in_latin_1_are_accepted(cloud: Cloud) -> None:
    _, movies = check(cloud, RATINGS, "1::Misérables, Les (1995)::Drama\n".encode("latin-1"))
    assert movies.defects == {}


@given(
    lines=st.lists(st.text("ab:", max_size=9), max_size=12),
    start=st.integers(0, 60),
    size=st.integers(0, 60),
)
def test_sampled_lines_are_whole_lines_of_the_file(lines: list[str], start: int, size: int) -> None:
    blob = "".join(f"{line}\n" for line in lines).encode()
    start = min(start, len(blob))
    sampled = sample_lines(blob[start : start + size], start, len(blob))
    for offset, text in sampled:
        assert offset == 0 or blob[offset - 1 : offset] == b"\n"
        assert blob[offset:].split(b"\n")[0].decode() == text
    if start == 0 and size >= len(blob):
        assert [text for _, text in sampled] == [line for line in lines if line]


@given(size=st.integers(0, 10 * CHUNK))
def test_samples_stay_inside_the_file_and_see_its_head_and_end(size: int) -> None:
    offsets = chunk_offsets(size)
    assert all(0 <= offset < size for offset in offsets)
    assert len(offsets) <= 3
    if size:
        assert offsets[0] == 0
        assert offsets[-1] + CHUNK >= size

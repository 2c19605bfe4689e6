"""Tags as people give them: one spelling, no notes about copies, nobody's voice too loud."""

import math
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spark.contracts.movielens import FORMATS
from spark.contracts.movielens_lines import MAX_ID
from spark.ingest.tags import MOST_PER_USER, normalised, read_tags, says_something

DAT, CSV, _ = FORMATS


def tags_of(folder: Path, lines: Iterable[tuple[int, int, str]]) -> dict[tuple[int, str], float]:
    """The weights of a file of tags.dat's format: user, movie, tag."""
    path = folder / "tags.dat"
    path.write_text("".join(f"{user}::{movie}::{tag}::0\n" for user, movie, tag in lines))
    return read_tags(str(path), DAT.tags_layout)


@pytest.mark.parametrize(
    ("tag", "spellings"),
    [
        ("sci fi", ["Sci-Fi", "sci fi", "SCI_FI", " sci\tfi ", "sci\u2010fi", "\uff53ci/fi!"]),
        ("schindlers list", ["Schindler's List", "schindler\u2019s  list", "Schindlers List"]),
        ("am\u00e9lie", ["Am\u00e9lie", "Ame\u0301lie", "AM\u00c9LIE", "Ame'\u0301lie"]),
        ("oscar best picture", ["Oscar (Best Picture)", "oscar: best picture"]),
        ("strasse", ["Stra\u00dfe", "STRASSE"]),
        ("\u0939\u093f\u0928\u094d\u0926\u0940", ["\u0939\u093f\u0928\u094d\u0926\u0940"]),
        ("", ["", " - ", "***", "\u2605\u2605\u2605", "'", "\u00b4"]),
    ],
)
def test_all_spellings_of_a_tag_are_one(tag: str, spellings: list[str]) -> None:
    assert {normalised(each) for each in spellings} == {tag}


@given(st.text())
def test_a_normalised_tag_stays_as_it_is(text: str) -> None:
    tag = normalised(text)
    assert normalised(tag) == tag
    assert tag == " ".join(tag.split())


@given(st.text(st.characters(codec="ascii")), st.sampled_from([str.upper, str.title, str.lower]))
def test_case_does_not_matter(text: str, change: type[str.upper]) -> None:
    assert normalised(change(text)) == normalised(text)


@pytest.mark.parametrize(
    "text",
    ["In Netflix queue", "not available from Netflix", "tumey's DVDs", "erlend's DVDs", "dvd",
     "DVD-Video", "BD-R", "TiVo", "less than 300 ratings", "seen more than once",
     "seen at the cinema", "watched 2007", "Can't remember", "to see", "To-Buy", "my movies",
     "owned", "toplist07", "imdb top 250", "IMDB Bottom 100", "overrated", "2007", "3.5",
     "4 stars", "!!!"],
)  # fmt: skip
def test_tags_about_the_person_the_copy_or_the_rating_are_left_out(text: str) -> None:
    assert not says_something(normalised(text))


@pytest.mark.parametrize(
    "text",
    ["007", "9/11", "1980s", "World War 2", "70mm", "seeing double", "to kill a mockingbird",
     "bad acting", "good soundtrack", "great ending", "boring life", "imdb", "ownership",
     "library scene", "oscar (best picture)", "R"],
)  # fmt: skip
def test_tags_about_the_movie_stay(text: str) -> None:
    assert says_something(normalised(text))


def test_a_tag_weighs_one_and_the_logarithm_of_its_users(tmp_path: Path) -> None:
    lines = [(1, 7, "Sci-Fi"), (2, 7, "sci fi"), (3, 7, "SCI_FI"), (1, 8, "sci fi")]
    lines += [(3, 7, "robots"), (3, 8, "In Netflix queue")]
    assert tags_of(tmp_path, lines) == {
        (7, "sci fi"): pytest.approx(1 + math.log(3)), (8, "sci fi"): 1, (7, "robots"): 1,
    }  # fmt: skip


def test_a_user_counts_once_per_movie_and_tag(tmp_path: Path) -> None:
    found = tags_of(tmp_path, [(1, 7, "noir"), (1, 7, "Noir"), (1, 7, "NOIR!"), (1, 8, "noir")])
    assert found == {(7, "noir"): 1, (8, "noir"): 1}


def test_only_the_first_tags_of_a_user_count_for_a_movie(tmp_path: Path) -> None:
    many = [(1, 7, f"tag {chr(97 + place)}") for place in reversed(range(MOST_PER_USER + 5))]
    # Repeated and stopped tags take no place.
    noise = [(1, 7, many[0][2]), (1, 7, "seen 2007"), (1, 7, many[0][2].upper())]
    others = [(1, 8, "tag z"), (2, 7, "tag a"), (2, 7, many[0][2])]
    found = tags_of(tmp_path, [many[0], *noise, others[0], *many[1:], *others[1:]])
    expected = {(7, tag): 1.0 for _, _, tag in many[:MOST_PER_USER]}
    expected |= {(7, many[0][2]): 1 + math.log(2), (8, "tag z"): 1.0, (7, "tag a"): 1.0}
    assert found == pytest.approx(expected)


@given(
    st.lists(
        st.tuples(
            st.sampled_from([0, 1, MAX_ID]), st.sampled_from([0, MAX_ID]), st.sampled_from("abcdef")
        ),
        max_size=60,
    )
)
def test_weights_match_plain_loops(
    tmp_path_factory: pytest.TempPathFactory, lines: list[tuple[int, int, str]]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("spark.ingest.tags.MOST_PER_USER", 3)
        found = tags_of(tmp_path_factory.mktemp("tags"), lines)
    described: dict[tuple[int, int], list[str]] = {}
    for user, movie, tag in lines:
        given = described.setdefault((user, movie), [])
        if tag not in given and len(given) < 3:
            given.append(tag)
    users = [(movie, tag) for (_, movie), given in described.items() for tag in given]
    assert found == pytest.approx({each: 1 + math.log(users.count(each)) for each in users})


def test_bad_lines_are_skipped(tmp_path: Path) -> None:
    good = "1::7::Pixar::0\n2::7:: pixar ::0\n3::7::PIXAR  film::0\n"
    bad = "nonsense\n4::x::pixar::0\nx::7::pixar::0\n5::7::::0\n"
    (tmp_path / "tags.dat").write_text(good + bad)
    found = read_tags(str(tmp_path / "tags.dat"), DAT.tags_layout)
    assert found == {(7, "pixar"): pytest.approx(1 + math.log(2)), (7, "pixar film"): 1}
    (tmp_path / "tags.csv").write_text('userId,movieId,tag,timestamp\r\n1,7,"a, ""b""",0\r\n')
    assert read_tags(str(tmp_path / "tags.csv"), CSV.tags_layout) == {(7, "a b"): 1}
    (tmp_path / "tags.csv").write_text("userId,movieId,tag,timestamp\n")
    assert read_tags(str(tmp_path / "tags.csv"), CSV.tags_layout) == {}

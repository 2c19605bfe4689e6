"""People's judgements: which files are read, which movies are found, and the area under the ROC."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import mannwhitneyu

from evaluation.auc import auc
from evaluation.judgements import Judgement, JudgementsError, Title, join, read
from spark.contracts.movielens import FORMATS
from spark.ingest.movies import Catalogue, catalogue, described, parse_movie

LINES = [
    "1,Toy Story (1995),Animation",
    '2,"Matrix, The (1999)",Sci-Fi',
    '3,"City of Lost Children, The (Cité des enfants perdus, La) (1995)",Fantasy',
    "4,Seven (a.k.a. Se7en) (1995),Thriller",
    "5,Fast & Furious (2009),Action",
    "6,Hamlet (1990),Drama",
    "7,Hamlet (1992),Drama",
    "8,Night (2000),Drama",
    "9,Night (2000),Comedy",
    "10,Without a Year,Drama",
    "11,Schindler's List (1993),Drama",
]


def movies() -> Catalogue:
    layout = FORMATS[1].movies_layout
    nobody = np.empty(0, np.int32)
    return catalogue(
        described(parse_movie(line, layout) for line in LINES), nobody, nobody.astype(int)
    )


def file(tmp_path: Path, text: str | bytes) -> Path:
    path = tmp_path / "judgements.tsv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


# Two first titles for each rating, without which nothing is joined.
ENOUGH = [
    Judgement(first, second, is_alike)
    for first, second in ((1, 2), (2, 1))
    for is_alike in (True, False)
]


def found_as(title: str, year: int | None) -> int | None:
    """The id of the movie that a title is joined with."""
    known = movies()
    pairs = join([*ENOUGH, Judgement(Title(title, year), 10, True)], known)
    assert pairs.unjoined == 5 - pairs.first.size
    return None if pairs.unjoined else int(known.ids[pairs.first[-1]])


def test_the_public_files_format_is_read(tmp_path: Path) -> None:
    text = 'title_1\tyear_1\ttitle_2\tyear_2\trating\n"hi" again\t1999\tit\'s, a\t?\tNOT_OK\n'
    assert read(file(tmp_path, text)) == [
        Judgement(Title('"hi" again', 1999), Title("it's, a", None), False)
    ]


@pytest.mark.parametrize("separator", ["\t", ","])
def test_judgements_by_movielens_id_are_read_with_tabs_and_with_commas(
    tmp_path: Path, separator: str
) -> None:
    rows = ("rating", "note", "movie_id_2", "movie_id_1"), ("OK", "x", "7", "0"), ("not_ok", *"x12")
    text = "\ufeff" + "\r\n".join(separator.join(row) for row in rows)
    assert read(file(tmp_path, text)) == [Judgement(0, 7, True), Judgement(2, 1, False)]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "expected the columns title_1, .*; found an empty file"),
        ("title_1\tyear_1\trating\n", "expected the columns .*movie_id_1.*; found title_1, year_1"),
        ("movie_id_1,movie_id_2,rating\n", "has a header but no judgements"),
        (
            "movie_id_1,movie_id_2,rating\n1,2,OK\n1,2,good\n",
            "judgement 2 is not rated OK or NOT_OK but 'good'",
        ),
        ("movie_id_1,movie_id_2,rating\n1,2\n", "judgement 1 does not have 3 columns"),
        ("movie_id_1,movie_id_2,rating\n1,2,OK,4\n", "judgement 1 does not have 3 columns"),
        ("movie_id_1,movie_id_2,rating\ntoy,2,OK\n", "'toy' is not a movie's id"),
        (b"PK\x03\x04\xff\xfe", "judgements.tsv is not text in UTF-8"),
    ],
)
def test_an_unusable_file_is_refused_in_one_sentence(
    tmp_path: Path, text: str | bytes, said: str
) -> None:
    with pytest.raises(JudgementsError, match=said) as refusal:
        read(file(tmp_path, text))
    assert "\n" not in str(refusal.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(JudgementsError, match=r"nowhere\.tsv cannot be read: No such file"):
        read(tmp_path / "nowhere.tsv")


@pytest.mark.parametrize(
    ("title", "year", "movie"),
    [
        ("toy story", 1995, 1),
        ("the matrix", 1999, 2),
        ("The Matrix!", 1999, 2),
        ("the city of lost children", 1995, 3),
        ("la cite des enfants perdus", 1995, 3),
        ("se7en", 1995, 4),
        ("fast and furious", 2009, 5),
        ("schindlers list", 1993, 11),
        ("toy story", 1996, 1),
        ("toy story", 1994, 1),
        ("toy story", 1997, None),
        ("toy story 2", 1995, None),
        ("hamlet", 1990, 6),
        ("hamlet", 1991, None),  # of 1990 or of 1992
        ("night", 2000, None),  # there are two
        ("night", 2001, None),
        ("without a year", 2000, None),
        ("toy story", None, None),
    ],
)
def test_a_title_finds_its_movie_if_there_is_only_one(
    title: str, year: int | None, movie: int | None
) -> None:
    assert found_as(title, year) == movie


def test_judgements_by_id_are_joined_in_their_order_and_the_others_are_counted() -> None:
    known = movies()
    strangers = [Judgement(1, 404, True), Judgement(1, 1, True)]
    pairs = join([*ENOUGH, *strangers], known)
    assert known.ids[pairs.first].tolist() == [1, 1, 2, 2]
    assert known.ids[pairs.second].tolist() == [2, 2, 1, 1]
    assert pairs.counts == {"joined": 4, "unjoined": 2, "alike": 2, "titles": 2}


def test_judgements_that_do_not_join_are_refused() -> None:
    with pytest.raises(JudgementsError, match="none of the 1 judgements is on two movies"):
        join([Judgement(404, 1, True)], movies())
    for kind, rating in ((True, "OK"), (False, "NOT_OK")):
        few = [each for each in ENOUGH if each.first == 1 or each.is_alike != kind]
        with pytest.raises(JudgementsError, match=f"two first titles need one rated {rating}$"):
            join(few, movies())


def test_a_movie_that_the_movies_file_lacks_has_no_title_to_find_it_by() -> None:
    stranger = Catalogue(
        np.array([1], np.int32),
        [json.dumps({"movie_id": 1, "title": None, "year": None, "genres": []})[1:-1]],
        np.zeros(1, np.int64),
        0,
    )
    with pytest.raises(JudgementsError, match="none of the 1"):
        join([Judgement(Title("a", 1999), Title("b", 1999), True)], stranger)


# ---- The area under the ROC curve ----------------------------------------------------------------


judged = st.lists(
    st.tuples(st.integers(0, 4), st.booleans(), st.integers(0, 5)), min_size=1, max_size=20
).map(lambda some: [*some, (0, True, 6), (0, False, 6), (1, True, 7), (1, False, 7)])


def columns(pairs: list[tuple[int, bool, int]]) -> list[np.ndarray]:
    scores, is_alike, groups = zip(*pairs, strict=True)
    return [np.array(scores, float), np.array(is_alike), np.array(groups)]


@given(pairs=judged)
def test_the_area_is_that_of_the_mann_whitney_test(pairs: list[tuple[int, bool, int]]) -> None:
    scores, is_alike, groups = columns(pairs)
    alike, other = scores[is_alike], scores[~is_alike]
    expected = mannwhitneyu(alike, other).statistic / (alike.size * other.size)
    assert auc(scores, is_alike, groups).value == pytest.approx(expected)


@given(pairs=judged)
def test_the_error_is_that_of_leaving_out_one_first_title_at_a_time(
    pairs: list[tuple[int, bool, int]],
) -> None:
    scores, is_alike, groups = columns(pairs)
    names = sorted(set(groups.tolist()))
    values = []
    for name in names:
        rest = groups != name
        alike, other = scores[rest & is_alike], scores[rest & ~is_alike]
        won = [1.0 if a > b else 0.5 if a == b else 0.0 for a in alike for b in other]
        values.append(sum(won) / len(won))
    mean = sum(values) / len(values)
    variance = (len(names) - 1) / len(names) * sum((value - mean) ** 2 for value in values)
    assert auc(scores, is_alike, groups).error == pytest.approx(variance**0.5, abs=1e-12)


def test_judging_each_pair_twice_makes_the_area_no_more_certain() -> None:
    random = np.random.default_rng(0)
    pairs = random.normal(size=60), random.random(60) < 0.5, random.integers(0, 12, 60)
    once, twice = auc(*pairs), auc(*(np.tile(each, 2) for each in pairs))
    assert twice == pytest.approx(once)


def test_the_error_is_the_spread_of_areas_over_repeated_judgements() -> None:
    # 40 titles with five pairs each; a title's pairs share a shift, which makes them dependent.
    random = np.random.default_rng(1)
    areas = []
    for _ in range(300):
        groups = np.repeat(np.arange(40), 5)
        is_alike = random.random(40)[groups] < 0.5
        shift = random.normal(size=40)[groups]
        areas.append(auc(is_alike + shift + random.normal(size=200), is_alike, groups))
    spread = np.std([area.value for area in areas])
    assert np.mean([area.error for area in areas]) == pytest.approx(spread, rel=0.12)

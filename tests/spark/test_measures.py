"""The measures, from the command line to the lines of neighbours/; and what people would check."""

import math
import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyspark import SparkContext
from pyspark.sql import SparkSession

from spark import job
from spark.contracts.manifest import Manifest
from spark.ingest.chunks import RatingTable
from spark.ingest.movies import Catalogue
from spark.measures.content import WEIGHTS, content
from spark.measures.content_lists import content_ranking
from spark.measures.registry import BY_CONTENT, DEFAULT, MEASURES
from tests.builders.folders import folder
from tests.builders.results import manifest_of, read_lines
from tests.conftest import movielens
from tests.spark import oracle

pytestmark = pytest.mark.spark

MOST = 6
USUAL = [name for name, measure in MEASURES.items() if measure.is_usual]

type Row = tuple[int, float, int, float | None]


def lists_of(output: Path) -> dict[str, dict[int, list[Row]]]:
    """Each movie's neighbours by each measure: id, score, co-raters, cosine."""
    found: dict[str, dict[int, list[Row]]] = {}
    for line in read_lines(output, *(part.name for part in manifest_of(output).neighbours)):
        others = [other["movie_id"] for other in line["others"]]
        for measure, rows in line["neighbours"].items():
            ranked = [(others[place], *row) for place, *row in rows]
            found.setdefault(measure, {})[line["movie_id"]] = ranked
    return found


def compute(dataset: Path, output: Path, *arguments: str) -> None:
    assert job.main(["--dataset", str(dataset), "--output", str(output), *arguments]) == 0


def table() -> list[oracle.Rating]:
    """Ratings by 60 users of 30 movies, and of three movies with one or two raters."""
    draw = np.random.default_rng(11)
    liked = draw.random((60, 30)) < np.linspace(0.9, 0.1, 30)
    ratings = [
        (int(user) + 1, int(movie) * 7 + 1, int(draw.integers(1, 11)) / 2)
        for user, movie in np.argwhere(liked)
    ]
    return [*ratings, (1, 1000, 4.0), (2, 1000, 3.5), (99, 1001, 5.0), (3, 1002, 1.0)]


def movie_lines(ratings: list[oracle.Rating]) -> str:
    genres = ["Comedy", "Drama|War", "Drama", "Horror", "Comedy|Horror"]
    movies = sorted({movie for _, movie, _ in ratings})
    return "".join(f"{id}::M{id} ({1950 + id % 40})::{genres[id % 5]}\n" for id in movies)


def write(path: Path, ratings: list[oracle.Rating]) -> Path:
    """A folder with ratings and the rated movies."""
    lines = "".join(f"{user}::{movie}::{stars:g}::1\n" for user, movie, stars in ratings)
    return folder(path, ratings_dat=lines, movies_dat=movie_lines(ratings))


@pytest.mark.usefixtures("running")
def test_every_measure_gives_the_neighbours_of_an_independent_oracle(tmp_path: Path) -> None:
    ratings = table()
    dataset = write(tmp_path / "d", ratings)
    compute(
        dataset, tmp_path / "result", "--min-co-raters", "3", "--min-score", "0.9",
        "--neighbours", str(MOST), "--blocks", "3", "--parameter", "ease.lambda=7",
        "--parameter", "damped.beta=12",
    )  # fmt: skip
    lists = lists_of(tmp_path / "result")
    assert list(lists) == USUAL
    pairs = oracle.similarities(ratings, 3, 0.9)
    exact = {movie: rows for movie, rows in lists["cosine"].items() if rows}
    assert {m: [row[:3] for row in rows] for m, rows in exact.items()} == oracle.neighbours(
        pairs, MOST
    )
    movies, scores, n, cosine = oracle.by_measure(ratings, 3, beta=12, penalty=7)
    for measure, expected in scores.items():
        for place, movie in enumerate(movies.tolist()):
            check(lists[measure][movie], movies.tolist(), expected[place], n[place], cosine[place])
        assert lists[measure][1000] == lists[measure][1001] == []
    for id in (1000, 1001, 1002):
        assert lists["hybrid"][id], "a cold title has neighbours too"
        assert [row[2:] for row in lists["hybrid"][id]] == [(0, None)] * MOST

    manifest = manifest_of(tmp_path / "result")
    assert manifest.measure == DEFAULT
    assert manifest.measures["damped"] == {"beta": 12}
    assert manifest.measures["ease"] == {"lambda": 7, "limit": 12_000, "movies": len(movies)}
    assert "ease" in manifest.timings


@pytest.mark.usefixtures("running")
@pytest.mark.parametrize("limit", [12_000, 10])
def test_the_blend_of_all_pairs_is_its_formula(tmp_path: Path, limit: int) -> None:
    ratings = table()
    dataset = write(tmp_path / "d", ratings)
    tags = {(1, "dark"): 1.0, (8, "dark"): 1 + math.log(2), (1002, "dark"): 1.0, (15, "slow"): 1.0}
    lines = "1::1::dark::0\n1::8::Dark::0\n2::8::dark::0\n3::1002::dark::0\n1::15::slow::0\n"
    (dataset / "tags.dat").write_text(lines)
    compute(
        dataset, tmp_path / "result", "--min-co-raters", "3", "--neighbours", "40",
        "--measures", "blend", "--parameter", "ease.lambda=7",
        "--parameter", f"ease.limit={limit}",
    )  # fmt: skip
    blend, of_blend = lists_of(tmp_path / "result")["blend"], MEASURES["blend"].parameters
    movies, scores, n, cosine = oracle.by_measure(ratings, 3, beta=1, penalty=7)
    raters = Counter(movie for _, movie, _ in ratings)
    popular = sorted(raters, key=lambda movie: (-raters[movie], movie))[:limit]
    among = [each for each in ratings if each[1] in popular]
    in_ease, by_ease, *_ = oracle.by_measure(among, 3, beta=1, penalty=7)
    everything = sorted(raters)
    alike = oracle.content(movie_lines(ratings), tags, {}, WEIGHTS)
    rated = {
        (i, j): scores["full-cosine"][a, b] * (1 if {i, j} <= set(in_ease.tolist()) else 1.75)
        for a, i in enumerate(movies.tolist())
        for b, j in enumerate(movies.tolist())
    }
    for a, i in enumerate(in_ease.tolist()):
        for b, j in enumerate(in_ease.tolist()):
            rated[i, j] += of_blend["ease"] * max(0.0, by_ease["ease"][a, b])
    place = {movie: number for number, movie in enumerate(movies.tolist())}
    nothing = np.zeros(len(everything))
    for i in everything:
        trust = of_blend["trust"]
        alone = of_blend["content"] * trust / (trust + raters[i])
        expected = [
            0.0 if i == j else rated.get((i, j), 0) * (1 + alike[i, j]) + alike[i, j] * alone
            for j in everything
        ]
        common, of_common = nothing.copy(), nothing.copy()
        if i in place:
            at = [everything.index(movie) for movie in movies.tolist()]
            common[at], of_common[at] = n[place[i]], cosine[place[i]]
        check(blend[i], everything, np.array(expected), common, of_common, 40)
    assert blend[1002], "a cold title has neighbours too"


def check(
    rows: list[Row],
    movies: list[int],
    scores: np.ndarray,
    n: np.ndarray,
    cosine: np.ndarray,
    most: int = MOST,
) -> None:
    """Assert that rows are the best by score, in order, with the right co-raters and cosine."""
    place = {movie: number for number, movie in enumerate(movies)}
    ranked = [score for _, score, _, _ in rows]
    assert ranked == sorted(ranked, reverse=True)
    assert len(rows) == min(most, int((scores > 1e-12).sum()))
    for other, score, common, alike in rows:
        at = place[other]
        assert score == pytest.approx(scores[at], rel=1e-5)
        assert common == n[at]
        assert alike is None if not common else alike == pytest.approx(cosine[at], rel=1e-5)
    left = np.delete(scores, [place[other] for other, *_ in rows])
    assert len(rows) < most or left.max() <= ranked[-1] * (1 + 1e-5)


@pytest.mark.usefixtures("running")
def test_beyond_its_limit_ease_uses_the_most_popular_movies_and_says_so(tmp_path: Path) -> None:
    ratings = table()
    dataset = write(tmp_path / "d", ratings)
    compute(
        dataset, tmp_path / "result", "--min-co-raters", "3", "--measures", "ease,als",
        "--neighbours", str(MOST), "--parameter", "ease.limit=10", "--parameter", "als.rank=4",
    )  # fmt: skip
    lists = lists_of(tmp_path / "result")
    assert list(lists) == ["cosine", "ease", "als"]
    raters: dict[int, int] = {}
    for _, movie, _ in ratings:
        raters[movie] = raters.get(movie, 0) + 1
    popular = sorted(raters, key=lambda movie: (-raters[movie], movie))[:10]
    assert {movie for movie, rows in lists["ease"].items() if rows} <= set(popular)
    assert manifest_of(tmp_path / "result").measures["ease"]["movies"] == 10
    movies, scores, *_ = oracle.by_measure(
        [each for each in ratings if each[1] in popular], 1, beta=1, penalty=400
    )
    best = movies[scores["ease"].argmax(axis=1)].tolist()
    assert {m: rows[0][0] for m, rows in lists["ease"].items() if rows} == dict(
        zip(movies.tolist(), best, strict=True)
    )

    assert all(len(rows) for movie, rows in lists["als"].items() if movie < 1000)
    assert all(0 < row[1] <= 1 for rows in lists["als"].values() for row in rows)
    assert not (tmp_path / "result" / "scratch").exists(), "the scratch folder is deleted"


@pytest.fixture(scope="module", params=["ml-latest-small", "ml-1m"])
def release(
    request: pytest.FixtureRequest, spark: SparkSession, tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, int], dict[str, dict[int, list[Row]]], Manifest]:
    """Ids by title, neighbours by measure, and the manifest of a real release."""
    assert spark
    output = tmp_path_factory.mktemp(request.param)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SparkContext, "stop", lambda _: None)
        compute(movielens(request.param), output)
    titles = {line["title"]: line["movie_id"] for line in read_titles(output)}
    return titles, lists_of(output), manifest_of(output)


def read_titles(output: Path) -> list[dict[str, Any]]:
    return read_lines(output, manifest_of(output).titles.name)


def test_toy_storys_first_neighbour_is_toy_story_2(release: tuple) -> None:
    titles, lists, _ = release
    for measure in ("blend", "ease"):
        first = lists[measure][titles["Toy Story (1995)"]][0]
        assert first[0] == titles["Toy Story 2 (1999)"]
    assert lists["hybrid"][titles["Toy Story (1995)"]][0][0] == titles["Toy Story 2 (1999)"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Toy Story (1995)", "Toy Story 2 (1999)"),
        ("Godfather, The (1972)", "Godfather: Part II, The (1974)"),
        ("Star Wars: Episode IV - A New Hope (1977)",
         "Star Wars: Episode V - The Empire Strikes Back (1980)"),
        ("Alien (1979)", "Aliens (1986)"),
        ("Back to the Future (1985)", "Back to the Future Part II (1989)"),
    ],
)  # fmt: skip
def test_sequels_find_each_other(release: tuple, one: str, other: str) -> None:
    titles, lists, manifest = release
    for seed, wanted in ((one, other), (other, one)):
        nearest = [id for id, *_ in lists[manifest.measure][titles[seed]][:5]]
        assert titles[wanted] in nearest


def test_the_evidence_for_a_pair_is_the_same_by_every_measure(release: tuple) -> None:
    _, lists, _ = release
    looked_up = 0
    for movie, rows in lists["ease"].items():
        in_cells = {
            other: (n, cosine)
            for measure in ("damped", "full-cosine", "jaccard")
            for other, _, n, cosine in lists[measure][movie]
        }
        for other, _, n, cosine in rows:
            if other in in_cells:
                assert (n, cosine) == in_cells[other]
                looked_up += 1
    assert looked_up > 10_000


def test_no_movie_is_its_own_neighbour_and_scores_fall_with_rank(release: tuple) -> None:
    _, lists, _ = release
    for of_movies in lists.values():
        for movie, rows in of_movies.items():
            others = [other for other, *_ in rows]
            assert movie not in others
            assert len(set(others)) == len(others) <= 50
            scores = [score for _, score, *_ in rows]
            assert scores == sorted(scores, reverse=True)
            assert all(math.isfinite(score) and score > 0 for score in scores)


@pytest.mark.parametrize("measure", ["blend", "hybrid"])
def test_every_title_with_ratings_or_content_has_neighbours(release: tuple, measure: str) -> None:
    titles, lists, manifest = release
    covered = {movie: len(rows) >= 10 for movie, rows in lists[measure].items()}
    share = sum(covered.values()) / len(covered)
    assert manifest.coverage[measure] == pytest.approx(share, abs=1e-4)
    without = {movie for movie, enough in covered.items() if not enough}
    assert not any(lists["ease"][movie] for movie in without)
    has_year = {id for title, id in titles.items() if re.search(r"\(\d{4}\)\s*$", title)}
    assert not without & has_year, "hundreds of movies are of the same years"
    assert manifest.coverage["cosine"] <= manifest.coverage["ease"] < 1


def test_neighbours_by_content_alone_have_no_co_raters_and_no_cosine(release: tuple) -> None:
    _, lists, _ = release
    cold = [movie for movie, rows in lists["ease"].items() if not rows]
    for measure in ("blend", "hybrid"):
        assert {row[2:] for movie in cold for row in lists[measure][movie]} == {(0, None)}


def test_by_content_the_trial_counts_only_the_raters_among_the_other_users(
    spark: SparkSession,
) -> None:
    ids, ratings = np.array([1, 2, 3, 4], np.int32), np.array([10, 30, 20, 10])
    about = [f'"movie_id":{id},"title":"Film","year":null,"genres":["Drama"]' for id in ids]
    users = np.arange(25, dtype=np.int32)  # all of them rated movie 2
    left_out = RatingTable(users, np.full(25, 2, np.int32), np.full(25, 8, np.uint8))
    ranking = content_ranking(
        spark.sparkContext,
        content(Catalogue(ids, about, ratings, 70), {}),
        left_out,
        of=ids[:1],
        range_starts=np.array([1, 3], np.int32),
        count=1,
    )
    found = [each for number in (0, 1) for each in ranking.rank(number)]

    def pairs(is_held_out: bool) -> dict[int, int]:
        lists = [each.lists for each in found if each.is_held_out == is_held_out]
        return {
            movie: other
            for rows in lists
            for movie, other in zip(rows.movies.tolist(), rows.neighbours.tolist(), strict=True)
        }

    assert {each.measure for each in found} == {BY_CONTENT}
    assert pairs(is_held_out=False) == {1: 2, 2: 3, 3: 2, 4: 2}
    assert pairs(is_held_out=True) == {1: 3}

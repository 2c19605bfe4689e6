"""quality.json: evaluated lists use the other users' ratings, published lists use all ratings."""

import hashlib
import random
from pathlib import Path

import numpy as np
import pytest

from spark import job
from spark.contracts.quality import Quality
from spark.contracts.strength import strength_of
from spark.engine.top_k import NeighbourLists
from spark.self_evaluation.held_out import HeldOutRatings
from tests.builders.folders import folder
from tests.builders.results import manifest_of, read_lines, run
from tests.conftest import movielens

pytestmark = [pytest.mark.spark, pytest.mark.usefixtures("running")]

MOVIES = range(1, 41)
MOVIES_DAT = "".join(f"{movie}::M{movie} (1999)::Drama\n" for movie in MOVIES)


def lines_of(seed: int) -> list[str]:
    """Ratings of 600 users with two tastes, as lines."""
    chance = random.Random(seed)
    return [
        f"{user}::{movie}::{chance.choice((4, 4.5, 5))}::1\n"
        for user in range(1, 601)
        for movie in MOVIES
        if chance.random() < (0.5 if (movie + user) % 2 else 0.15)
    ]


@pytest.mark.parametrize("measure", ["full-cosine", "ease", "hybrid", "blend"])
def test_evaluated_lists_are_those_that_the_other_users_ratings_give(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, measure: str
) -> None:
    seen: dict[str, tuple[HeldOutRatings, dict[str, NeighbourLists]]] = {}
    evaluate = job.evaluate

    def watch(
        name: str, held_out: HeldOutRatings, lists_of: dict[str, NeighbourLists], *others: object
    ) -> Quality:
        seen["it"] = held_out, lists_of
        return evaluate(name, held_out, lists_of, *others)

    monkeypatch.setattr(job, "evaluate", watch)
    options = "--default-measure", measure, "--measures", f"damped,{measure}", "--min-score", "0.5"
    lines = lines_of(seed=3)
    dataset = folder(tmp_path / "all", ratings_dat="".join(lines), movies_dat=MOVIES_DAT)
    assert run(dataset, tmp_path / "result", *options) == 0
    held_out, lists_of = seen["it"]
    users = set(held_out.users.tolist())
    assert 30 <= len(users) < 100

    rest = "".join(line for line in lines if int(line.split("::")[0]) not in users)
    dataset = folder(tmp_path / "others", ratings_dat=rest, movies_dat=MOVIES_DAT)
    assert run(dataset, tmp_path / "expected", *options, "--test-users", "0") == 0
    assert manifest_of(tmp_path / "expected").quality is None
    parts = manifest_of(tmp_path / "expected").neighbours
    by_movie = {
        line["movie_id"]: line
        for line in read_lines(tmp_path / "expected", *(p.name for p in parts))
    }
    for name in (measure, "cosine"):
        lists = lists_of[name]
        assert set(lists.movies.tolist()) == set(MOVIES)
        for movie in MOVIES:
            line, mine = by_movie[movie], lists.movies == movie
            rows = line["neighbours"][name]
            ids = [line["others"][place]["movie_id"] for place, *_ in rows]
            assert lists.neighbours[mine].tolist() == ids
            scores = [score for _, score, *_ in rows]
            if name in ("ease", "hybrid", "blend"):  # rounded at other places, in float32
                np.testing.assert_allclose(lists.scores[mine], scores, rtol=1e-5, atol=1e-8)
            else:
                assert lists.scores[mine].tolist() == scores


def test_self_evaluation_changes_no_published_bit_and_writes_its_figures(
    tmp_path: Path,
) -> None:
    dataset = folder(tmp_path / "d", ratings_dat="".join(lines_of(4)), movies_dat=MOVIES_DAT)
    options = "--min-score", "0.5", "--default-measure", "full-cosine", "--measures", "full-cosine"
    assert run(dataset, tmp_path / "with", *options) == 0
    assert run(dataset, tmp_path / "without", *options, "--test-users", "0") == 0
    one, other = manifest_of(tmp_path / "with"), manifest_of(tmp_path / "without")
    assert (one.neighbours, one.titles, one.counts) == (
        other.neighbours,
        other.titles,
        other.counts,
    )
    assert not (tmp_path / "without" / "quality.json").exists()

    part = one.quality
    assert part is not None
    text = (tmp_path / "with" / "quality.json").read_bytes()
    assert (part.name, part.bytes) == ("quality.json", len(text))
    assert part.sha256 == hashlib.sha256(text).hexdigest()
    quality = Quality.from_json(text)
    assert quality.measure == "full-cosine"
    assert quality.default is not None
    assert set(quality.measures) == {"full-cosine", "cosine"}
    assert quality.default.lift > 1.1, "a user's own taste predicts more than popularity"
    for curve in quality.strength["full-cosine"]:
        assert 150 < curve.raters < 240, "of 600 users, 0.325 rate a movie"
        # 0.42 of those who like a movie like one of the same taste: 1.5 times the odds by chance.
        assert 15 < curve.knots[-1][1] < 50
        assert curve.knots[0][1] == 0, "of the other taste, fewer than by chance"


def test_on_a_real_release_the_neighbours_find_more_than_the_most_rated_movies(
    tmp_path: Path,
) -> None:
    assert run(movielens("ml-latest-small"), tmp_path) == 0
    quality = Quality.from_json((tmp_path / "quality.json").read_bytes())
    assert 30 <= quality.users <= 100
    assert quality.default is not None
    assert quality.default.lift - 2 * quality.default.lift_error > 1
    assert set(quality.strength) == {"blend", "ease", "full-cosine", "cosine"}
    for curves in quality.strength.values():
        assert len(curves) == 4
        assert all(len(curve.knots) >= 3 for curve in curves)
    blend = quality.strength["blend"]
    godfather, rare = 192, 12  # raters; the score of Part II is the highest of the catalogue
    assert strength_of(blend, godfather, 8.76) > 80
    assert strength_of(blend, godfather, 1.0) < 50 < strength_of(blend, rare, 1.0)
    cosine = quality.measures["cosine"]
    assert cosine.recall < quality.popularity_recall, (
        "the tutorial's cosine is worse than popularity"
    )

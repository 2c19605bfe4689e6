"""Similar users: the oracle's, with users and movies exchanged; optional, and ids only."""

import random
from pathlib import Path
from typing import Any

import pytest

from tests.builders.folders import folder
from tests.builders.results import manifest_of, read_lines, run
from tests.conftest import movielens
from tests.spark import oracle
from tests.spark.test_job import MOVIES_DAT, raw_ratings

pytestmark = [pytest.mark.spark, pytest.mark.usefixtures("running")]


def alike(output: Path) -> list[dict[str, Any]]:
    """The lines of `similar-users/`."""
    return read_lines(output, *(part.name for part in manifest_of(output).similar_users))


def expected(ratings: list[oracle.Rating], least: int, score: float, most: int) -> dict:
    """The oracle's similar users; users without any have no entry."""
    exchanged = [(movie, user, stars) for user, movie, stars in ratings]
    return oracle.neighbours(oracle.similarities(exchanged, least, score), most)


@pytest.mark.parametrize("score", [0.9, 0.0])
def test_each_user_has_the_oracles_most_similar_users(tmp_path: Path, score: float) -> None:
    chance = random.Random(7)
    users = [*range(1, 60), 65133, 2**31 - 2, 2**31 - 1]
    ratings = [
        (user, movie, chance.randint(1, 10) / 2)
        for user in users
        for movie in range(1, 31)
        if chance.random() < 0.5
    ]
    ratings.append((77, 1, 4.0))
    text = "".join(f"{u}::{m}::{r:g}::1\n" for u, m, r in ratings)
    dataset = folder(tmp_path / "d", ratings_dat=text, movies_dat=MOVIES_DAT)
    output = tmp_path / "result"
    found = "--min-score", str(score), "--min-co-raters", "7", "--similar-users", "9"
    assert run(dataset, output, *found) == 0

    lines = alike(output)
    assert [line["user_id"] for line in lines] == sorted([*users, 77])
    gave = {user: sum(1 for rating in ratings if rating[0] == user) for user in [*users, 77]}
    assert {line["user_id"]: line["ratings"] for line in lines} == gave
    by_oracle = expected(ratings, 7, score, 9)
    assert len(by_oracle) > len(users) // 2
    for line in lines:
        assert set(line) == {"user_id", "ratings", "similar"}
        similar = [tuple(row) for row in line["similar"]]
        assert similar == by_oracle.get(line["user_id"], [])


def test_on_a_real_release_similar_users_are_exactly_the_oracles(tmp_path: Path) -> None:
    dataset = movielens("ml-latest-small")
    assert run(dataset, tmp_path, "--similar-users", "20") == 0
    found = {
        line["user_id"]: [tuple(row) for row in line["similar"]]
        for line in alike(tmp_path)
        if line["similar"]
    }
    assert found == expected(raw_ratings(dataset), 10, 0.95, 20)
    assert len(found) > 500


def test_similar_users_are_written_only_on_request(tmp_path: Path) -> None:
    ratings = "".join(f"{u}::{m}::4::1\n" for u in range(1, 20) for m in range(1, 20))
    dataset = folder(tmp_path / "d", ratings_dat=ratings, movies_dat=MOVIES_DAT)
    output = tmp_path / "result"
    assert run(dataset, output, "--similar-users", "3") == 0
    assert (output / "similar-users").is_dir()
    assert run(dataset, output) == 0
    assert manifest_of(output).similar_users == []
    assert not (output / "similar-users").exists(), "the files of an earlier attempt are deleted"


def test_users_are_written_in_parts_by_ascending_id(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spark.output.similar_users.ROWS_PER_PART", 10)
    ratings = "".join(f"{u}::{m}::4::1\n" for u in range(1, 20) for m in range(1, 20))
    dataset = folder(tmp_path / "d", ratings_dat=ratings, movies_dat=MOVIES_DAT)
    assert run(dataset, tmp_path / "result", "--similar-users", "3") == 0
    parts = manifest_of(tmp_path / "result").similar_users
    assert len(parts) == 6
    assert sum(part.records for part in parts) == 19
    lines = alike(tmp_path / "result")
    assert [line["user_id"] for line in lines] == list(range(1, 20))
    assert all(len(line["similar"]) == 3 for line in lines)

"""Synthetic MovieLens: the right shape, always the same bytes, meaningful neighbours."""

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from spark.contracts.movielens import FORMATS
from spark.contracts.movielens_lines import movie_defect, rating_defect
from tools.synthetic import SHAPES, generate, main


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sample")
    generate(SHAPES["100k"], folder)
    return folder


@pytest.fixture(scope="module")
def ratings(small: Path) -> np.ndarray:
    """User, movie and stars of each rating."""
    lines = (small / "ratings.dat").read_text().splitlines()
    return np.array([line.split("::")[:3] for line in lines]).astype(float)


def stars_of(ratings: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Return ratings as users x movies; 0 for no rating."""
    table = np.zeros(shape)
    table[ratings[:, 0].astype(int), ratings[:, 1].astype(int)] = ratings[:, 2]
    return table


def test_every_line_is_valid(small: Path) -> None:
    dat = FORMATS[0]
    rating_lines = (small / "ratings.dat").read_text().splitlines()
    movie_lines = (small / "movies.dat").read_text().splitlines()
    assert {rating_defect(line, dat.ratings_layout) for line in rating_lines} == {None}
    assert {movie_defect(line, dat.movies_layout) for line in movie_lines} == {None}
    titles = [line.split("::")[1] for line in movie_lines]
    assert len(set(titles)) == len(titles) == 1682
    assert any(", The (" in title for title in titles)


def test_the_sample_has_the_shape_of_movielens_100k(ratings: np.ndarray) -> None:
    users, per_user = np.unique(ratings[:, 0], return_counts=True)
    movies, per_movie = np.unique(ratings[:, 1], return_counts=True)
    assert (len(ratings), len(users), len(movies)) == (100_000, 943, 1682)
    assert (per_user.min(), per_user.max()) == (20, 737)
    assert 50 < np.median(per_user) < 80  # 65 in MovieLens 100K
    assert 400 < per_movie.max() < 800  # 583 there
    assert len(np.unique(ratings[:, :2], axis=0)) == 100_000
    assert (np.lexsort((ratings[:, 1], ratings[:, 0])) == np.arange(100_000)).all()


def test_the_same_size_gives_the_same_bytes(small: Path, tmp_path: Path) -> None:
    made = CliRunner().invoke(main, ["--size", "100k", str(tmp_path / "again")])
    assert made.exit_code == 0, made.output
    for name in ("ratings.dat", "movies.dat"):
        assert (tmp_path / "again" / name).read_bytes() == (small / name).read_bytes()


def test_close_movies_share_a_genre_and_the_closest_often_a_series(
    small: Path, ratings: np.ndarray
) -> None:
    x = stars_of(ratings, (944, 1683))
    both = (x > 0).astype(float)
    with np.errstate(invalid="ignore", divide="ignore"):
        score = (x.T @ x) / np.sqrt((x.T**2 @ both) * (both.T @ x**2))
    score[(both.T @ both < 10) | np.eye(1683, dtype=bool)] = 0
    genre, series = {}, {}
    for line in (small / "movies.dat").read_text().splitlines():
        id, title, genres = line.split("::")
        genre[int(id)] = set(genres.split("|"))
        series[int(id)] = (
            title.rsplit(" (", 1)[0].split(",")[0].removesuffix(" III").removesuffix(" II")
        )
    closest = {movie: int(score[movie].argmax()) for movie in genre if score[movie].max() >= 0.95}
    assert len(closest) > 1000
    same_genre = np.mean([bool(genre[a] & genre[b]) for a, b in closest.items()])
    assert same_genre > 0.95
    in_series = [
        (a, b) for a in closest for b in genre if a != b and series[a] == series[b] and score[a, b]
    ]
    assert len(in_series) > 50
    first_ten = [score[a, b] >= np.sort(score[a])[-10] for a, b in in_series]
    assert np.mean(first_ten) > 0.8

"""The error of strengths, told by make evaluate."""

import numpy as np
import pytest
from scipy import sparse

from evaluation import calibration
from evaluation.calibration import strength_error
from evaluation.splits import Split
from spark.ingest.chunks import RatingTable
from tests.unit.spark.self_evaluation.test_strength import PAIRS, world


def split_of(seed: int, ratio: float) -> tuple[Split, np.ndarray]:
    """New users of a world, and the weights of its pairs."""
    likes, lists = world(seed, 1000, ratio)
    liked = sparse.csr_array((np.ones(likes.users.size), (likes.users, likes.movies)))
    weights = np.zeros((liked.shape[1],) * 2)
    weights[lists.movies, lists.neighbours] = lists.scores
    nothing = sparse.csr_array(liked.shape)
    return Split(nothing, liked, nothing, nothing, are_new=True), weights


def test_strengths_that_other_users_confirm_have_a_small_error() -> None:
    split, weights = split_of(8, 10)
    (error,) = strength_error(split, weights, np.full(8 * PAIRS, 50), 0).values()
    assert error < 5


def test_strengths_that_are_told_wrong_by_30_have_an_error_of_30(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    split, weights = split_of(8, 10)
    right = calibration.strength_of
    monkeypatch.setattr(calibration, "strength_of", lambda *told: right(*told) - 30)
    (error,) = strength_error(split, weights, np.full(8 * PAIRS, 50), 0).values()
    assert error == pytest.approx(30, abs=5)


def test_no_user_both_calibrates_and_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    split, weights = split_of(8, 10)
    halves = []
    of_users = calibration._likes

    def watch(liked: sparse.csr_array, users: np.ndarray) -> RatingTable:
        halves.append(set(users.tolist()))
        return of_users(liked, users)

    monkeypatch.setattr(calibration, "_likes", watch)
    strength_error(split, weights, np.full(8 * PAIRS, 50), 0)
    first, second = halves
    assert first.isdisjoint(second)
    assert len(first) == len(second) == 500


def test_too_few_users_have_no_figure() -> None:
    split, weights = split_of(8, 10)
    few = Split(split.train, split.liked[:40], split.seen, split.hidden[:40])
    assert strength_error(few, weights, np.full(8 * PAIRS, 50), 0) == {}

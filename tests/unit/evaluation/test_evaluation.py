"""The evaluation's splits, models and figures: worked examples, properties, definitions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import optimize, sparse

from evaluation import models, runs, scoring, splits
from evaluation.baselines.slim import slim
from evaluation.judgements import JudgedPairs
from evaluation.models import Training
from evaluation.splits import Split
from spark.ingest.movies import Catalogue

LIKE = 8  # half stars

tables = arrays(
    np.int64, st.tuples(st.integers(1, 12), st.integers(1, 9)), elements=st.integers(0, 10)
)


def matrix(rows: list[list[float]] | np.ndarray) -> sparse.csr_array:
    return sparse.csr_array(np.array(rows, float))


def pairs(of: sparse.csr_array) -> set[tuple[int, int]]:
    return set(zip(*(places.tolist() for places in of.nonzero()), strict=True))


def training(table: sparse.csr_array) -> Training:
    """Training data without content."""
    size = table.shape[1]
    movies = Catalogue(np.arange(1, size + 1, dtype=np.int32), [], np.zeros(size, np.int64), 0)
    return Training(table, movies, {})


def random_table(users: int = 60, movies: int = 25, seed: int = 1) -> sparse.csr_array:
    random = np.random.default_rng(seed)
    rated = random.random((users, movies)) < 0.4
    return matrix(np.where(rated, random.integers(1, 11, (users, movies)), 0))


@given(table=tables, seed=st.integers(0, 5))
def test_hidden_ratings_are_neither_in_the_training_nor_excluded_from_the_list(
    table: np.ndarray, seed: int
) -> None:
    split = splits.by_rating(matrix(table), LIKE, seed)
    judged = [
        user
        for user in range(table.shape[0])
        if (split.train.toarray()[user] != table[user])[table[user] >= LIKE].any()
    ]
    assert split.hidden.shape[0] == len(judged)
    for place, user in enumerate(judged):
        train, hidden = split.train.toarray()[user], split.hidden.toarray()[place]
        assert not (hidden * train).any()
        assert hidden[table[user] >= LIKE].sum() == hidden.sum() > 0
        assert np.array_equal(split.seen.toarray()[place], train > 0)
        assert np.array_equal(split.liked.toarray()[place], train >= LIKE)
        is_hidden = (train == 0) & (table[user] >= LIKE)
        assert np.array_equal(hidden > 0, is_hidden)


def test_a_seed_determines_the_split_and_another_seed_gives_another() -> None:
    table = random_table()
    for split in (splits.by_rating, splits.by_user):
        one, again, other = (split(table, LIKE, seed) for seed in (3, 3, 4))
        for name in ("train", "liked", "seen", "hidden"):
            assert pairs(getattr(one, name)) == pairs(getattr(again, name))
        assert pairs(one.hidden) != pairs(other.hidden)


def test_a_fifth_is_hidden() -> None:
    table = matrix(np.full((400, 50), 10))
    assert splits.by_rating(table, LIKE, 0).hidden.nnz / table.nnz == pytest.approx(0.2, abs=0.01)
    assert splits.by_user(table, LIKE, 0).liked.shape[0] / 400 == pytest.approx(0.2, abs=0.06)


def timed(size: int) -> st.SearchStrategy[tuple[np.ndarray, np.ndarray]]:
    """A table of ratings, and a time for each."""
    shape = st.tuples(st.integers(1, 8), st.just(size))
    return shape.flatmap(
        lambda of: st.tuples(
            arrays(np.int64, of, elements=st.integers(0, 10)),
            arrays(np.int64, of, elements=st.integers(0, 6)),
        )
    )


@given(tables=timed(11), seed=st.integers(0, 5))
def test_the_hidden_ratings_of_a_user_are_a_fifth_and_none_is_earlier_than_a_visible_one(
    tables: tuple[np.ndarray, np.ndarray], seed: int
) -> None:
    table, times = tables
    split = splits.by_time(matrix(table), times[table > 0], LIKE, seed)
    train = split.train.toarray()
    assert np.array_equal(train[train > 0], table[train > 0])
    tested = []
    for user, (row, rest) in enumerate(zip(table, train, strict=True)):
        hidden = (row > 0) & (rest == 0)
        assert hidden.sum() == (row > 0).sum() // 5
        if hidden.any():
            assert times[user][hidden].min() >= times[user][rest > 0].max()
        if (row[hidden] >= LIKE).any():
            tested.append(np.where(hidden & (row >= LIKE), 1, 0).tolist())
    assert split.hidden.toarray().tolist() == tested


def test_which_of_equally_late_ratings_are_hidden_is_random() -> None:
    table = matrix(np.full((200, 10), 10))
    split = splits.by_time(table, np.zeros(table.nnz, int), LIKE, 0)
    assert (split.hidden.sum(axis=0) > 20).all()  # of 40 if they were hidden evenly
    again, other = (splits.by_time(table, np.zeros(table.nnz, int), LIKE, each) for each in (0, 1))
    assert pairs(split.hidden) == pairs(again.hidden) != pairs(other.hidden)


def test_the_training_has_no_ratings_of_held_out_users() -> None:
    users = matrix(np.eye(200) * 10) + matrix(np.roll(np.eye(200), 1, axis=1) * 10)
    split = splits.by_user(users, LIKE, 0)
    learnt_from = set(np.flatnonzero(split.train.sum(axis=1)))
    assert split.hidden.shape[0] > 0
    # Each user rates two movies, and shares each with one other user. So no row of the training
    # has both movies of a test user.
    for liked, hidden in zip(split.liked.toarray(), split.hidden.toarray(), strict=True):
        together = (liked + hidden) > 0
        assert not any((split.train.toarray()[user] > 0) @ together > 1 for user in learnt_from)


def test_the_tutorials_cosine_keeps_its_thresholds() -> None:
    # Ten users rate movies 0 and 1 alike; nine rate 0 and 2 alike; ten rate 0 and 3 differently.
    table = np.zeros((12, 4))
    table[:10, 0] = [10, 1] * 5
    table[:10, 1] = [10, 1] * 5
    table[:9, 2] = [10, 1, 10, 1, 10, 1, 10, 1, 10]
    table[9:12, 2] = 2
    table[:10, 3] = [1, 10] * 5
    found = models.weights(training(matrix(table)), "cosine")
    assert found[0, 1] == pytest.approx(1)
    assert found[0, 3] == found[3, 0] == 0  # 0.198: not similar enough
    assert found[1, 2] > 0.95  # ten users rated both
    assert not found.diagonal().any()


def by_definition(measure: str, one: np.ndarray, other: np.ndarray) -> float:
    """A measure of two movies' half stars; 0 is a missing rating."""
    both = (one > 0) & (other > 0)
    if not both.any():
        return 0
    x, y = one[both] / 2, other[both] / 2
    cosine = (x @ y) / np.sqrt((x @ x) * (y @ y))
    return {
        "damped": cosine * both.sum() / (both.sum() + models.MEASURES["damped"].parameters["beta"]),
        "full-cosine": (x @ y) / (np.linalg.norm(one / 2) * np.linalg.norm(other / 2)),
        "jaccard": both.sum() / ((one > 0) | (other > 0)).sum(),
    }[measure]


@pytest.mark.parametrize("measure", ["damped", "full-cosine", "jaccard"])
def test_a_measure_of_pairs_matches_its_definition(measure: str) -> None:
    table = random_table()
    columns = table.toarray().T
    found = models.weights(training(table), measure)
    for i in range(table.shape[1]):
        for j in range(table.shape[1]):
            enough = min((columns[i] > 0).sum(), (columns[j] > 0).sum()) >= models.MIN_RATERS
            expected = by_definition(measure, columns[i], columns[j]) if enough and i != j else 0
            assert found[i, j] == pytest.approx(expected)


def test_ease_predicts_each_movie_from_the_others_like_ridge_regression() -> None:
    # The weights that predict movie j are its ridge regression on all others (Steck, 2019).
    table = random_table(movies=12)
    x = table.toarray() / 10
    found = models.weights(training(table), "ease")
    regularisation = models.MEASURES["ease"].parameters["lambda"]
    for j in range(12):
        others = np.delete(x, j, axis=1)
        gram = others.T @ others + regularisation * np.eye(11)
        expected = np.linalg.solve(gram, others.T @ x[:, j])
        assert np.delete(found[:, j], j) == pytest.approx(expected)
        assert found[j, j] == 0


def test_a_list_keeps_the_best_scores_above_zero() -> None:
    scores = np.array([[0, 0.3, 0.1, 0.2], [-1, 0, -2, 0.5]])
    assert models.top_k(scores, 2).tolist() == [[0, 0.3, 0, 0.2], [0, 0, 0, 0.5]]


@given(
    scores=arrays(
        np.int64, st.tuples(st.integers(1, 4), st.integers(1, 9)), elements=st.integers(-3, 3)
    ),
    count=st.integers(1, 10),
)
def test_the_best_places_match_a_stable_sort(scores: np.ndarray, count: int) -> None:
    expected = [sorted(range(len(row)), key=lambda at: -row[at])[:count] for row in scores.tolist()]
    assert models.best_places(scores.astype(float), count).tolist() == expected


def test_item_knn_is_the_cosine_of_the_raters() -> None:
    table = random_table()
    rated = (table.toarray() > 0).astype(float)
    found = models.item_knn(training(table))
    expected = (rated[:, 2] @ rated[:, 5]) / np.sqrt(rated[:, 2].sum() * rated[:, 5].sum())
    assert found[2, 5] == found[5, 2] == pytest.approx(expected)


def test_slim_without_an_l1_penalty_is_non_negative_least_squares() -> None:
    x = (random_table(movies=8).toarray() > 0).astype(float)
    found = slim(x.T @ x, l1=0, l2=2)
    for j in range(8):
        others = np.delete(x, j, axis=1)
        ridge = np.vstack([others, np.sqrt(2) * np.eye(7)])
        expected, _ = optimize.nnls(ridge, np.append(x[:, j], np.zeros(7)))
        assert np.delete(found[:, j], j) == pytest.approx(expected, abs=2e-3)


def split_of(liked: list, seen: list, hidden: list, train: list) -> Split:
    return Split(*(matrix(each) for each in (train, liked, seen, hidden)))


def test_a_list_holds_unseen_movies_with_scores_above_zero_best_first() -> None:
    # Movie 0 is liked, 1 is seen, and 4 scores below 0: the list is 2, 3, and 3 is hidden.
    split = split_of([[1, 0, 0, 0, 0]], [[1, 1, 0, 0, 0]], [[0, 0, 0, 1, 1]], [[10, 2, 1, 1, 1]])
    weights = np.zeros((5, 5))
    weights[0] = [0, 9, 5, 4, -1]
    found = scoring.users_lists(split, lambda liked: liked @ weights)
    assert found["recall@20"] == found["capped recall@20"] == 1 / 2
    assert found["MAP@20"] == pytest.approx((1 / 2) / 2)
    assert found["NDCG@100"] == pytest.approx((1 / np.log2(3)) / (1 + 1 / np.log2(3)))


def test_of_equal_scores_the_movie_with_more_raters_comes_first() -> None:
    train = [[1, 0, 1], [1, 0, 1], [0, 0, 1]]
    split = split_of([[1, 0, 0]], [[1, 0, 0]], [[0, 0, 1]], train)
    found = scoring.users_lists(split, lambda liked: np.ones(liked.shape))
    assert found["MAP@20"] == 1


def test_hit_rates_rank_the_hidden_movie_among_all_except_the_liked_one() -> None:
    movies = 24
    liked, hidden = np.zeros((1, movies)), np.zeros((1, movies))
    liked[0, 0] = hidden[0, 15] = 1
    split = split_of(liked.tolist(), liked.tolist(), hidden.tolist(), liked.tolist())
    weights = np.zeros((movies, movies))
    weights[0] = np.arange(
        movies, 0, -1
    )  # the liked movie first, then 1, 2, 3, ...: 15 is the 15th
    assert scoring.hit_rates(split, weights, 0) == {"hit@10": 0, "hit@20": 1}


def test_the_properties_of_lists_count_their_movies() -> None:
    movies = 40
    weights = np.zeros((movies, movies))
    weights[0, 1:12] = 1  # eleven neighbours; ten are shown
    weights[1, 2:5] = 1
    co_raters = np.full((movies, movies), 7)
    raters = np.arange(movies, 0, -1)  # the most rated tenth is 0, 1, 2, 3
    found = scoring.lists(weights, co_raters, raters)
    assert found.coverage == 1 / movies
    assert found.well_known == (3 + 2) / (10 + 3)  # 1, 2, 3 of the first list, 2, 3 of the second
    assert found.co_raters == 7


def test_the_head_is_the_most_rated_tenth_and_the_tail_the_less_rated_half() -> None:
    raters = np.array([0, *range(20, 0, -1), 0])  # 20 rated movies between two without ratings
    expected = [2, *[0] * 2, *[1] * 8, *[2] * 10, 2]
    assert scoring.slices_of(raters).tolist() == expected


def test_recall_by_slice_counts_the_hidden_movies_of_that_slice() -> None:
    # Movie m of 20 has 20 - m raters: 0 and 1 are the head, 2 to 9 the middle, the others the tail.
    movies = 20
    train = np.tril(np.ones((movies, movies)))[::-1]
    train = train[np.argsort(-train.sum(axis=1))]
    assert train.sum(axis=0).tolist() == list(range(20, 0, -1))
    hidden = np.zeros((2, movies))
    hidden[0, [0, 1, 2, 15]] = hidden[1, [3, 4]] = 1
    nothing = np.zeros((2, movies)).tolist()
    split = split_of(nothing, nothing, hidden.tolist(), train.tolist())
    scores = np.zeros((2, movies))
    scores[:, [0, 2, 3, 19]] = 1
    found = scoring.users_lists(split, lambda liked: scores.copy())  # noqa: ARG005
    assert found["recall@20 head"] == 1 / 2  # of the first user; the second has none in the head
    assert found["recall@20 middle"] == (1 + 1 / 2) / 2
    assert found["recall@20 tail"] == 0
    assert found["recall@20"] == (2 / 4 + 1 / 2) / 2
    assert scoring.hidden_by_slice(split) == {"head": 2, "middle": 3, "tail": 1}


def test_a_slice_without_hidden_movies_has_no_recall() -> None:
    split = split_of([[0, 0]], [[0, 0]], [[1, 0]], [[1, 1]])
    found = scoring.users_lists(split, lambda liked: np.ones(liked.shape))
    assert {name for name in found if name.startswith("recall@20 ")} == {"recall@20 middle"}


def test_people_are_asked_about_all_weights_and_about_the_kept_lists() -> None:
    # Movie 0 lists 59 others, best first; the judged ones are the 10th, 55th, 20th and 58th. So the
    # kept list of 50 does not distinguish the 55th from the 58th.
    movies = 61
    weights = np.zeros((movies, movies))
    for first in (0, 60):
        weights[first, 1:60] = np.arange(59, 0, -1)
    pairs = JudgedPairs(
        first=np.repeat([0, 60], 4),
        second=np.tile([10, 55, 20, 58], 2),
        is_alike=np.tile([True, True, False, False], 2),
        unjoined=3,
    )
    found = runs.by_people(weights, pairs)
    assert found["AUC"] == (2 + 1) / 4  # only the 55th is behind the 20th
    assert found["kept AUC"] == (2 + 1 / 2) / 4

"""Doubled users: exactly the same ratings under another id."""

import random
from collections.abc import Mapping

import numpy as np
import pytest

from spark.ingest.chunks import SplitRatings, pack_users
from spark.ingest.doubled_users import LEAST, doubled_users

type Rated = Mapping[int, int]  # half stars by movie


class Packed:
    """What plays an RDD with one partition."""

    def __init__(self, users: Mapping[int, Rated]) -> None:
        rows = [(u, m, h) for u, rated in users.items() for m, h in rated.items()]
        random.Random(1).shuffle(rows)
        kinds = np.int32, np.int32, np.uint8
        columns = [
            np.array(each, kind) for each, kind in zip(zip(*rows, strict=True), kinds, strict=True)
        ]
        times = np.zeros(len(rows), np.int64)
        arrays = (array.tobytes() for array in (*columns, times))
        self.chunks = list(pack_users([SplitRatings(0, *arrays)], None))

    def mapPartitions(self, work):  # noqa: N802
        self.found = list(work(self.chunks))
        return self

    def collect(self) -> list[bytes]:
        return self.found


SAME = dict.fromkeys(range(1, LEAST + 1), 8)


@pytest.mark.parametrize(
    ("users", "count"),
    [
        ({1: SAME, 2: SAME}, 1),
        ({1: SAME, 2: SAME, 7: SAME}, 2),
        ({1: SAME, 2: SAME | {1: 7}}, 0),  # one rating differs
        ({1: SAME, 2: SAME | {LEAST + 1: 8}}, 0),  # one more
        ({1: SAME, 2: {movie + 1: 8 for movie in SAME}}, 0),  # other movies
        ({1: SAME | {1: 7}, 2: SAME | {2: 7}}, 0),  # the same ratings, of other movies
        ({1: {1: 8}, 2: {1: 8}}, 0),  # too few ratings to say anything
    ],
)
def test_users_with_the_ratings_of_another_user_are_counted(
    users: dict[int, Rated], count: int
) -> None:
    assert doubled_users(Packed(users)) == count


def test_a_release_without_doubled_users_has_none_and_doubled_ones_are_all_found() -> None:
    chance = random.Random(4)
    users = {
        user: {movie: chance.randint(1, 10) for movie in chance.sample(range(1, 99), 20)}
        for user in range(1, 500)
    }
    assert doubled_users(Packed(users)) == 0
    doubled = {user + 1000: users[user] for user in chance.sample(sorted(users), 25)}
    assert doubled_users(Packed(users | doubled)) == 25

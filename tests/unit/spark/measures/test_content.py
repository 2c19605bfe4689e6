"""Neighbours by content: TF-IDF against plain loops, cold titles, and the blend with ratings."""

import math

import numpy as np
import pytest

from spark.contracts.movielens import FORMATS
from spark.engine import top_k
from spark.engine.top_k import NeighbourLists
from spark.ingest.chunks import RatingTable
from spark.ingest.movies import Catalogue, catalogue, described, parse_movie
from spark.measures import content as content_module
from spark.measures.blend import blend, by_ratings
from spark.measures.content import Content, Ranking, content, telling_tags
from spark.measures.hybrid import hybrid
from tests.spark import oracle

LINES = """\
1::Toy Story (1995)::Animation|Children's|Comedy
2::Heat (1995)::Action|Crime|Thriller
3::Toy Story 2 (1999)::Animation|Children's|Comedy
4::Antz (1998)::Animation|Children's
5::Ronin (1998)::Action|Crime|Thriller
6::No genres (1954)::
7::Nothing::(no genres listed)
8::Rififi (1954)::Crime
"""
ALL = np.arange(8)  # indices of these movies
TAGS = {(1, "pixar"): 3, (3, "pixar"): 1, (2, "heist"): 2, (8, "heist"): 1, (5, "car chase"): 1}


def movies(lines: str = LINES) -> Catalogue:
    """A catalogue whose movies have 10 ratings each, except movie 4, which has 100."""
    listed = [parse_movie(line, FORMATS[0].movies_layout) for line in lines.splitlines()]
    ids = np.array([movie.movie_id for movie in listed], np.int32)
    return catalogue(described(listed), ids, np.where(ids == 4, 100, 10))


@pytest.mark.parametrize("tags", [TAGS, {}])
def test_similarity_by_content_matches_plain_loops(
    tags: dict,
) -> None:
    known = content(movies(), tags)
    expected = oracle.content(LINES, tags, {1: "Toy Story", 3: "Toy Story"}, content_module.WEIGHTS)
    one, other = (np.array(each, np.int32) for each in zip(*expected, strict=True))
    assert known.similarity(one, other) == pytest.approx(np.array(list(expected.values())))
    itself = known.similarity(known.ids, known.ids)
    assert known.lengths == pytest.approx(np.sqrt(itself))
    assert known.cosine(known.ids, known.ids) == pytest.approx(np.where(itself > 0, 1, 0))

    for i, alike in by_movie(neighbours(known, ALL, 3)).items():
        ranked = sorted(
            (-float(f"{score:.6g}"), -(100 if j == 4 else 10), j)
            for (of, j), score in expected.items()
            if of == i and score > 0
        )
        assert [j for j, _ in alike] == [j for *_, j in ranked][:3]


def neighbours(content: Content, places: np.ndarray, count: int) -> NeighbourLists:
    """The neighbours of some movies, given by their indices."""
    (found,) = content.neighbours(places, [Ranking(content.raters)], count)
    return found


def by_movie(rows: NeighbourLists) -> dict[int, list[tuple[int, float]]]:
    """Each movie's neighbours and scores, in order."""
    found: dict[int, list[tuple[int, float]]] = {}
    for movie, other, score in zip(*(column.tolist() for column in rows[:3]), strict=True):
        found.setdefault(movie, []).append((other, score))
    return found


def test_movies_are_compared_in_blocks_of_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    known = content(movies(), TAGS)
    whole = by_movie(neighbours(known, ALL, 5))
    monkeypatch.setattr(content_module, "ROWS_AT_ONCE", 3)
    assert by_movie(neighbours(known, ALL, 5)) == whole
    some = by_movie(neighbours(known, np.array([0, 2, 3, 4]), 5))
    assert some == {id: whole[id] for id in (1, 3, 4, 5)}
    assert not by_movie(neighbours(known, np.array([], int), 5))


def test_a_similarity_has_the_same_bits_in_any_order_and_beside_any_other_movies() -> None:
    rng = np.random.default_rng(7)
    tags = {(movie, f"tag {n}"): rng.random() for movie in range(1, 9) for n in range(30)}
    known = content(movies(), tags)
    whole = known.all_pairs(ALL)
    for place in ALL:
        assert np.array_equal(known.all_pairs(ALL[place : place + 1]), whole[[place]])
    assert np.array_equal(whole, whole.T)
    keys = [*tags]
    rng.shuffle(keys)
    shuffled = content(movies(), {(movie, tag): tags[movie, tag] for movie, tag in keys})
    assert np.array_equal(shuffled.all_pairs(ALL), whole)


def test_given_pairs_have_the_similarity_that_they_have_among_all_pairs() -> None:
    tags = {(movie, f"tag {movie * n % 7}"): n / 9 for movie in range(1, 9) for n in range(30)}
    known = content(movies(), tags)
    one, other = (each.ravel() for each in np.indices((8, 8)))
    found = known.similarity(known.ids[one], known.ids[other])
    assert np.array_equal(found, known.all_pairs(ALL).ravel())


def test_each_ranking_decides_between_equally_similar_movies_by_its_own_raters() -> None:
    lines = "".join(f"{id}::Film {id}::Drama\n" for id in range(1, 9))
    known = content(movies(lines), {})
    others = np.where(known.ids == 6, 20, 10)
    published, tried = known.neighbours(np.array([0]), [Ranking(known.raters), Ranking(others)], 2)
    assert published.neighbours.tolist() == [4, 2]
    assert tried.neighbours.tolist() == [6, 2]


def test_a_ranking_finds_neighbours_only_of_the_movies_that_need_them() -> None:
    known = content(movies(), TAGS)
    is_needed = known.ids % 2 == 0
    every, some = known.neighbours(
        ALL, [Ranking(known.raters), Ranking(known.raters, is_needed)], 3
    )
    kept = every.where(every.movies % 2 == 0)
    assert 0 < kept.movies.size < every.movies.size
    assert [column.tolist() for column in kept[:3]] == [column.tolist() for column in some[:3]]


def test_without_some_users_a_movie_has_fewer_raters() -> None:
    users = RatingTable(*np.array([[1, 1, 2], [4, 2, 4], [8, 8, 8]], np.int32))
    known = content(movies(), TAGS)
    fewer = known.raters - known.without(users).raters
    assert fewer.tolist() == [0, 1, 0, 2, 0, 0, 0, 0]


def test_a_movie_without_content_has_no_neighbours_and_is_no_neighbour() -> None:
    found = by_movie(neighbours(content(movies(), TAGS), ALL, 8))
    assert 7 not in found
    assert all(other != 7 for rows in found.values() for other, _ in rows)
    assert found[6] == [(8, pytest.approx(found[6][0][1]))], "it has only a year"


def test_neighbours_by_content_have_no_co_raters_and_no_cosine() -> None:
    rows = neighbours(content(movies(), TAGS), ALL, 8)
    assert not rows.co_raters.any()
    assert np.isnan(rows.cosines).all()


def test_the_tags_that_say_most_about_a_movie_are_those_that_few_others_have() -> None:
    tags = {(1, "pixar"): 1.0, (3, "pixar"): 1.0} | {(id, "film"): 1.1 for id in range(1, 8)}
    alone = {(1, "only here"): 9.0, (99, "pixar"): 1.0}
    found = telling_tags(movies(), tags | alone)
    assert found[0] == found[2] == ["pixar", "film"]
    assert found[1] == ["film"]
    assert found[7] == []


def rows(*each: tuple[int, int, float, int, float]) -> NeighbourLists:
    """Neighbours by movie and rank."""
    kinds = np.int32, np.int32, float, np.int32, float
    return NeighbourLists(
        *(np.array(c, kind) for c, kind in zip(zip(*each, strict=True), kinds, strict=True))
    )


def known(raters: dict[int, int], alike: dict[tuple[int, int], float]) -> Content:
    """Given raters and similarities, which is all that `hybrid` and `blend` use."""

    class Given(Content):
        def similarity(self, movies: np.ndarray, others: np.ndarray) -> np.ndarray:
            pairs = zip(movies.tolist(), others.tolist(), strict=True)
            return np.array([alike.get(pair, 0.0) for pair in pairs])

        cosine = similarity

    ids = np.array(sorted(raters), np.int32)
    of = np.array([raters[id] for id in sorted(raters)], np.int32)
    return Given(ids, of, *[None] * 3)


def test_ratings_decide_for_a_movie_with_many_and_content_for_a_cold_one() -> None:
    nan = math.nan
    by_ratings = rows((1, 2, 0.20, 90, 0.97), (1, 3, 0.05, 80, 0.98))
    by_content = rows((1, 4, 0.8, 0, nan), (1, 3, 0.4, 0, nan), (9, 1, 0.5, 0, nan))
    facts = known({1: 60, 2: 1, 3: 1, 4: 1, 9: 0}, {(1, 4): 0.8, (1, 3): 0.4, (9, 1): 0.5})
    found = hybrid(by_ratings, by_content, facts, trust=20, count=5)
    found_rows = list(zip(*(column.tolist() for column in found[:4]), strict=True))
    # Movie 1: w = 20 / 80; movie 9: w = 1.
    assert found_rows == [
        (1, 2, 0.75, 90),
        (1, 3, 0.2875, 80),  # 0.75 · 0.05 / 0.20 + 0.25 · 0.4
        (1, 4, 0.2, 0),
        (9, 1, 0.5, 0),
    ]
    assert np.isnan(found.cosines).tolist() == [False, False, True, True]


def test_with_only_one_list_the_blend_is_that_list() -> None:
    by_content = rows((1, 4, 0.8, 0, math.nan))
    found = hybrid(top_k.EMPTY, by_content, known({1: 0, 4: 1}, {(1, 4): 0.8}), 20, 5)
    assert found.scores.tolist() == [0.8]
    by_ratings = rows((1, 4, 0.3, 50, 0.9))
    found = hybrid(by_ratings, top_k.EMPTY, known({1: 60, 4: 1}, {(1, 4): 0.5}), 20, 5)
    assert found.scores.tolist() == [0.875]


PARAMETERS = {"content": 1.5, "trust": 50}


def test_a_blend_has_both_scores_by_ratings_lifted_by_content_and_content_of_its_own() -> None:
    nan = math.nan
    ease = rows((1, 2, 0.04, 90, 0.97), (1, 3, 0.02, 80, 0.98))
    full = rows((1, 3, 0.5, 80, 0.98), (1, 4, 0.4, 70, 0.99), (1, 6, 0.3, 9, 0.9))
    like = rows((1, 5, 0.8, 0, nan), (1, 3, 0.6, 0, nan), (9, 1, 0.5, 0, nan))
    facts = known(
        {1: 150, 2: 1, 3: 1, 4: 1, 5: 1, 6: 1, 9: 0}, {(1, 3): 0.6, (1, 5): 0.8, (9, 1): 0.5}
    )
    candidates = by_ratings(ease, np.array([0.2, 0.5]), 25)
    known_to_ease = np.array([1, 2, 3, 4], np.int32)
    found = blend(candidates, full, like, facts, known_to_ease, PARAMETERS, 5)
    found_rows = list(zip(*(column.tolist() for column in found[:4]), strict=True))
    # Content alone counts 1.5 · 50 / 200 for movie 1, and 1.5 for movie 9.
    assert found_rows == [
        (1, 3, 1.825, 80),  # (25 · 0.02 + 0.5) · 1.6 + 0.6 · 0.375
        (1, 2, 1.2, 90),  # 25 · 0.04 + 0.2
        (1, 6, 0.525, 9),  # 1.75 · 0.3, because EASE does not know movie 6
        (1, 4, 0.4, 70),
        (1, 5, 0.3, 0),  # 0.8 · 0.375
        (9, 1, 0.75, 0),
    ]


def test_without_any_ratings_the_blend_is_content_and_without_content_it_is_ratings() -> None:
    nothing = np.empty(0, np.int32)
    like = rows((1, 4, 0.8, 0, math.nan))
    cold = known({1: 0, 4: 1}, {(1, 4): 0.8})
    found = blend(top_k.EMPTY, top_k.EMPTY, like, cold, nothing, PARAMETERS, 5)
    assert found.scores.tolist() == [1.2]
    full = rows((1, 4, 0.3, 50, 0.9))
    found = blend(top_k.EMPTY, full, top_k.EMPTY, known({1: 9, 4: 1}, {}), nothing, PARAMETERS, 5)
    assert found.scores.tolist() == [0.525]
    found = blend(*[top_k.EMPTY] * 3, cold, nothing, PARAMETERS, 5)
    assert not found.movies.size


def test_memory_is_that_of_the_words_of_movies_not_of_all_words_by_all_movies() -> None:
    count, genres = 40_000, 20_000
    ids = np.arange(count, dtype=np.int32)
    about = [
        f'"movie_id":{n},"title":"B","year":2000,"genres":["a{n % genres}","b{n * 7 % genres}"]'
        for n in range(count)
    ]
    wide = content(Catalogue(ids, about, np.ones(count, np.int64), count), {})
    held = sum(
        array.nbytes
        for matrix in (wide.words, wide.by_word)
        for array in (matrix.data, matrix.indices, matrix.indptr)
    )
    assert held < 10 * 2**20
    rows_of = by_movie(neighbours(wide, np.array([0, 1]), 3))
    assert [rows[0] for rows in rows_of.values()] == [
        (20_000, pytest.approx(0.625)), (20_001, pytest.approx(0.625)),
    ]  # fmt: skip

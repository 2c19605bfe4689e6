"""From a dropped folder to the API on a real YARN, with the launcher's request verbatim."""

import pytest

from spark.measures.registry import DEFAULT, MEASURES
from tests.e2e.test_results import idle_rights, node_role
from tests.spark import oracle
from tests.spark.test_engine import stored
from tests.spark.test_measures import check, lists_of
from tests.yarn.conftest import OnYarn, Verbatim

pytestmark = pytest.mark.yarn

PENALTY = MEASURES["ease"].parameters["lambda"]
BETA = MEASURES["damped"].parameters["beta"]
# Permissions of the nodes that a run without faults does not need.
IN_TROUBLE = {
    "s3:AbortMultipartUpload": "an interrupted upload",
    "s3:GetObjectTagging": "S3 may require it to copy an object; the emulator does not",
    "s3:GetBucketLocation": "unlike ours, EMR's S3A may have no region configured",
}


def test_pairs_and_neighbours_are_the_oracles_to_the_bit(
    verbatim: Verbatim, ratings: list[oracle.Rating]
) -> None:
    pairs = oracle.similarities(ratings, 10, 0.95)
    assert 100 < len(pairs) < 700  # some pass and some do not
    assert stored(verbatim.output / "similarities") == pairs
    lists = lists_of(verbatim.output)
    exact = {movie: [row[:3] for row in rows] for movie, rows in lists["cosine"].items() if rows}
    assert exact == oracle.neighbours(pairs, 50)
    movies, scores, n, cosine = oracle.by_measure(ratings, 10, beta=BETA, penalty=PENALTY)
    assert "ease" in scores
    for measure, expected in scores.items():
        for at, movie in enumerate(movies.tolist()):
            check(lists[measure][movie], movies.tolist(), expected[at], n[at], cosine[at], most=50)


def test_the_api_answers_what_the_nodes_have_written(verbatim: Verbatim) -> None:
    by_measure = lists_of(verbatim.output)
    assert verbatim.answers.keys() == {movie for movie, rows in by_measure["ease"].items() if rows}
    lists = by_measure[DEFAULT]
    for movie, (status, body) in verbatim.answers.items():
        assert (status, body["run_id"]) == (200, verbatim.run["run_id"])
        answered = [(row["movie_id"], row["score"]) for row in body["similar"]]
        assert answered == [row[:2] for row in lists[movie]]


def test_the_nodes_role_has_every_right_that_a_run_uses_and_no_other(
    on_yarn: OnYarn, verbatim: Verbatim
) -> None:
    assert verbatim.run["state"] == "LIVE"
    role = node_role(on_yarn.cloud)
    assert not on_yarn.cloud.access_decisions(f"{role}/j-*", allowed=False)
    idle = idle_rights(on_yarn.cloud, role)
    assert {action for action, _ in idle} <= IN_TROUBLE.keys(), idle

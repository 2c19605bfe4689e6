"""The quality gate: what a run rejected, and what it would change of the live run."""

import gzip
import json
import re
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

import pytest

from indexer import handler as indexer
from indexer import indexing
from notifications import run_message
from query import run_responses
from spark.contracts.manifest import Manifest, ManifestError
from tests.builders.aws import Cloud, movie_line
from tests.builders.indexed import PARTS, deliver, drain, finish_run, movies_of, start_run, state_of
from tests.unit.runs.test_control import ask, live_run
from tests.unit.runs.test_quality_gate import run_of
from tools.sample_events import manifest_written
from tools.template import template

FEW_REJECTS: dict[str, Any] = {
    "dataset": {"format": "dat", "lines": {"ratings.dat": 1000, "movies.dat": 3}},
    "rejects": {"ratings.dat": {"columns": 2, "rating": 8}, "movies.dat": {}},
}
MANY_REJECTS = FEW_REJECTS | {"rejects": {"ratings.dat": {"columns": 2, "rating": 9}}}


def catalogue(size: int, *without: int, title: Callable[[int], str] | None = None) -> list[list]:
    """Parts of a run whose movies all have the same two neighbours, except those `without`."""
    lines = [
        movie_line(movie, *(() if movie in without else (100, 101)), ratings=movie)
        for movie in range(1, size + 1)
    ]
    if title:
        lines = [line | {"title": title(line["movie_id"])} for line in lines]
    return [lines[: size // 2], lines[size // 2 :]]


def limit(monkeypatch: pytest.MonkeyPatch, **limits: float) -> None:
    """Change limits of the gate."""
    changed = replace(indexer.indexer.limits, **limits)
    monkeypatch.setattr(indexer, "indexer", replace(indexer.indexer, limits=changed))


def assert_held_back(cloud: Cloud, run_id: str, live: str | None, *words: str) -> None:
    """Check that a run is held back with these words, and that a promotion makes it live."""
    run = run_of(cloud, run_id)
    assert (run["state"], run.get("held_back")) == ("FAILED", True), run
    assert movies_of(cloud, run_id) == []
    if live:
        assert live_run(cloud) == live
    _, text = run_message(run, "stack")
    for word in words:
        assert word in run["reason"]
    assert run["reason"] in text
    assert f"make promote RUN={run_id} STACK=stack" in text
    ask("promote", run_id)
    drain(cloud)
    assert (live_run(cloud), state_of(cloud, run_id)) == (run_id, "LIVE")


def test_the_first_run_is_held_back_if_too_many_lines_of_a_file_are_rejected(cloud: Cloud) -> None:
    run_id = finish_run(cloud, **MANY_REJECTS)
    assert_held_back(
        cloud, run_id, None,
        "ratings.dat: 11 of 1,000 lines are malformed (columns 2, rating 9), 1.1%",
        "MaxRejectedShare 0.01",
    )  # fmt: skip


def test_the_share_is_that_of_each_file_and_not_of_all_lines(cloud: Cloud) -> None:
    rejects = {"ratings.dat": {}, "movies.dat": {"title": 1}}
    run_id = finish_run(cloud, **FEW_REJECTS | {"rejects": rejects})
    assert_held_back(cloud, run_id, None, "movies.dat: 1 of 3 lines are malformed (title 1)")


def test_a_run_with_few_rejected_lines_goes_live_and_its_notice_names_them(cloud: Cloud) -> None:
    run_id = finish_run(cloud, **FEW_REJECTS)
    assert live_run(cloud) == run_id
    _, text = run_message(run_of(cloud, run_id), "stack")
    assert (
        "Left out: ratings.dat: 10 of 1,000 lines are malformed (columns 2, rating 8). "
        f"The lines: s3://results/runs/{run_id}/rejects/"
    ) in text
    response = run_responses.run(run_of(cloud, run_id))
    assert response.rejects is not None
    assert {*response.rejects} == {"ratings.dat"}, "files without rejected lines are left out"
    assert response.rejects["ratings.dat"].kinds == {"columns": 2, "rating": 8}
    assert response.rejects_uri == f"s3://results/runs/{run_id}/rejects/"


def test_the_notice_of_a_run_without_rejected_lines_does_not_speak_of_any(cloud: Cloud) -> None:
    _, text = run_message(run_of(cloud, finish_run(cloud)), "stack")
    assert "malformed" not in text


def test_a_run_that_shrinks_what_is_live_is_held_back(cloud: Cloud) -> None:
    live = finish_run(cloud, 0, catalogue(20))
    run_id = finish_run(cloud, 1, catalogue(20, 16, 17, 18, 19, 20))
    assert_held_back(
        cloud, run_id, live,
        f"5 of 20 titles with neighbours in the live run {live} have none in this run",
        "for example Movie 20 (1995), Movie 19 (1995)", "MaxTitlesLost 0.2",
    )  # fmt: skip


def test_a_run_that_loses_just_the_share_that_may_be_lost_goes_live(cloud: Cloud) -> None:
    finish_run(cloud, 0, catalogue(20))
    run_id = finish_run(cloud, 1, catalogue(20, 17, 18, 19, 20))
    assert live_run(cloud) == run_id
    _, text = run_message(run_of(cloud, run_id), "stack")
    assert "0 titles with neighbours gained, 4 lost; median overlap of the lists 1.00" in text


def test_a_promoted_run_is_what_later_runs_are_compared_with(cloud: Cloud) -> None:
    finish_run(cloud, 0, catalogue(20))
    small = finish_run(cloud, 1, catalogue(4))
    ask("promote", small)
    drain(cloud)
    again = finish_run(cloud, 2, catalogue(4))
    assert live_run(cloud) == again


COUNTS = {"ratings": 40, "users": 20, "movies": 20, "movies_with_neighbours": 20}


@pytest.mark.parametrize("gone", ["manifest.json", "neighbours/part-00001.json.gz"])
@pytest.mark.parametrize(("kept", "is_live"), [(16, True), (15, False)])
def test_if_the_live_result_is_gone_the_counts_decide_and_the_notice_says_so(
    cloud: Cloud, gone: str, kept: int, is_live: bool
) -> None:
    live = finish_run(cloud, 0, catalogue(20), counts=COUNTS)
    cloud.s3.delete_object(Bucket="results", Key=f"runs/{live}/{gone}")
    counts = COUNTS | {"movies_with_neighbours": kept}
    run_id = finish_run(cloud, 1, catalogue(20, 20), counts=counts)
    if is_live:
        assert live_run(cloud) == run_id
        _, text = run_message(run_of(cloud, run_id), "stack")
        assert "Not compared with the run before" in text
        assert gone in text
    else:
        assert_held_back(cloud, run_id, live, "at least 5 of 20 titles", gone)


@pytest.mark.parametrize(
    "lines",
    ["[]", '{"movie_id": 1}',
     json.dumps(movie_line(1) | {"neighbours": {"cosine": [[9, 1, 1, 1]]}}),
     json.dumps(movie_line(1, 2) | {"others": [{"movie_id": 2**40}]})],
)  # fmt: skip
def test_a_live_result_with_other_lines_does_not_keep_a_run_from_going_live(
    cloud: Cloud, lines: str
) -> None:
    live = finish_run(cloud, 0, [[movie_line(1, 2)]])
    part = cloud._written(live, "neighbours/part-0.json.gz", gzip.compress(lines.encode()))
    cloud.write_result(live, [[movie_line(1, 2)]], neighbours=[asdict(part)])
    run_id = finish_run(cloud, 1)
    assert live_run(cloud) == run_id
    unreadable = run_of(cloud, run_id)["comparison"]["unreadable"]
    assert "part-0.json.gz has a line that cannot be read" in unreadable


def test_two_results_that_take_too_long_to_read_are_not_compared(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(indexing, "COMPARE_TIMEOUT", -1.0)
    finish_run(cloud, 0, catalogue(20))
    run_id = finish_run(cloud, 1, catalogue(4))
    assert live_run(cloud) == run_id
    assert "takes too long" in run_of(cloud, run_id)["comparison"]["unreadable"]


def test_a_run_with_other_titles_is_held_back(cloud: Cloud) -> None:
    live = finish_run(cloud, 0, catalogue(60))
    run_id = finish_run(cloud, 1, catalogue(60, title=lambda movie: f"Other {movie // 54}"))
    assert_held_back(cloud, run_id, live, "60 of 60 titles have another text",
                     "'Movie 60 (1995)' is 'Other 1'", "MaxTitlesChanged 0.1")  # fmt: skip


def accented(movie: int) -> str:
    """Every fifth title has an accent."""
    return f"Amélie {movie}" if movie % 5 == 0 else f"Heat {movie}"


def test_a_run_with_titles_in_another_encoding_is_held_back(cloud: Cloud) -> None:
    live = finish_run(cloud, 0, catalogue(200, title=accented))
    wrong = finish_run(
        cloud, 1, catalogue(200, title=lambda m: accented(m).encode().decode("cp1252"))
    )
    assert_held_back(cloud, wrong, live, "changed titles: 40 of 200", "'Amélie 200' is 'AmÃ©lie")
    sparse = catalogue(600, title=lambda m: accented(m) if m % 60 == 0 else f"Heat {m}")
    live = finish_run(cloud, 2, sparse)
    ask("promote", live)
    drain(cloud)
    for part in sparse:
        for line in part:
            line["title"] = line["title"].encode().decode("cp1252")
    garbled = finish_run(cloud, 3, sparse)
    assert_held_back(cloud, garbled, live, "in 10 of 10 titles with letters beyond ASCII")


def test_a_few_corrected_titles_do_not_hold_a_run_back(cloud: Cloud) -> None:
    finish_run(cloud, 0, catalogue(20))
    corrected = catalogue(20, title=lambda m: f"Movie {m} (1995)" if m > 5 else f"Movie {m}")
    run_id = finish_run(cloud, 1, corrected)
    assert live_run(cloud) == run_id


def test_a_title_that_only_content_gives_neighbours_has_lost_its_own(cloud: Cloud) -> None:
    live = finish_run(cloud, 0, catalogue(20))
    parts = catalogue(20)
    for line in parts[0]:
        for row in line["neighbours"]["cosine"]:
            row[2:] = 0, None
    run_id = finish_run(cloud, 1, parts)
    assert_held_back(cloud, run_id, live, "lost titles: 10 of 20 titles")


def moved(size: int) -> list[list]:
    """The catalogue with other lists."""
    return [[movie_line(movie, 200, 201) for movie in range(1, size + 1)]]


def test_a_run_whose_lists_moved_is_held_back_unless_its_parameters_are_others(
    cloud: Cloud,
) -> None:
    live = finish_run(cloud, 0, catalogue(20))
    run_id = finish_run(cloud, 1, moved(20))
    assert_held_back(cloud, run_id, live, "overlap of the lists of 20 titles", "is 0.00",
                     "MaxListsMoved 0.45")  # fmt: skip
    other = finish_run(cloud, 2, catalogue(20), measures={"cosine": {"beta": 2}})
    assert live_run(cloud) == other


@pytest.mark.parametrize(("lost", "is_live"), [(2, True), (3, False)])
def test_one_or_two_lost_titles_do_not_hold_a_run_back_whatever_their_share(
    cloud: Cloud, lost: int, is_live: bool
) -> None:
    live = finish_run(cloud, 0, [[movie_line(movie, 9) for movie in range(1, 5)] + [movie_line(9)]])
    left = [movie_line(movie, *([9] if movie > lost else [])) for movie in range(1, 5)]
    run_id = finish_run(cloud, 1, [[*left, movie_line(9)]])
    if is_live:
        assert live_run(cloud) == run_id
    else:
        assert_held_back(cloud, run_id, live, "3 of 4 titles with neighbours", "MaxTitlesLost 0.2")


@pytest.mark.parametrize(("ratings", "is_live"), [(30, True), (29, False)])
def test_a_run_that_lost_ratings_is_held_back(cloud: Cloud, ratings: int, is_live: bool) -> None:
    live = finish_run(cloud, 0)
    counts = {"ratings": ratings, "users": 20, "movies": 3}
    run_id = finish_run(cloud, 1, counts=counts)
    if is_live:
        assert live_run(cloud) == run_id
    else:
        assert_held_back(cloud, run_id, live, "29 ratings", "has 40", "MaxRatingsLost 0.25")


def test_a_run_with_a_file_that_was_cut_off_is_held_back(cloud: Cloud) -> None:
    whole = {"format": "dat", "lines": {"ratings.dat": 40}, "unterminated": []}
    cut = {"format": "dat", "lines": {"ratings.dat": 39}, "unterminated": ["ratings.dat"]}
    live = finish_run(cloud, 0, dataset=whole)
    run_id = finish_run(cloud, 1, dataset=cut)
    assert_held_back(cloud, run_id, live, "ratings.dat ends within a line")


@pytest.mark.parametrize(
    ("users", "before", "after", "is_live"),
    [(1000, 20, 30, True), (1000, 20, 31, False), (100, 0, 5, True), (100, 0, 6, False),
     (1000, None, 900, True)],
)  # fmt: skip
def test_a_run_with_more_doubled_users_than_the_live_one_is_held_back(
    cloud: Cloud, users: int, before: int | None, after: int, is_live: bool
) -> None:
    counts = {"ratings": 40, "users": users, "movies": 3}
    known = {} if before is None else {"doubled_users": before}
    live = finish_run(cloud, 0, counts=counts | known)
    run_id = finish_run(cloud, 1, counts=counts | {"doubled_users": after})
    if is_live:
        assert live_run(cloud) == run_id
    else:
        told = f"{after} of {users:,} users have exactly the ratings"
        assert_held_back(cloud, run_id, live, told, "MaxDoubledUsers 0.01")


def test_few_lists_may_move_and_a_first_run_may_have_any_doubled_users(cloud: Cloud) -> None:
    counts = {"ratings": 40, "users": 20, "movies": 19, "doubled_users": 20}
    finish_run(cloud, 0, catalogue(19), counts=counts)
    run_id = finish_run(cloud, 1, moved(19), counts=counts)
    assert live_run(cloud) == run_id


def test_the_template_gives_every_limit_by_its_parameter() -> None:
    resource = template()["Resources"]["IndexerFunction"]
    text = resource["Properties"]["Environment"]["Variables"]["GATE_LIMITS"]
    given = dict(re.findall(r'"(\w+)": \$\{(\w+)\}', text))
    names = type(indexer.indexer.limits).__dataclass_fields__
    assert given == {name: "Max" + name.title().replace("_", "") for name in names}


def test_each_limit_can_be_switched_off(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    names = type(indexer.indexer.limits).__dataclass_fields__
    limit(monkeypatch, **dict.fromkeys(names, 1.0))
    everything = FEW_REJECTS | {"rejects": {"ratings.dat": {"columns": 499}}}
    everything["dataset"] = {**everything["dataset"], "unterminated": []}
    finish_run(cloud, 0, catalogue(20), **everything)
    lines = {"ratings.dat": 500, "movies.dat": 3}
    everything["dataset"] = {"lines": lines, "unterminated": ["ratings.dat"]}
    everything["counts"] = {"ratings": 1, "users": 9, "movies": 20, "doubled_users": 9}
    parts = [[movie_line(n, 200) | {"title": "?"} for n in range(1, 20)] + [movie_line(20)]]
    run_id = finish_run(cloud, 1, parts, **everything)
    assert live_run(cloud) == run_id, run_of(cloud, run_id).get("reason")


def test_a_run_is_compared_with_the_run_that_is_live_when_its_last_part_is_loaded(
    cloud: Cloud,
) -> None:
    first = finish_run(cloud, 0, catalogue(4))
    late = start_run(cloud, 2)
    cloud.write_result(late, catalogue(4))
    deliver(manifest_written(late))
    assert run_of(cloud, late)["comparison"]["before"]["run_id"] == first
    waiting = cloud.messages("IndexQueue")
    larger = finish_run(cloud, 1, catalogue(20))
    cloud.sqs.send_message_batch(
        QueueUrl=indexer.indexer.queue_url,
        Entries=[{"Id": str(n), "MessageBody": json.dumps(m)} for n, m in enumerate(waiting)],
    )
    drain(cloud)
    assert run_of(cloud, late)["comparison"]["before"]["run_id"] == larger
    assert_held_back(cloud, late, larger, "16 of 20 titles")


def test_the_api_returns_what_changed_from_the_run_before(cloud: Cloud) -> None:
    live = finish_run(cloud, 0, catalogue(20))
    for name, body in {"input/ratings.dat": "1", "code/job.zip": "a"}.items():
        cloud.put(f"runs/{live}/{name}", body, "results")
    run_id = start_run(cloud, 1)
    for name, body in {"input/ratings.dat": "2", "code/job.zip": "a"}.items():
        cloud.put(f"runs/{run_id}/{name}", body, "results")
    cloud.write_result(run_id, catalogue(21, 7))
    deliver(manifest_written(run_id))
    drain(cloud)
    found = run_responses.run(run_of(cloud, run_id)).comparison
    assert found is not None
    assert found.titles is not None
    assert found.lists is not None
    assert (found.before.run_id, found.after.run_id) == (live, run_id)
    assert (found.titles.gained_examples, found.titles.lost_examples) == (
        ["Movie 21 (1995)"],
        ["Movie 7 (1995)"],
    )
    assert (found.lists.common, found.lists.median_overlap) == (19, 1.0)
    assert found.causes == ["other ratings.dat", "other data: movies 20 -> 21"]


def test_the_first_run_has_no_comparison(cloud: Cloud) -> None:
    assert run_responses.run(run_of(cloud, finish_run(cloud))).comparison is None


@pytest.mark.parametrize("dataset", [{"lines": []}, {"lines": {"a": -1}}, {"unterminated": [1]}])
def test_a_manifest_with_other_counts_of_lines_is_refused(
    cloud: Cloud, dataset: dict[str, Any]
) -> None:
    run_id = start_run(cloud)
    cloud.write_result(run_id, PARTS)
    key = f"runs/{run_id}/manifest.json"
    text = cloud.s3.get_object(Bucket="results", Key=key)["Body"].read()
    with pytest.raises(ManifestError, match="dataset"):
        Manifest.from_json(json.dumps(json.loads(text) | {"dataset": dataset}))

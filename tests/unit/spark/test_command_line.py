"""The job's command line: what it accepts, what it fills in, and what it refuses."""

import dataclasses
from pathlib import Path

import pytest

from spark.command_line import JobSettings, parse
from spark.measures.registry import DEFAULT, MEASURES

URIS = "--dataset", "s3://datasets/ml", "--output", "s3://results/1"


def settings(*arguments: str) -> JobSettings:
    return parse([*URIS, *arguments])


def test_by_default_the_job_computes_the_usual_measures_and_evaluates_itself() -> None:
    usual = [name for name, measure in MEASURES.items() if measure.is_usual]
    found = settings()
    assert (found.measures, found.default_measure) == (usual, DEFAULT)
    assert (found.min_co_raters, found.min_score, found.neighbours) == (10, 0.95, 50)
    assert found.parameters == {name: each.parameters for name, each in MEASURES.items()}
    assert found.test_users > 0
    assert (found.max_ratings_per_user, found.similar_users, found.blocks) == (None, 0, None)


def test_the_cosine_and_needed_measures_are_added_in_the_registrys_order() -> None:
    assert settings("--measures", "hybrid,damped").measures == [
        "cosine", "damped", "ease", "hybrid",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("measures", "default"), [("damped,blend", DEFAULT), ("damped", "cosine"), ("cosine", "cosine")]
)
def test_the_default_measure_is_always_one_that_is_computed(measures: str, default: str) -> None:
    assert settings("--measures", measures).default_measure == default


def test_a_parameter_replaces_that_of_its_measure_only() -> None:
    found = settings("--parameter", "ease.lambda=7", "--parameter", "damped.beta=1.5").parameters
    assert (found["ease"]["lambda"], found["damped"]["beta"]) == (7, 1.5)
    assert found["ease"]["limit"] == MEASURES["ease"].parameters["limit"]
    assert MEASURES["ease"].parameters["lambda"] != 7, "the registry is unchanged"


def test_relative_paths_become_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = parse(["--dataset", "ml", "--output", "out"])
    assert (found.dataset, found.output) == (str(tmp_path / "ml"), str(tmp_path / "out"))
    assert settings().dataset == "s3://datasets/ml"


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings().neighbours = 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--min-co-raters", "0"], "--min-co-raters: must be at least 1"),
        (["--min-co-raters", "ten"], "--min-co-raters: invalid integer: 'ten'"),
        (["--min-score", "1.5"], "--min-score must be between 0 and 1"),
        (["--neighbours", "0"], "--neighbours: must be at least 1"),
        (["--blocks", "0"], "--blocks: must be at least 1"),
        (["--max-ratings-per-user", "1"], "--max-ratings-per-user: must be at least 2"),
        (["--test-users", "-1"], "--test-users: must be at least 0"),
        (["--similar-users", "-1"], "--similar-users: must be at least 0"),
        (["--measures", "cosine,likeness"], "'likeness' is not one of cosine, damped"),
        (
            ["--measures", "cosine", "--default-measure", "ease"],
            "--default-measure must be one of --measures",
        ),
        (["--parameter", "ease.alpha=1"], "'ease.alpha' is not one of damped.beta"),
        (["--parameter", "ease.lambda=0"], "ease.lambda must be a number above 0, not '0'"),
        (["--parameter", "ease.lambda"], "ease.lambda must be a number above 0, not ''"),
        (["--parameter", "ease.lambda=nan"], "ease.lambda must be a number above 0, not 'nan'"),
    ],
)
def test_invalid_arguments_are_refused_with_a_message(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        settings(*arguments)
    assert ended.value.code == 2
    assert message in capsys.readouterr().err

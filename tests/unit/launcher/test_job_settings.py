"""The job's settings: one JSON value from the template, checked when the launcher starts."""

import json
import os
import re

import msgspec
import pytest

from launcher import job_settings
from tools.template import template

SETTINGS = json.loads(os.environ["JOB_SETTINGS"])


def test_the_template_gives_every_setting_by_its_parameter() -> None:
    resource = template()["Resources"]["LauncherFunction"]
    text = resource["Properties"]["Environment"]["Variables"]["JOB_SETTINGS"]
    given = dict(re.findall(r'"(\w+)": "?\$\{(\w+)\}', text))
    names = job_settings.JobSettings.__struct_fields__
    assert given == {name: name.title().replace("_", "") for name in names}


@pytest.mark.parametrize("name", SETTINGS)
def test_a_missing_setting_is_named(name: str) -> None:
    others = {each: value for each, value in SETTINGS.items() if each != name}
    with pytest.raises(msgspec.ValidationError, match=name):
        job_settings.parse(json.dumps(others))


@pytest.mark.parametrize(
    ("change", "named"),
    [({"neighbors": 50}, "neighbors"), ({"neighbours": "many"}, "neighbours")],
)
def test_an_unknown_or_malformed_setting_is_named(change: dict[str, object], named: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=named):
        job_settings.parse(json.dumps(SETTINGS | change))


def test_every_setting_becomes_an_option_of_the_job_and_zero_switches_optional_ones_off() -> None:
    settings = msgspec.convert(SETTINGS | {"min_score": 0}, job_settings.JobSettings)
    assert settings.arguments() == [
        "--min-co-raters", "10", "--min-score", "0.0", "--neighbours", "50",
        "--default-measure", "blend",
    ]  # fmt: skip
    both = msgspec.structs.replace(settings, max_ratings_per_user=500, similar_users=20)
    assert both.arguments()[8:] == ["--max-ratings-per-user", "500", "--similar-users", "20"]

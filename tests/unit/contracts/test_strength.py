"""Curves of strength: interpolated, and read from quality.json."""

import json

import pytest

from spark.contracts.quality import Quality, QualityError
from spark.contracts.strength import Curve, from_document, strength_of, to_text
from tests.builders.aws import quality

CURVES = [Curve(10, [(0.5, 40), (1.5, 80)]), Curve(1000, [(0.5, 10), (2.5, 50)])]


@pytest.mark.parametrize(
    ("raters", "score", "expected"),
    [
        (10, 0.5, 40),
        (10, 1.0, 60),
        (10, 1.5, 80),
        (1000, 1.5, 30),
        (100, 1.5, 55),  # in the middle, by the logarithm
        (100, 0.5, 25),
        (10, 0.1, 40),  # beyond all knots
        (10, 9.0, 80),
        (0, 1.0, 60),  # beyond all curves
        (10**6, 9.0, 50),
    ],
)
def test_a_strength_is_interpolated_by_score_and_raters(
    raters: int, score: float, expected: float
) -> None:
    assert strength_of(CURVES, raters, score) == pytest.approx(expected)


def test_one_curve_serves_all_movies() -> None:
    assert strength_of(CURVES[:1], 5000, 1.0) == pytest.approx(60)


def test_curves_survive_quality_json_and_the_text_of_an_item() -> None:
    told = quality(1.5, strength={"damped": CURVES})
    assert Quality.from_json(told.to_json()) == told
    assert from_document(json.loads(to_text(told.strength))) == told.strength


def test_quality_of_an_earlier_version_has_no_strength() -> None:
    document = json.loads(quality(1.5).to_json())
    del document["strength"]
    assert Quality.from_json(json.dumps(document)) == quality(1.5)


@pytest.mark.parametrize("strength", [[], {"damped": [[10]]}, {"damped": [[10, [[1, "much"]]]]}])
def test_curves_of_another_form_are_refused(strength: object) -> None:
    document = json.loads(quality(1.5).to_json()) | {"strength": strength}
    with pytest.raises(QualityError, match="does not fit its schema"):
        Quality.from_json(json.dumps(document))

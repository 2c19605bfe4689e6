"""The manifest: read back unchanged, refused if it is invalid."""

import json

import pytest

from spark.contracts.manifest import Manifest, ManifestError, Part

MANIFEST = Manifest(
    measure="cosine",
    measures={"cosine": {}},
    coverage={"cosine": 1.0},
    dataset={"format": "dat", "lines": {"ratings.dat": 3}},
    parameters={
        "min_co_raters": 10,
        "min_score": 0.95,
        "neighbours": 50,
        "max_ratings_per_user": None,
    },
    counts={"ratings": 3, "movies": 1},
    rejects={"ratings.dat": {"columns": 1}},
    neighbours=[Part("neighbours/part-0.json.gz", 1, 20, "ab")],
    titles=Part("titles/part-0.json.gz", 1, 10, "cd"),
    similar_users=[Part("similar-users/part-0.json.gz", 2, 9, "ba")],
    quality=Part("quality.json", 1, 30, "ef"),
    timings={"read": 0.1},
    created_at="2026-11-23T12:00:00.000Z",
)


def test_a_manifest_is_read_back_unchanged() -> None:
    assert Manifest.from_json(MANIFEST.to_json()) == MANIFEST


@pytest.mark.parametrize("field", sorted(json.loads(MANIFEST.to_json())))
def test_a_manifest_without_a_field_is_refused(field: str) -> None:
    document = json.loads(MANIFEST.to_json())
    del document[field]
    with pytest.raises(ManifestError, match=field):
        Manifest.from_json(json.dumps(document))


@pytest.mark.parametrize("movies", [0, 2])
def test_a_manifest_without_a_line_for_every_movie_is_refused(movies: int) -> None:
    document = json.loads(MANIFEST.to_json())
    document["counts"]["movies"] = movies
    with pytest.raises(ManifestError, match=f"1 lines of neighbours for {movies} movies"):
        Manifest.from_json(json.dumps(document))


def test_a_manifest_without_neighbours_by_its_default_measure_is_refused() -> None:
    document = json.loads(MANIFEST.to_json()) | {"measure": "jaccard"}
    with pytest.raises(ManifestError, match="no neighbours by jaccard"):
        Manifest.from_json(json.dumps(document))


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "3", '"x"', '{"schema_version": 99}'])
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(ManifestError):
        Manifest.from_json(text)

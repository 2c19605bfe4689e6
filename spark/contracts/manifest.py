"""The manifest: what a run wrote. The job writes it last; the indexer checks it first.

Standard library only.
"""

import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

SCHEMA_VERSION = 2

# Names below a run's output prefix.
MANIFEST = "manifest.json"
FAILURE = "failure.json"
QUALITY = "quality.json"
SIMILARITIES = "similarities"
NEIGHBOURS = "neighbours"
TITLES = "titles"
REJECTS = "rejects"
SIMILAR_USERS = "similar-users"


class ManifestError(Exception):
    """A manifest that must not be indexed; the message says why."""


@dataclass(frozen=True)
class Part:
    """One file of the output.

    Attributes:
        name: path below the run's output prefix, with `/` as separator.
        records: number of lines or rows.
        bytes: size.
        sha256: of its bytes, hexadecimal.
    """

    name: str
    records: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """What a run computed.

    Attributes:
        measure: the default similarity measure; one of `measures`.
        measures: the similarity measures in `neighbours`, each with its parameters.
        coverage: by measure, the share of the catalogue that has at least ten neighbours by it.
        dataset: `format`; whether the ratings have `timestamps`, without which of several ratings
            of the same user and movie the last line counts; per file, `lines`; and `unterminated`,
            the files whose last line does not end.
        parameters: `min_co_raters`, `min_score`, `neighbours`, `max_ratings_per_user` (or null).
        counts: `ratings` that count (each user and movie once), `users`, `movies` (of the
            catalogue), `duplicates` (good lines that a later rating of the same user and movie
            replaced), `left_out` (ratings beyond the limit per user),
            `duplicate_movies` (good lines for a movie that an earlier line describes), `rejected`
            (lines of both files), `doubled_users` (users whose ratings are another user's, see
            spark/ingest/doubled_users.py), `pairs`, `movies_with_neighbours`.
        rejects: rejected lines per file name and kind of defect.
        neighbours: the parts of `neighbours/`, one gzip JSON line per movie of the catalogue.
        titles: the only part of the titles catalogue, gzip JSON Lines.
        similar_users: the parts of `similar-users/`, which nothing reads; empty by default.
        quality: quality.json, see quality.py; None if the run did not evaluate itself.
        timings: seconds per stage.
        created_at: when the job finished, ISO 8601 in UTC.
        schema_version: of this file.
    """

    measure: str
    measures: dict[str, dict[str, float]]
    coverage: dict[str, float]
    dataset: dict[str, Any]
    parameters: dict[str, float | None]
    counts: dict[str, int]
    rejects: dict[str, dict[str, int]]
    neighbours: list[Part]
    titles: Part
    similar_users: list[Part]
    quality: Part | None
    timings: dict[str, float]
    created_at: str
    schema_version: int = field(default=SCHEMA_VERSION)

    def to_json(self) -> str:
        """The text of manifest.json."""
        return json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> "Manifest":
        """Read manifest.json.

        Raises:
            ManifestError: invalid JSON, a missing or unknown field, or another schema.
        """
        try:
            document = json.loads(text)
            version = document["schema_version"]
        except (ValueError, KeyError, TypeError) as error:
            raise ManifestError(f"manifest.json is not readable: {error!r}") from error
        if version != SCHEMA_VERSION:
            raise ManifestError(
                f"manifest.json has schema version {version!r}; this indexer reads "
                f"{SCHEMA_VERSION}: deploy the version that matches the job"
            )
        try:
            for name in ("neighbours", "similar_users"):
                document[name] = [Part(**part) for part in document[name]]
            document["titles"] = Part(**document["titles"])
            if document["quality"] is not None:
                document["quality"] = Part(**document["quality"])
            manifest = cls(**document)
        except (KeyError, TypeError) as error:
            raise ManifestError(f"manifest.json does not fit its schema: {error}") from error
        _check(manifest)
        if manifest.measure not in manifest.measures:
            raise ManifestError(
                f"manifest.json has no neighbours by {manifest.measure}, its default"
            )
        return manifest


def _check(manifest: Manifest) -> None:
    """Check the value of each field; all later code relies on them.

    Raises:
        ManifestError: a value is invalid.
    """
    parts = [*manifest.neighbours, manifest.titles, *manifest.similar_users]
    parts += [] if manifest.quality is None else [manifest.quality]
    wrong = [name for name, fits in _FIELDS.items() if not fits(getattr(manifest, name))]
    wrong += [
        f"{part.name!r}: {name}"
        for part in parts
        for name, fits in _PART_FIELDS.items()
        if not fits(getattr(part, name))
    ]
    if len({part.name for part in parts if _is_text(part.name)}) < len(parts):
        wrong.append("a part without a name of its own")
    if not wrong and (listed := sum(part.records for part in manifest.neighbours)):
        # One line for every movie of the catalogue; otherwise a removed part would go unnoticed.
        movies = manifest.counts.get("movies")
        wrong += [] if listed == movies else [f"{listed} lines of neighbours for {movies} movies"]
    if wrong:
        raise ManifestError(f"manifest.json does not fit its schema: {', '.join(wrong[:3])}")


def _is_text(value: object) -> bool:
    return isinstance(value, str) and value != ""


def _is_number(value: object) -> bool:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    return math.isfinite(value)


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value < 2**63


def _holds(is_one: Callable[[Any], bool]) -> Callable[[Any], bool]:
    """Whether a value is an object all of whose values pass a check."""
    return lambda value: isinstance(value, dict) and all(map(is_one, value.values()))


def _is_dataset(value: object) -> bool:
    if not isinstance(value, dict) or not _holds(_is_count)(value.get("lines", {})):
        return False
    names = value.get("unterminated", [])
    return isinstance(names, list) and all(map(_is_text, names))


def _are_parameters(value: object) -> bool:
    return (
        _holds(lambda one: one is None or _is_number(one))(value)
        and isinstance(value, dict)
        and value.get("min_co_raters") is not None
        and value.get("min_score") is not None
    )


_FIELDS: dict[str, Callable[[Any], bool]] = {
    "measure": _is_text,
    "measures": _holds(_holds(_is_number)),
    "dataset": _is_dataset,
    "parameters": _are_parameters,
    "counts": _holds(_is_count),
    "rejects": _holds(_holds(_is_count)),
    "timings": _holds(_is_number),
    "created_at": _is_text,
}
_PART_FIELDS: dict[str, Callable[[Any], bool]] = {
    "name": _is_text,
    "records": _is_count,
    "bytes": _is_count,
    "sha256": _is_text,
}

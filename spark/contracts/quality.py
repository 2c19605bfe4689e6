"""quality.json: how well a run's neighbours predict what users liked; the run evaluates itself.

The job writes it before its manifest. The indexer compares it with the live run's. Standard library
only.
"""

import json
from dataclasses import asdict, dataclass, field
from typing import Any

from spark.contracts import strength
from spark.contracts.strength import Curve

SCHEMA_VERSION = 1


class QualityError(Exception):
    """A quality.json that cannot be compared; the message says why."""


@dataclass(frozen=True)
class Figures:
    """How well one measure did.

    Attributes:
        recall: for each user, the share of hidden liked movies among the 20 best, capped at 20; the
            mean over the users.
        lift: `recall` divided by the recall of the most rated movies: 1 is as good as the same list
            for everybody. It varies far less between data sets than `recall`.
        lift_error: its standard error over the users.
        popularity_share: the share of these users' neighbours that are among the tenth of all
            movies with most raters.
    """

    recall: float
    lift: float
    lift_error: float
    popularity_share: float


@dataclass(frozen=True)
class Quality:
    """What a run found about itself.

    Attributes:
        measure: the measure to compare with the live run's: the default measure, or `ease` in place
            of `als`, which would have to be factorised twice.
        users: the held-out users; no evaluated list uses their ratings.
        hidden: how many of their liked movies were hidden.
        popularity_recall: `Figures.recall` of the most rated movies; None if there are too few
            users.
        measures: figures by evaluated measure, at least for the default one and the tutorial's
            cosine; empty if there are too few users to say anything.
        schema_version: of this file.
        strength: by evaluated measure, what its scores mean; without measures for which there are
            too few users or co-likes, and empty in files of earlier versions.
    """

    measure: str
    users: int
    hidden: int
    popularity_recall: float | None
    measures: dict[str, Figures]
    schema_version: int = field(default=SCHEMA_VERSION)
    strength: dict[str, list[Curve]] = field(default_factory=dict)

    @property
    def default(self) -> Figures | None:
        """The figures of `measure`, if there are any."""
        return self.measures.get(self.measure)

    def to_json(self) -> str:
        """The text of quality.json."""
        return json.dumps(asdict(self), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> "Quality":
        """Read quality.json.

        Raises:
            QualityError: invalid JSON, or another schema.
        """
        try:
            document: dict[str, Any] = json.loads(text, parse_constant=_refuse)
            if document["schema_version"] != SCHEMA_VERSION:
                raise QualityError(
                    f"quality.json has schema version {document['schema_version']!r}; this indexer "
                    f"reads {SCHEMA_VERSION}: deploy the version that matches the job"
                )
            figures = {name: Figures(**each) for name, each in document["measures"].items()}
            curves = strength.from_document(document.get("strength", {}))
            return cls(**document | {"measures": figures, "strength": curves})
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise QualityError(f"quality.json does not fit its schema: {error!r}") from error


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not a figure")

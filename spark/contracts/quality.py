"""quality.json: how well a run's neighbours find what users liked, told by the run about itself.

Imports nothing of the project: it is a contract between the job, which writes it before its
manifest, and the indexer, which compares it with the live run's.
"""

import json
from dataclasses import asdict, dataclass, field
from typing import Any

SCHEMA_VERSION = 1


class QualityError(Exception):
    """A quality.json that cannot be compared with another; the message says why."""


@dataclass(frozen=True)
class Figures:
    """How well one measure did.

    Attributes:
        recall: of each user's hidden liked movies the share found among the 20 best, of at most
            20; the mean over the users.
        lift: `recall` by that of the most rated movies: 1 is as good as a list that is the same
            for everybody. Data sets differ in it far less than in `recall`.
        lift_error: its standard error over the users.
        popularity_share: of the neighbours of these users' movies the share that is among the
            tenth of all movies that most users rated.
    """

    recall: float
    lift: float
    lift_error: float
    popularity_share: float


@dataclass(frozen=True)
class Quality:
    """What a run found about itself.

    Attributes:
        measure: that is compared with the live run's: the one that answers by default; for `als`,
            which would have to be factorised twice, `ease`.
        users: who were asked: apart from all that was learnt from.
        hidden: liked movies of theirs that were looked for.
        popularity_recall: `Figures.recall` of the most rated movies; None of too few users.
        measures: figures of each measure that was judged, the default one and the tutorial's at
            least; none of too few users, for whom nothing can be said.
        schema_version: of this file.
    """

    measure: str
    users: int
    hidden: int
    popularity_recall: float | None
    measures: dict[str, Figures]
    schema_version: int = field(default=SCHEMA_VERSION)

    @property
    def default(self) -> Figures | None:
        """The figures of the measure that answers by default, if there are any."""
        return self.measures.get(self.measure)

    def to_json(self) -> str:
        """The text of quality.json."""
        return json.dumps(asdict(self), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> "Quality":
        """Read quality.json.

        Raises:
            QualityError: not JSON, or not of this schema.
        """
        try:
            document: dict[str, Any] = json.loads(text, parse_constant=_refuse)
            if document["schema_version"] != SCHEMA_VERSION:
                raise QualityError(
                    f"quality.json has schema version {document['schema_version']!r}; this indexer "
                    f"reads {SCHEMA_VERSION}: deploy the version that matches the job"
                )
            figures = {name: Figures(**each) for name, each in document["measures"].items()}
            return cls(**document | {"measures": figures})
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise QualityError(f"quality.json does not fit its schema: {error!r}") from error


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no figure")

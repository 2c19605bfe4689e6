"""The settings of the job, which template.yaml passes to the launcher as one JSON value."""

import msgspec


class JobSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The settings of the job: each is an option of `similarity_job.py` by the same name.

    Attributes:
        min_co_raters: minimum number of users who rated both movies of a pair.
        min_score: minimum score of a pair.
        neighbours: maximum number of neighbours per movie.
        default_measure: the similarity measure of requests that name none.
        max_ratings_per_user: use only this many of a user's latest ratings; 0 for all.
        similar_users: number of similar users to write per user; 0 for none.
    """

    min_co_raters: int
    min_score: float
    neighbours: int
    default_measure: str
    max_ratings_per_user: int
    similar_users: int

    def arguments(self) -> list[str]:
        """The job's command-line options; an option that is switched off is left out."""
        optional = {"max_ratings_per_user", "similar_users"}
        options = msgspec.structs.asdict(self).items()
        return [
            argument
            for name, value in options
            if value or name not in optional
            for argument in (f"--{name.replace('_', '-')}", str(value))
        ]


def parse(text: str) -> JobSettings:
    """Read the settings from the environment variable JOB_SETTINGS.

    Raises:
        msgspec.ValidationError: a setting is missing, unknown or of the wrong type; the message
            names it.
    """
    return msgspec.json.decode(text, type=JobSettings)

"""The command line of the job: arguments become `JobSettings`."""

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from spark.measures.registry import DEFAULT, MEASURES
from spark.self_evaluation.held_out import MAX_USERS
from spark.storage import absolute

type AddOption = Callable[..., argparse.Action]  # a parser's `add_argument`

DESCRIPTION = """\
Read a MovieLens folder, compute similar titles, and write them; the manifest is written last.
"""
EXAMPLE = """example:
  spark-submit spark/similarity_job.py --dataset ml-10M100K --output result
"""


@dataclass(frozen=True)
class JobSettings:
    """What the job does.

    Attributes:
        dataset: absolute URI of a MovieLens folder.
        output: absolute URI of the folder for the result.
        min_co_raters: pairs with fewer common users are dropped.
        min_score: pairs with a lower cosine are dropped.
        neighbours: most neighbours per movie and measure.
        measures: names, the cosine always among them; in the registry's order.
        parameters: by measure and name.
        default_measure: one of `measures`.
        max_ratings_per_user: most ratings that count per user, the latest ones; None for all.
        similar_users: most similar users per user; 0 to write none.
        test_users: roughly how many users the self-evaluation holds out; 0 for no evaluation.
        blocks: of movies; None to choose.
    """

    dataset: str
    output: str
    min_co_raters: int
    min_score: float
    neighbours: int
    measures: list[str]
    parameters: Mapping[str, Mapping[str, float]]
    default_measure: str
    max_ratings_per_user: int | None
    similar_users: int
    test_users: int
    blocks: int | None


def parse(arguments: list[str] | None = None) -> JobSettings:
    """Read the command line; an invalid one ends the program with status 2.

    Args:
        arguments: without the program's name; None for those of this process.
    """
    parser = _parser()
    given = parser.parse_args(arguments)
    parameters = {name: dict(each.parameters) for name, each in MEASURES.items()}
    for measure, name, value in given.parameter:
        parameters[measure][name] = value
    default_measure = given.default_measure
    if default_measure is None:
        default_measure = DEFAULT if DEFAULT in given.measures else "cosine"
    if default_measure not in given.measures:
        parser.error("--default-measure must be one of --measures")
    if not 0 <= given.min_score <= 1:
        parser.error("--min-score must be between 0 and 1")
    return JobSettings(
        dataset=absolute(given.dataset),
        output=absolute(given.output),
        min_co_raters=given.min_co_raters,
        min_score=given.min_score,
        neighbours=given.neighbours,
        measures=given.measures,
        parameters=parameters,
        default_measure=default_measure,
        max_ratings_per_user=given.max_ratings_per_user,
        similar_users=given.similar_users,
        test_users=given.test_users,
        blocks=given.blocks,
    )


def _parser() -> argparse.ArgumentParser:
    """The parser, with the help."""
    parser = argparse.ArgumentParser(
        prog="similarity_job.py",
        description=DESCRIPTION,
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    for add_options in _folders, _lists, _measures, _users:
        add_options(parser.add_argument)
    parser.add_argument(
        "--blocks", type=_at_least(1), metavar="B", help="blocks of movies; default automatic"
    )
    return parser


def _folders(option: AddOption) -> None:
    """The options that say what is read and written."""
    option("--dataset", required=True, metavar="URI", help="a MovieLens folder")
    option("--output", required=True, metavar="URI", help="folder for the result")


def _lists(option: AddOption) -> None:
    """The options of the lists of neighbours."""
    option(
        "--min-co-raters", type=_at_least(1), default=10, metavar="N",
        help="drop pairs with fewer common users; default %(default)s",
    )  # fmt: skip
    option(
        "--min-score", type=float, default=0.95, metavar="S",
        help="drop pairs with a lower cosine; default %(default)s",
    )  # fmt: skip
    option(
        "--neighbours", type=_at_least(1), default=50, metavar="N",
        help="most neighbours per movie and measure; default %(default)s",
    )  # fmt: skip


def _measures(option: AddOption) -> None:
    """The options of the measures."""
    usual = ",".join(name for name, measure in MEASURES.items() if measure.is_usual)
    option(
        "--measures", type=_names, default=usual, metavar="NAMES",
        help="similarity measures besides cosine, separated by commas; default %(default)s",
    )  # fmt: skip
    option(
        "--parameter", type=_parameter, action="append", default=[], metavar="MEASURE.NAME=VALUE",
        help="a parameter of a measure, such as ease.lambda=400; the manifest lists them all",
    )  # fmt: skip
    option(
        "--default-measure", metavar="NAME",
        help=f"the measure of answers to requests that name none; default {DEFAULT}",
    )  # fmt: skip


def _users(option: AddOption) -> None:
    """The options that are about users."""
    option(
        "--max-ratings-per-user", type=_at_least(2), metavar="N",
        help="only the latest N ratings of a user count; default all, which is exact",
    )  # fmt: skip
    option(
        "--similar-users", type=_at_least(0), default=0, metavar="N",
        help="also write each user's N most similar users, as ids; default none",
    )  # fmt: skip
    option(
        "--test-users", type=_at_least(0), default=MAX_USERS, metavar="N",
        help="hold out about N users, at most a tenth of all, to evaluate the neighbours; 0 for no "
        "quality.json; default %(default)s",
    )  # fmt: skip


def _at_least(least: int) -> Callable[[str], int]:
    """A reader of integers with a lower limit."""

    def read(text: str) -> int:
        try:
            number = int(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"invalid integer: {text!r}") from error
        if number < least:
            raise argparse.ArgumentTypeError(f"must be at least {least}")
        return number

    return read


def _names(text: str) -> list[str]:
    """The named measures, those they need, and the cosine; in the registry's order."""
    names = {"cosine", *text.split(",")}
    if unknown := sorted(names - set(MEASURES)):
        raise argparse.ArgumentTypeError(f"{unknown[0]!r} is not one of {', '.join(MEASURES)}")
    names.update(*(MEASURES[name].needs for name in list(names)))
    return [name for name in MEASURES if name in names]


def _parameter(text: str) -> tuple[str, str, float]:
    """A measure's parameter: measure, name and value."""
    name, _, value = text.partition("=")
    measure, _, parameter = name.partition(".")
    if measure not in MEASURES or parameter not in MEASURES[measure].parameters:
        known = ", ".join(f"{m}.{p}" for m, each in MEASURES.items() for p in each.parameters)
        raise argparse.ArgumentTypeError(f"{name!r} is not one of {known}")
    try:
        number = float(value)
    except ValueError:
        number = -1.0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{name} must be a number above 0, not {value!r}")
    return measure, parameter, number

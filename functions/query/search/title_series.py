"""Places in a series: `Rambo 2` is the movie with that number, or else the second by year."""

from collections.abc import Sequence

from query.search import title_text
from query.search.title_catalogue import Catalogue

MOST_PARTS = 50  # a larger number behind a series' name is not a place in it
LONE_YEARS = 15  # a first title so long before two others is an earlier film of the same name


def at_place(
    catalogue: Catalogue, key: str, number: int
) -> tuple[Sequence[int], str | None] | None:
    """The movies at a place in a series, and a note unless their titles have the number.

    Args:
        catalogue: to search in.
        key: the words of the series' name.
        number: the place.

    Returns:
        None if there is no such series or place.
    """
    members = catalogue.by_series.get(key, ())
    if not members or number > MOST_PARTS:
        return None
    said = [at for at in members if number in numbers_after(catalogue, at, key)]
    if said:
        return said, None
    position = _places(catalogue, key, members).get(number)
    if position is None:
        return None
    movie = catalogue.titles[position]
    return [position], f"number {number} of {movie.series} by year"


def _places(catalogue: Catalogue, key: str, members: Sequence[int]) -> dict[int, int]:
    """The movies of a series by their places: by year, counted on from numbers in titles.

    A first title long before two others is an earlier film: The Lord of the Rings of 1978. `A Star
    Wars Story` is one beside the others.
    """
    dated = sorted(
        (at for at in members if catalogue.titles[at].year is not None),
        key=lambda at: (catalogue.titles[at].year, catalogue.titles[at].movie_id),
    )
    years = [catalogue.titles[at].year or 0 for at in dated]
    if len(dated) > 2 and years[1] - years[0] > LONE_YEARS:
        dated = dated[1:]
    places: dict[int, int] = {}
    place = 0
    for position in dated:
        words = title_text.words(title_text.plain(catalogue.titles[position].title or ""))
        if f" a {key} " in f" {' '.join(words)} ":
            continue
        place = max(numbers_after(catalogue, position, key), default=place + 1)
        places.setdefault(place, position)
    return places


def numbers_after(catalogue: Catalogue, position: int, name: str) -> set[int]:
    """The numbers that follow a name in a movie's title."""
    forms = title_text.forms(catalogue.titles[position].title or "")
    begin = f"{name} "
    after = (form[len(begin) :].split()[0] for form in forms if form.startswith(begin))
    return {int(word) for word in after if word.isdecimal() and len(word) < 3}

"""The explorer in a real browser, against the deployed API."""

import json
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import boto3
import msgspec
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, Request, Route, expect

import runs
from local.cloud import Cloud
from pictures.browser import NoBrowserError, browser
from query import run_responses
from runs import claims
from runs.states import State
from tests.builders.aws import Cloud as Account
from tests.builders.world import World

pytestmark = pytest.mark.e2e

FOLDER = "explored"
HOSTILE = "<img src=x onerror=\"document.title='taken over'\"> (2001)"
MATRIX, NEIGHBOUR, RARE, LONELY = 1, 2, 40, 41
MEASURES = {"cosine": {}, "jaccard": {}, "hybrid": {}}
COUNTS = {"ratings": 12_345, "users": 678, "movies": 42, "pairs": 99}

SERIES = "Saga"
IN_SERIES = (10, 12, 14)
FEW_RATINGS = 20  # of the neighbour that is least rated
LEAST_RATED = 31
# Each other neighbour has as many: 36 who rated both are 36 * 678 / (100 * 50) = 4.9 times chance.
RATINGS = 50

# Eight dramas of the same decade, and a western of another one, which is rated least.
EXAMPLES: dict[int, dict[str, Any]] = {
    51 + n: {"title": f"Drama {n}, The (1990)", "year": 1990, "genres": ["Drama"]} for n in range(8)
} | {60: {"title": "Saddle, The (1960)", "year": 1960, "genres": ["Western"]}}

type Line = dict[str, Any]


def about(movie_id: int) -> Line:
    """A movie: odd ids are dramas of 1990, even ones comedies of 1980, except for two."""
    year = 1980 + movie_id % 2 * 10
    titled = {MATRIX: ("Matrix, The (1999)", 1999), 3: (HOSTILE, 2001)}
    if movie_id in EXAMPLES:
        return {"movie_id": movie_id} | EXAMPLES[movie_id]
    title, year = titled.get(movie_id, (f"Film {movie_id} ({year})", year))
    genres = ["Drama"] if movie_id % 2 else ["Comedy", "Crime"]
    series = {"series": SERIES} if movie_id in IN_SERIES else {}
    return {"movie_id": movie_id, "title": title, "year": year, "genres": genres} | series


def line(
    movie_id: int, ratings: int, **neighbours: list[tuple[int, float, int, float | None]]
) -> Line:
    """A line of `neighbours/`; each measure's rows are id, score, co-raters and cosine."""
    others = sorted({row[0] for rows in neighbours.values() for row in rows})
    return about(movie_id) | {
        "ratings": ratings,
        "others": [
            about(other) | {"ratings": FEW_RATINGS if other == LEAST_RATED else RATINGS}
            for other in others
        ],
        "neighbours": {
            measure: [[others.index(row[0]), *row[1:]] for row in rows]
            for measure, rows in neighbours.items()
        },
    }


def lines(best: float) -> list[Line]:
    """The Matrix has 30 neighbours by cosine, 25 of them by Jaccard in the opposite order."""
    cosine = [(k + 2, best - k / 1000, 40 - k, best - k / 1000) for k in range(30)]
    jaccard = [(31 - k, 0.5 - k / 100, 11 + k, best - (29 - k) / 1000) for k in range(25)]
    back = [(MATRIX, best, 40, best), (3, 0.97, 20, 0.97)]
    return [
        line(MATRIX, 100, cosine=cosine, jaccard=jaccard),
        line(NEIGHBOUR, 60, cosine=back),
        *(line(movie_id, 50, cosine=own_neighbours(movie_id)) for movie_id in range(3, 32)),
        line(RARE, 7, hybrid=[(MATRIX, 0.75, 0, None)]),
        line(LONELY, 7),
        *(line(movie_id, 90 - movie_id) for movie_id in EXAMPLES),
    ]


def own_neighbours(movie_id: int) -> list[tuple[int, float, int, float | None]]:
    """The Matrix, and the others of a movie's series."""
    others = [other for other in IN_SERIES if other != movie_id] if movie_id in IN_SERIES else []
    return [(MATRIX, 0.96, 20, 0.96), *((other, 0.955, 15, 0.955) for other in others)]


def publish(world: World, best: float = 0.999) -> str:
    """Make a result live as if a cluster had just computed it; returns its run's id."""
    access, outputs = world.cloud.access, world.cloud.outputs
    names = {"region_name": "eu-central-1", "endpoint_url": access.endpoint}
    secret = access.environment
    tables = boto3.resource(
        "dynamodb",
        aws_access_key_id=secret["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=secret["AWS_SECRET_ACCESS_KEY"],
        **names,
    )
    table = tables.Table(outputs["RunsTable"])
    now = datetime.now(UTC)
    run = claims.claim(table, f"{time.time_ns():064x}", FOLDER, None, now, timedelta(0))
    assert run is not None
    for state in (State.LAUNCHING, State.STARTING, State.RUNNING):
        runs.advance(table, run["run_id"], state, now)
    account = Account(
        s3=world.cloud.client("s3"), sqs=None, emr=None, runs=table, index=None,
        results=outputs["ResultsBucket"],
    )  # fmt: skip
    account.write_result(run["run_id"], [lines(best)], measures=MEASURES, counts=COUNTS)
    live = world.wait_for_run(FOLDER, "LIVE", "FAILED")
    assert (live["run_id"], live["state"]) == (run["run_id"], "LIVE"), live.get("reason")
    return run["run_id"]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """The browser."""
    try:
        with browser() as started:
            expect.set_options(timeout=30_000)
            yield started
    except NoBrowserError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def run_id(cloud: Cloud, chromium: Browser) -> str:  # noqa: ARG001
    """The run that the page shows."""
    return publish(World(cloud))


@dataclass
class Tab:
    """A page of the browser with its log.

    Attributes:
        page: the browser's page.
        url: of the explorer, without a query.
        warnings: errors and warnings on its console, except for failed requests.
        requested: the URLs of its requests.
    """

    page: Page
    url: str
    warnings: list[str] = field(default_factory=list)
    requested: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("console", self._note)
        self.page.on("pageerror", lambda error: self.warnings.append(str(error)))
        self.page.on("request", lambda request: self.requested.append(request.url))

    def _note(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and "Failed to load resource" not in message.text:
            self.warnings.append(message.text)

    def open(self, query: str = "") -> None:
        """Open an address and wait for its view."""
        self.page.goto(f"{self.url}{query}")
        self.settle()

    def settle(self) -> None:
        """Wait until the view is complete."""
        expect(self.page.locator("main")).not_to_have_attribute("aria-busy", "true")
        expect(self.page.locator("main h1:visible")).to_have_count(1)

    def query(self) -> dict[str, list[str]]:
        """The parameters of the address."""
        return parse_qs(urlsplit(self.page.url).query)

    def heading(self) -> Locator:
        """The heading of the view."""
        return self.page.locator("main h1:visible")

    def titles(self, number: int = 0) -> list[str]:
        """The titles of a list."""
        return self.page.locator(".rows").nth(number).locator("a").all_inner_texts()


@pytest.fixture
def new_tab(cloud: Cloud, chromium: Browser) -> Iterator[Callable[..., Tab]]:
    """Opens tabs in windows of their own; fails if one logged a warning or left the origin."""
    tabs: list[Tab] = []

    def make(**settings: Any) -> Tab:
        context = chromium.new_context(**{"viewport": {"width": 1100, "height": 800}} | settings)
        tabs.append(Tab(context.new_page(), f"{cloud.api_url}/"))
        return tabs[-1]

    yield make
    for tab in tabs:
        tab.page.context.close()
        assert tab.warnings == []
        assert {f"{urlsplit(url).scheme}://{urlsplit(url).netloc}" for url in tab.requested} == {
            cloud.access.endpoint
        }, "a request left the origin"


@pytest.fixture
def tab(new_tab: Callable[..., Tab], run_id: str) -> Tab:  # noqa: ARG001
    """A tab on a live run."""
    return new_tab()


def test_typing_suggests_and_enter_opens_the_best_match(tab: Tab) -> None:
    tab.open()
    field = tab.page.get_by_role("combobox", name="Find a movie")
    field.press_sequentially("the matr")
    option = tab.page.get_by_role("option")
    expect(option).to_have_text(["The Matrix 1999 100 ratings"])
    expect(field).to_have_attribute("aria-expanded", "true")
    field.press("Enter")
    expect(tab.heading()).to_have_text("Similar to The Matrix")
    expect(tab.heading()).to_be_focused()
    expect(field).to_have_value("")
    expect(field).to_have_attribute("aria-expanded", "false")
    assert tab.query() == {"movie": ["1"]}
    assert tab.page.title() == "Similar to The Matrix"


def films_suggested(tab: Tab) -> tuple[Locator, Locator]:
    """The search field after `film` was typed, and its eight suggestions."""
    tab.open()
    field = tab.page.get_by_role("combobox", name="Find a movie")
    field.press_sequentially("film")
    options = tab.page.get_by_role("option")
    expect(options).to_have_count(8)
    return field, options


def test_arrow_keys_move_through_suggestions_and_escape_closes_them(tab: Tab) -> None:
    field, options = films_suggested(tab)
    field.press("ArrowDown")
    field.press("ArrowDown")
    expect(options.nth(1)).to_have_attribute("aria-selected", "true")
    expect(field).to_have_attribute(
        "aria-activedescendant", options.nth(1).get_attribute("id") or ""
    )
    field.press("ArrowUp")
    field.press("ArrowUp")
    expect(tab.page.locator("[role=option][aria-selected=true]")).to_have_count(0)
    field.press("ArrowUp")
    expect(options.nth(7)).to_have_attribute("aria-selected", "true")
    field.press("Escape")
    expect(options.first).to_be_hidden()
    expect(field).to_have_value("film")
    field.press("ArrowDown")
    field.press("ArrowDown")
    chosen = options.first.locator("span").first.inner_text()
    field.press("Enter")
    expect(tab.heading()).to_have_text(f"Similar to {chosen}")


def test_a_search_that_replaces_another_shows_its_suggestions(tab: Tab) -> None:
    tab.page.add_init_script("""
        const read = Response.prototype.json;
        Response.prototype.json = async function () {  // slow: it can be interrupted
            await new Promise((resume) => setTimeout(resume, 300));
            return read.call(this);
        };
    """)
    field, options = films_suggested(tab)
    field.press("Escape")
    with tab.page.expect_response(lambda response: "title=film" in response.url):
        field.press("ArrowDown")
    field.press("ArrowDown")
    expect(options.first).to_be_visible()


def test_an_unknown_title_gets_a_message(tab: Tab) -> None:
    tab.open()
    field = tab.page.get_by_role("combobox", name="Find a movie")
    field.press_sequentially("qqqqqqqq")
    expect(tab.page.get_by_text("No title matches “qqqqqqqq”")).to_be_visible()
    field.press("Enter")
    expect(tab.heading()).to_have_text("Find movies like one you know")


def test_the_first_view_has_the_neighbours_of_the_best_known_title(tab: Tab) -> None:
    tab.open()
    expect(tab.page.get_by_role("heading", name="Similar to The Matrix")).to_be_visible()
    rows = tab.page.locator(".rows li")
    expect(rows).to_have_count(10)
    expect(rows.first).to_contain_text("Film 2")
    tab.page.get_by_role("link", name="All titles similar to The Matrix").click()
    expect(tab.heading()).to_have_text("Similar to The Matrix")
    expect(rows).to_have_count(20)


def test_examples_differ_in_genre_and_decade_before_they_repeat_one(tab: Tab) -> None:
    tab.open()
    expect(tab.page.locator("#popular a")).to_have_text(
        ["The Drama 0 1990", "The Saddle 1960", *(f"The Drama {n} 1990" for n in range(1, 7))]
    )


def test_the_first_list_is_there_within_a_second(tab: Tab, new_tab: Callable[..., Tab]) -> None:
    tab.open()  # the function is warm from now on
    assert min(milliseconds_to_first_list(new_tab()) for _ in range(3)) < 1000


def milliseconds_to_first_list(tab: Tab) -> float:
    """From the request of the page to its first row, with an empty cache."""
    tab.page.add_init_script("""
        new MutationObserver((_, observer) => {
          if (!document.querySelector(".rows li")) return;
          window.firstList = performance.now();
          observer.disconnect();
        }).observe(document, { childList: true, subtree: true });
    """)
    tab.open()
    milliseconds: float = tab.page.evaluate("window.firstList")
    return milliseconds


def test_a_title_found_in_another_way_says_how(tab: Tab) -> None:
    note = "No such title of 1998, but of the year beside it."
    tab.open()
    tab.page.get_by_role("combobox", name="Find a movie").press_sequentially("matrix 1998")
    expect(tab.page.get_by_role("option")).to_have_text([f"The Matrix 1999 100 ratings{note}"])
    tab.page.keyboard.press("Enter")
    expect(tab.heading()).to_have_text("Similar to The Matrix")
    expect(tab.page.locator("#note")).to_have_text(note)
    tab.page.reload()
    expect(tab.page.locator("#note")).to_have_text(note)
    tab.page.get_by_role("link", name="Film 2", exact=True).click()
    expect(tab.heading()).to_have_text("Similar to Film 2")
    expect(tab.page.locator("#note")).to_be_hidden()


def test_rarer_titles_and_more_varied_ones_can_come_first(tab: Tab) -> None:
    tab.open("?movie=1")
    plain = tab.titles()
    tab.page.get_by_role("button", name="Filter and order").click()
    tab.page.get_by_label("Rarer titles first").press("End")
    expect(tab.page.locator(".rows li").first).to_contain_text(f"Film {LEAST_RATED}")
    expect(tab.page.get_by_role("status").filter(has_text="titles")).to_have_text(
        "30 titles, rarer ones first"
    )
    assert tab.query() == {"movie": ["1"], "popularity": ["1"]}
    tab.page.go_back()
    expect(tab.page.locator(".rows li").first).to_contain_text("Film 2")
    expect(tab.page.get_by_label("Rarer titles first")).to_have_value("0")
    tab.page.get_by_label("More varied titles").press("End")
    # A drama shares nothing with the comedy before it; the next one shares its genre only.
    expect(tab.page.locator(".rows li").nth(1)).to_contain_text(plain[1])
    expect(tab.page.locator(".rows li").nth(2)).to_contain_text(plain[3])
    assert tab.query() == {"movie": ["1"], "diversity": ["1"]}


def test_following_links_changes_the_address_and_back_restores_the_view(tab: Tab) -> None:
    tab.open("?movie=1")
    tab.page.get_by_role("link", name="Film 2", exact=True).click()
    expect(tab.heading()).to_have_text("Similar to Film 2")
    expect(tab.heading()).to_be_focused()
    assert tab.query() == {"movie": ["2"]}
    path = tab.page.get_by_role("navigation", name="Your path")
    expect(path.get_by_role("link")).to_have_text(["The Matrix"])

    tab.page.go_back()
    expect(tab.heading()).to_have_text("Similar to The Matrix")
    expect(tab.page.get_by_role("link", name="Film 2", exact=True)).to_be_focused()
    expect(path.get_by_role("link")).to_have_count(0)

    tab.page.go_forward()
    expect(tab.heading()).to_have_text("Similar to Film 2")
    path.get_by_role("link", name="The Matrix").click()
    expect(tab.heading()).to_have_text("Similar to The Matrix")
    expect(path.get_by_role("link")).to_have_count(0)


def test_a_row_has_rank_title_year_genres_reason_score_and_co_raters(tab: Tab) -> None:
    tab.open("?movie=1")
    rows = tab.page.locator(".rows li")
    expect(rows).to_have_count(20)
    texts = re.sub(r"\s+", " ", rows.nth(4).inner_text())
    assert texts == (
        "5 Film 6 1980 Comedy, Crime 36 people rated both, 4.9 times as many as chance."
        " Evidence 0.9950 36 rated both"
    )
    expect(rows.nth(3).locator(".why")).to_have_text(
        "Both are drama movies of the 1990s; 37 people rated both, 5.0 times as many as chance."
    )
    bars = [bar.bounding_box() for bar in (rows.nth(0).locator("i"), rows.nth(19).locator("i"))]
    assert bars[0]
    assert bars[1]
    assert bars[0]["width"] > bars[1]["width"] > 0
    tab.page.get_by_role("button", name="Show 10 more").click()
    expect(rows).to_have_count(30)
    expect(rows.nth(20).get_by_role("link")).to_be_focused()


def test_a_row_gives_its_evidence_on_demand(tab: Tab) -> None:
    tab.open("?movie=1&measure=jaccard")
    row = tab.page.locator(".rows li").filter(has_text="Film 31")
    facts = row.locator("dl")
    expect(facts).to_be_hidden()
    row.get_by_text("Evidence").click()
    expect(tab.heading()).to_have_text("Similar to The Matrix")  # the row's link did not open
    # 11 who rated both are 11 * 678 / (100 * 20) = 3.729 times chance.
    assert facts.inner_text().split("\n") == [
        *("Genres of both", "Drama", "Decade of both", "1990s"),
        *("Rated it", "20 users", "Rated both", "11 users"),
        *("Against chance", "3.729 times as many rated both"),
        *("Score by Jaccard", "0.5", "Cosine", facts.locator("dd").last.inner_text()),
    ]
    tab.page.get_by_role("button", name="Like Film 31", exact=True).click()
    expect(facts).to_be_visible()


def test_a_recommendation_gives_what_each_title_adds(tab: Tab) -> None:
    tab.open("?liked=2,4&disliked=5")
    row = tab.page.locator(".rows li").filter(has_text="The Matrix")
    row.get_by_text("Evidence").click()
    expect(row.locator("dt")).to_have_text(["Film 2", "Film 4", "Titles you do not like", "Score"])
    expect(row.locator("dd").nth(1)).to_have_text("adds 0.96")
    expect(row.locator("dd").nth(2)).to_have_text("take away 0.96")


def test_titles_that_a_person_likes_lead_to_recommendations(tab: Tab) -> None:
    tab.open("?movie=2")
    expect(tab.page.locator("#taste")).to_be_hidden()
    like = tab.page.get_by_role("button", name="I like it")
    like.click()
    expect(like).to_have_attribute("aria-pressed", "true")
    expect(like).to_be_focused()
    assert tab.query() == {"movie": ["2"], "liked": ["2"]}
    tab.page.get_by_role("link", name="Your taste: 1").click()
    expect(tab.heading()).to_have_text("Recommended for you")
    rows = tab.page.locator(".rows li")
    expect(rows.locator(".why")).to_have_text(["Because you like Film 2."] * 2)
    rows.last.get_by_role("button", name="Dislike").click()
    expect(tab.page.get_by_role("heading", name="Not for you")).to_be_visible()
    expect(rows).to_have_count(1)
    tab.page.go_back()
    expect(rows).to_have_count(2)
    tab.page.get_by_role("button", name="Remove all").click()
    expect(tab.heading()).to_have_text("Find movies like one you know")
    assert tab.query() == {}


def test_the_first_view_is_enough_to_get_recommendations(tab: Tab) -> None:
    tab.open()
    tab.page.get_by_role("button", name="Like Film 2", exact=True).click()
    expect(tab.heading()).to_have_text("Recommended for you")
    expect(tab.heading()).to_be_focused()
    assert tab.query() == {"liked": ["2"]}
    tab.page.get_by_role("button", name="Remove Film 2").click()
    expect(tab.heading()).to_have_text("Find movies like one you know")


def test_a_taste_is_shared_by_its_address(tab: Tab, new_tab: Callable[..., Tab]) -> None:
    tab.open("?liked=2,4")
    expect(tab.page.locator(".rows li")).to_have_count(2)
    first = tab.page.locator(".rows li").first
    expect(first).to_contain_text("The Matrix")
    expect(first.locator(".why")).to_have_text("Because you like Film 2 and Film 4.")
    # Two of its raters' lists have The Matrix as well, and take away more than the others add.
    tab.open("?liked=2,4&disliked=5,6,7")
    expect(tab.page.locator(".rows li")).to_have_count(1)
    shared = tab.titles()
    tab.page.reload()
    tab.settle()
    assert tab.titles() == shared
    other = new_tab()
    other.page.goto(tab.page.url)
    other.settle()
    assert other.titles() == shared
    expect(other.page.locator("#basket li")).to_have_text(
        [f"Film {n} {1980 + n % 2 * 10}\u00d7" for n in (2, 4, 5, 6, 7)]
    )
    other.page.get_by_role("button", name="Remove Film 6").click()
    expect(other.page.locator("#basket li")).to_have_count(4)
    assert other.query() == {"liked": ["2,4"], "disliked": ["5,7"]}


def test_marking_a_title_keeps_the_list_as_it_is(tab: Tab) -> None:
    tab.open("?movie=1")
    tab.page.get_by_role("button", name="Show 10 more").click()
    rows = tab.page.locator(".rows li")
    expect(rows).to_have_count(30)
    before = len(tab.requested)
    dislike = tab.page.get_by_role("button", name="Dislike Film 26", exact=True)
    dislike.click()
    expect(dislike).to_have_attribute("aria-pressed", "true")
    expect(dislike).to_be_focused()
    expect(rows).to_have_count(30)
    assert tab.query() == {"movie": ["1"], "disliked": ["26"]}
    assert len(tab.requested) == before
    tab.page.get_by_role("link", name="Film 2", exact=True).click()
    expect(tab.heading()).to_have_text("Similar to Film 2")
    assert tab.query() == {"movie": ["2"], "disliked": ["26"]}


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("?disliked=5", "No recommendations: like at least one title."),
        ("?liked=2,999", "The live run does not have 1 title of this address: 999."),
        ("?liked=999", "None of the liked movies"),
        ("?liked=2&disliked=2", "also liked"),
        ("?liked=matrix", "ids of movies"),
    ],
)
def test_a_taste_that_cannot_be_followed_says_why(tab: Tab, query: str, text: str) -> None:
    tab.open(query)
    expect(tab.page.locator("main")).to_contain_text(text, ignore_case=True)


def test_two_measures_appear_side_by_side_with_the_titles_they_share(tab: Tab) -> None:
    tab.open("?movie=1")
    tab.page.get_by_label("Compare with").select_option("jaccard")
    lists = tab.page.locator(".lists section")
    expect(lists).to_have_count(2)
    expect(lists.get_by_role("heading")).to_have_text(["Cosine", "Jaccard"])
    expect(tab.page.get_by_role("status").filter(has_text="both lists")).to_have_text(
        "25 titles in both lists"
    )
    assert tab.query() == {"movie": ["1"], "measure": ["cosine"], "beside": ["jaccard"]}
    # Film 31 is first by Jaccard and thirtieth by cosine.
    expect(lists.nth(1).get_by_role("listitem").first).to_contain_text("#30 by Cosine")
    boxes = [lists.nth(number).bounding_box() for number in (0, 1)]
    assert boxes[0]
    assert boxes[1]
    assert boxes[0]["y"] == boxes[1]["y"]
    tab.page.go_back()
    expect(lists).to_have_count(1)


def test_a_shared_address_shows_another_person_the_same_view(
    tab: Tab, new_tab: Callable[..., Tab]
) -> None:
    tab.open("?movie=1")
    tab.page.get_by_label("Measure", exact=True).select_option("jaccard")
    expect(tab.page.locator(".rows li").first).to_contain_text("Film 31")
    tab.page.get_by_role("button", name="Filter").click()
    tab.page.get_by_label("Drama").check()
    expect(tab.page.get_by_text("13 of 25 similar titles match the filters")).to_be_visible()
    tab.page.get_by_label("from").fill("1985")
    tab.page.get_by_label("from").press("Tab")
    expect(tab.page.get_by_role("button", name="Filter: Drama, from 1985")).to_be_visible()
    tab.settle()
    shared = tab.titles()
    assert len(shared) == 13
    other = new_tab()
    other.page.goto(tab.page.url)
    other.settle()
    assert other.titles() == shared
    expect(other.page.get_by_label("Measure", exact=True)).to_have_value("jaccard")
    expect(other.page.get_by_role("button", name="Filter: Drama, from 1985")).to_be_visible()


def test_filters_without_matches_can_be_cleared_at_once(tab: Tab) -> None:
    tab.open("?movie=1&genre=Comedy&year_from=1985")
    expect(tab.page.get_by_text("Nothing matches the filters")).to_be_visible()
    tab.page.get_by_role("button", name="Clear filters").first.click()
    expect(tab.page.locator(".rows li")).to_have_count(20)
    assert tab.query() == {"movie": ["1"]}


def test_a_movie_without_neighbours_says_why_and_suggests_other_measures(tab: Tab) -> None:
    tab.open(f"?movie={RARE}&measure=jaccard")
    expect(tab.page.get_by_text("7 users rated it; 10 are needed")).to_be_visible()
    tab.page.get_by_role("link", name="Hybrid").click()
    expect(tab.page.get_by_role("listitem").filter(has_text="The Matrix")).to_contain_text(
        "similar content"
    )


def test_a_movie_with_few_ratings_gets_neighbours_by_content(tab: Tab) -> None:
    tab.open(f"?movie={RARE}")
    expect(tab.page.get_by_role("heading", name="Hybrid")).to_be_visible()
    expect(tab.page.get_by_role("listitem").filter(has_text="The Matrix")).to_contain_text(
        "similar content"
    )


@pytest.mark.parametrize(
    ("query", "title", "text"),
    [
        ("?movie=99999", "Movie not found", "no movie 99999"),
        ("?movie=the+matrix", "Movie not found", "no movie the matrix"),
        ("?movie=1&measure=taste", "This address is invalid", "cosine, jaccard, hybrid"),
        ("?movie=1&year_from=soon", "This address is invalid", "year_from"),
    ],
)
def test_an_invalid_address_says_what_to_do(tab: Tab, query: str, title: str, text: str) -> None:
    tab.open(query)
    expect(tab.heading()).to_contain_text(title)
    expect(tab.page.locator("#problem-text")).to_contain_text(text, ignore_case=True)
    tab.page.locator("#problem-actions > *").click()
    expect(
        tab.page.get_by_role("combobox", name="Find a movie")
        if "not found" in title
        else tab.page.get_by_role("heading", name="Similar to The Matrix")
    ).to_be_focused()


def test_a_hostile_title_is_shown_as_text(tab: Tab) -> None:
    tab.open("?movie=1")
    expect(tab.page.get_by_role("link", name="<img src=x")).to_be_visible()
    tab.page.get_by_role("link", name="<img src=x").click()
    expect(tab.heading()).to_contain_text("Similar to <img src=x onerror=")
    assert tab.page.locator("main img").count() == 0
    assert "taken over" not in re.sub(r"<img.*>", "", tab.page.title())


@pytest.mark.parametrize("status", [0, 429, 500, 503])
def test_a_failing_api_gets_a_message_and_can_be_tried_again(tab: Tab, status: int) -> None:
    def fail(route: Any) -> None:
        problem = {"title": "-", "status": status, "detail": "try again"}
        if status:
            route.fulfill(
                status=status, content_type="application/problem+json", body=json.dumps(problem)
            )
        else:
            route.abort()

    tab.page.route("**/similar*", fail)
    tab.open("?movie=1")
    expect(tab.heading()).to_have_text(
        {0: "The API does not answer", 429: "Too many requests", 503: "The index is busy"}.get(
            status, "Something went wrong"
        )
    )
    # Answers are held until the click: a page that waits for a run may ask again by itself.
    held: list[Route] = []
    tab.page.route("**/similar*", lambda route: held.append(route))  # before the other
    with tab.page.expect_request("**/similar*"):
        tab.page.get_by_role("button", name="Try again").click()
    tab.page.route("**/similar*", lambda route: route.continue_())
    for route in held:
        route.continue_()
    expect(tab.heading()).to_have_text("Similar to The Matrix")
    expect(tab.heading()).to_be_focused()


def test_a_view_that_is_fetched_again_still_gets_the_focus(tab: Tab) -> None:
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    def release() -> None:
        released, held[:] = list(held), []
        for route in released:
            route.continue_()

    tab.page.route("**/runs*", hold)
    tab.page.route("**/similar*", lambda route: route.fulfill(status=503, json={"detail": "busy"}))
    tab.open("?movie=1")
    expect(tab.heading()).to_have_text("No run is live yet")
    tab.page.unroute("**/similar*")
    again = tab.page.get_by_role("button", name="Try again")
    tab.page.route("**/similar*", lambda _: None, times=1)  # never answered
    with tab.page.expect_request("**/similar*"):
        again.click()
    with tab.page.expect_request("**/similar*"):  # for the live run, which the page now knows
        release()
    expect(tab.heading()).to_have_text("Similar to The Matrix")
    expect(tab.heading()).to_be_focused()


def test_before_the_first_run_the_page_waits_for_it(tab: Tab) -> None:
    def nothing(route: Any, request: Request) -> None:
        is_runs = "/runs" in request.url
        body = {"live_run_id": None, "runs": []} if is_runs else {"detail": "no run is live yet"}
        route.fulfill(status=200 if is_runs else 503, json=body)

    tab.page.clock.install()
    tab.page.route(re.compile(r"/(runs|movies)\b"), nothing)
    tab.open()
    expect(tab.heading()).to_have_text("No run is live yet")
    expect(tab.page.locator("#run-line")).to_have_text("No run is live yet")
    tab.page.unroute(re.compile(r"/(runs|movies)\b"))
    tab.page.clock.run_for(5_000)
    expect(tab.heading()).to_have_text("Find movies like one you know")
    expect(tab.page.locator("#run-line")).to_contain_text(FOLDER)


def test_the_page_shows_the_live_run_and_switches_to_a_new_one(
    tab: Tab, world: World, run_id: str
) -> None:
    tab.open("?movie=2")
    tab.page.locator("#run summary").click()
    facts = tab.page.locator("#run-facts")
    for fact in (FOLDER, "LIVE", "12,345", "678", run_id, f"{datetime.now(UTC):%Y}"):
        expect(facts).to_contain_text(fact)
    expect(tab.page.locator(".rows li").first).to_contain_text("0.9990")
    second = publish(world, best=0.998)
    tab.page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    expect(facts).to_contain_text(second)
    expect(tab.page.locator(".rows li").first).to_contain_text("0.9980")


def test_until_its_first_answer_the_page_says_that_it_loads(tab: Tab) -> None:
    asked: list[Route] = []
    tab.page.route("**/similar?*", lambda route: asked.append(route))  # not answered yet
    tab.page.goto(f"{tab.url}?movie=1")
    says = "getComputedStyle(document.querySelector('main'), '::before').content"
    tab.page.wait_for_function(f"{says} === '\"Loading…\"'")
    expect(tab.page.locator("main h1:visible")).to_have_count(0)
    for route in asked:
        route.continue_()
    tab.settle()
    assert tab.page.evaluate(says) == "none"


def test_titles_of_a_series_fold_into_one_row_that_opens(tab: Tab) -> None:
    tab.open("?movie=1")
    rows = tab.page.locator(".lists > section > .rows > li")
    expect(rows).to_have_count(20)
    expect(tab.page.get_by_role("link", name="Film 12", exact=True)).to_be_visible()
    tab.page.get_by_role("button", name="Fold series").click()
    first = rows.filter(has_text="Film 10")
    expect(first).to_contain_text("2 more of the series Saga")
    expect(tab.page.get_by_role("link", name="Film 12", exact=True)).to_be_hidden()
    assert tab.query() == {"movie": ["1"], "fold": ["series"]}
    tab.page.get_by_role("button", name="Show 8 more").click()
    expect(rows).to_have_count(28)
    first.get_by_text("2 more of the series Saga").click()
    expect(first.locator(".rows a")).to_have_text(["Film 12", "Film 14"])
    tab.page.go_back()
    expect(rows).to_have_count(20)
    expect(tab.page.get_by_role("link", name="Film 12", exact=True)).to_be_visible()


def test_recommendations_fold_series_too(tab: Tab) -> None:
    tab.open("?liked=1&fold=series")
    row = tab.page.locator(".lists > section > .rows > li").filter(has_text="Film 10")
    expect(row).to_contain_text("2 more of the series Saga")


def test_the_map_of_a_title_can_be_walked(tab: Tab) -> None:
    tab.open("?movie=1")
    tab.page.get_by_role("button", name="Map").click()
    map_ = tab.page.get_by_role("group", name="Map of The Matrix")
    # The twelve nearest, and the title itself in the middle.
    expect(map_.get_by_role("link")).to_have_count(13)
    expect(map_.get_by_role("link", name="The Matrix, in the middle")).to_be_visible()
    assert tab.query() == {"movie": ["1"], "view": ["map"]}
    map_.get_by_role("link", name="Film 2, 1980, number 1").click()
    tab.settle()
    expect(tab.heading()).to_have_text("Similar to Film 2")
    walked = tab.page.get_by_role("group", name="Map of Film 2")
    expect(walked.get_by_role("link")).to_have_count(3)
    expect(walked.get_by_role("link", name="Film 2, in the middle")).to_be_focused()
    assert tab.query() == {"movie": ["2"], "view": ["map"]}
    tab.page.go_back()
    expect(map_.get_by_role("link", name="Film 2, 1980, number 1")).to_be_focused()
    tab.page.get_by_role("button", name="Map").click()
    expect(tab.page.locator(".rows li")).to_have_count(20)


def test_the_map_joins_neighbours_that_are_similar_to_each_other(tab: Tab) -> None:
    tab.open("?movie=1&view=map")
    # Films 2 and 3, and those of the series: 10 and 12; 14 is not among the first twelve.
    expect(tab.page.locator(".chord")).to_have_count(2)
    expect(tab.page.locator(".spoke")).to_have_count(12)
    expect(tab.page.get_by_role("link", name="Film 10, 1980")).to_have_accessible_name(
        re.compile(r"^Film 10, 1980, number 9\. Also similar to Film 12\. 32 people rated both")
    )
    tab.page.get_by_text("The map as a list").click()
    items = tab.page.locator(".as-text li")
    expect(items).to_have_count(12)
    expect(items.nth(10)).to_contain_text("Also similar to Film 10.")
    expect(items.nth(1)).to_contain_text("Also similar to Film 2.")  # which Film 3 does not list


def test_the_arrow_keys_walk_the_map(tab: Tab) -> None:
    tab.open("?movie=1&view=map")
    nodes = tab.page.locator(".node")
    tab.page.locator(".node.centre").focus()

    def middle(node: Locator) -> tuple[float, float]:
        box = node.locator("circle").bounding_box()
        assert box
        return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2

    for key, axis, sign in (
        ("ArrowRight", 0, 1),
        ("ArrowLeft", 0, -1),
        ("ArrowUp", 1, -1),
        ("ArrowDown", 1, 1),
    ):
        before = middle(tab.page.locator(".node:focus"))
        tab.page.keyboard.press(key)
        after = middle(tab.page.locator(".node:focus"))
        assert (after[axis] - before[axis]) * sign > 0, key
    tab.page.locator(".node.centre").focus()
    tab.page.keyboard.press("ArrowUp")
    movie = tab.page.locator(".node:focus").get_attribute("data-movie")
    tab.page.keyboard.press("Enter")
    expect(tab.heading()).to_have_text(f"Similar to Film {movie}")
    expect(nodes.first).to_be_focused()


def test_the_map_is_still_for_those_who_want_less_motion(new_tab: Callable[..., Tab]) -> None:
    moving = "getComputedStyle(document.querySelector('.node')).animationName"
    for motion, expected in (("no-preference", "appear"), ("reduce", "none")):
        tab = new_tab(reduced_motion=motion)
        tab.open("?movie=1&view=map")
        assert tab.page.evaluate(moving) == expected


def test_operators_see_the_runs_and_what_changed_from_one_to_the_next(
    tab: Tab, world: World
) -> None:
    first, second = publish(world, best=0.998), publish(world, best=0.998)
    tab.open(f"?view=runs&run={first}")
    expect(tab.heading()).to_have_text("Runs")
    run = tab.page.locator("#runs-list details").filter(has_text=first).last
    expect(run.get_by_role("list", name="Timeline").locator("strong")).to_have_text(
        ["CHECKING", "LAUNCHING", "STARTING", "RUNNING", "INDEXING", "LIVE", "SUPERSEDED"]
    )
    later = tab.page.locator("#runs-list details").first
    later.locator("summary").click()
    expect(later).to_contain_text(f"Before{first}")
    expect(later).to_contain_text("Lists of both31, 31 of them unchanged")
    assert tab.query() == {"view": ["runs"], "run": [second]}
    tab.page.reload()
    expect(later.get_by_role("list", name="Timeline")).to_be_visible()
    tab.page.get_by_role("combobox").press_sequentially("the matrix")
    tab.page.keyboard.press("Enter")
    expect(tab.heading()).to_have_text("Similar to The Matrix")
    assert tab.query() == {"movie": ["1"]}
    tab.page.go_back()
    expect(tab.heading()).to_have_text("Runs")
    expect(later.get_by_role("list", name="Timeline")).to_be_visible()
    tab.page.get_by_role("link", name="Similar titles").click()
    expect(tab.heading()).to_have_text("Find movies like one you know")
    tab.page.get_by_role("contentinfo").get_by_role("link", name="the runs").click()
    expect(tab.heading()).to_have_text("Runs")


def test_operators_see_folders_that_wait(tab: Tab, world: World) -> None:
    world.drop("half", {"movies.csv": "movieId,title,genres\n1,One (1999),Drama\n"})
    world.wait_until(lambda: bool(world.cloud.get("/runs")[1]["waiting"]), "a waiting folder")
    tab.open("?view=runs")
    waiting = tab.page.get_by_role("list", name="Folders without a run").get_by_role("listitem")
    expect(waiting).to_contain_text("half ratings.csv is missing: upload it into the same folder.")
    world.cloud.client("s3").delete_object(
        Bucket=world.cloud.outputs["DatasetsBucket"], Key="half/movies.csv"
    )


HELD_BACK = run_responses.Run(
    run_id="20261127T120000000Z-00000000",
    folder="damaged",
    state="FAILED",
    reason="rejected lines: too many",
    attempt=1,
    created_at="2026-11-27T12:00:00.000Z",
    updated_at="2026-11-27T12:03:10.000Z",
    timeline={
        "FAILED": "2026-11-27T12:03:10.000Z",
        "LAUNCHING": "2026-11-27T12:00:00.000Z",
        "RUNNING": "2026-11-27T12:01:05.000Z",
    },
    actual_cost=run_responses.Cost(node_hours=0.25, usd=0.5, priced_at="2026-01"),
    counts={"ratings": 900, "movies_with_neighbours": 12},
    rejects={"ratings.csv": run_responses.Rejects(lines=1000, rejected=100, kinds={"stars": 100})},
    rejects_uri="s3://results/rejects/",
    quality=run_responses.RunQuality(
        measure="ease",
        users=500,
        recall=0.35,
        popularity_recall=0.175,
        lift=2.0,
        lift_error=0.09,
        popularity_share=0.42,
    ),
    held_back=True,
)


def show_runs(tab: Tab, *shown: run_responses.Run) -> None:
    """Show these runs instead of those of the API."""
    body = run_responses.Runs(live_run_id=None, runs=list(shown), waiting=[])
    tab.page.route("**/runs?*limit*", lambda route: route.fulfill(body=msgspec.json.encode(body)))


def test_a_run_shows_its_times_quality_rejected_lines_and_cost(tab: Tab) -> None:
    show_runs(tab, HELD_BACK)
    tab.open("?view=runs")
    run = tab.page.locator("#runs-list details")
    expect(run.locator("summary")).to_contain_text("HELD BACK")
    expect(run.get_by_role("list", name="Timeline").get_by_role("listitem")).to_have_text(
        [
            re.compile(r"LAUNCHING .* for 1 min 5 s"),
            re.compile(r"RUNNING .* for 2 min 5 s"),
            re.compile(r"FAILED \S+$"),
        ]
    )
    widths = [bar.bounding_box() for bar in run.locator(".timeline i").all()]
    assert widths[0]
    assert widths[1]
    assert widths[1]["width"] / widths[0]["width"] == pytest.approx(125 / 65, rel=0.05)
    for fact in (
        "Rejected lines: too many.",
        "0.35; the most rated movies 0.175",
        "2 \u00b1 0.09",
        "100 of 1,000 lines: stars 100",
        "0.5 USD, 0.25 node-hours, prices of 2026-01",
        "Movies with neighbours12",
    ):
        expect(run).to_contain_text(fact)


def test_a_run_that_does_not_exist_says_so(tab: Tab) -> None:
    tab.open("?view=runs&run=none")
    expect(tab.heading()).to_have_text("Run not found")
    tab.page.get_by_role("link", name="Show the latest runs").click()
    expect(tab.heading()).to_have_text("Runs")


@pytest.fixture
def key(cloud: Cloud, run_id: str) -> Iterator[str]:  # noqa: ARG001
    """An API key, which every route except the pages requires during the test."""
    gateway = cloud.client("apigateway")
    api = urlsplit(cloud.api_url).path.split("/")[-2]
    made = gateway.create_api_key(name="explorer", enabled=True)
    plan = gateway.create_usage_plan(name="explorer", apiStages=[{"apiId": api, "stage": "v1"}])
    gateway.create_usage_plan_key(usagePlanId=plan["id"], keyId=made["id"], keyType="API_KEY")
    resources = gateway.get_resources(restApiId=api)["items"]
    (resource,) = (each["id"] for each in resources if each["path"] == "/{proxy+}")
    method = {"restApiId": api, "resourceId": resource, "httpMethod": "GET"}
    path = {"path": "/apiKeyRequired"}
    gateway.update_method(**method, patchOperations=[path | {"op": "replace", "value": "true"}])
    yield made["value"]
    # The emulator treats any text as true, even "false".
    gateway.update_method(**method, patchOperations=[path | {"op": "remove"}])


def test_the_page_asks_for_the_key_of_an_api_that_requires_one(tab: Tab, key: str) -> None:
    tab.open("?movie=1")
    expect(tab.heading()).to_have_text("This API requires a key")
    field = tab.page.get_by_label("API key")
    expect(field).to_be_focused()
    field.fill("a wrong one")
    field.press("Enter")
    expect(tab.page.get_by_text("The API rejected this key")).to_be_visible()
    field.fill(key)
    field.press("Enter")
    expect(tab.heading()).to_have_text("Similar to The Matrix")
    expect(tab.page.locator("#run-line")).to_contain_text(FOLDER)
    tab.page.reload()
    expect(tab.heading()).to_have_text("Similar to The Matrix")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(
    "query",
    [
        "",
        "?movie=1&measure=cosine&beside=jaccard&genre=Drama",
        "?movie=99999",
        "?liked=2,4&disliked=5",
        "?movie=1&fold=series",
        "?movie=1&view=map",
        "?view=runs",
    ],
)
def test_the_page_is_accessible(
    new_tab: Callable[..., Tab],
    run_id: str,  # noqa: ARG001
    scheme: str,
    query: str,
) -> None:
    tab = new_tab(color_scheme=scheme, reduced_motion="reduce")
    tab.open(query)
    expect(tab.page.locator("#run")).to_be_visible()
    if "genre" in query:
        tab.page.get_by_role("button", name="Filter").click()
        tab.page.locator("#run summary").click()
    elif "map" in query:
        tab.page.get_by_text("The map as a list").click()
    elif "fold" in query:
        tab.page.get_by_text("2 more of the series Saga").click()
    elif "runs" in query:
        expect(tab.page.locator("#runs-list details").first).to_be_visible()
    elif "liked" in query:
        tab.page.get_by_text("Evidence").first.click()
    elif not query:
        tab.page.get_by_role("combobox").press_sequentially("film")
        tab.page.get_by_role("combobox").press("ArrowDown")
    found = Axe().run(tab.page)
    assert found.response["violations"] == []
    paper = tab.page.evaluate("getComputedStyle(document.body).backgroundColor")
    red, green, blue = (int(number) for number in re.findall(r"\d+", paper)[:3])
    assert (max(red, green, blue) < 64) == (scheme == "dark")


@pytest.mark.parametrize("width", [320, 390])
@pytest.mark.parametrize(
    "query",
    [
        "",
        "?movie=1&measure=cosine&beside=jaccard",
        "?liked=2,4&disliked=5",
        "?movie=1&view=map",
        "?view=runs",
    ],
)
def test_a_phone_needs_no_horizontal_scrolling(
    new_tab: Callable[..., Tab],
    run_id: str,  # noqa: ARG001
    width: int,
    query: str,
) -> None:
    tab = new_tab(viewport={"width": width, "height": 700}, has_touch=True)
    tab.open(query)
    expect(tab.page.locator("#run")).to_be_visible()
    if "runs" in query:
        tab.page.locator("#runs-list summary").last.click()
    elif query:
        tab.page.get_by_role("button", name="Filter").click()
        tab.page.get_by_text("map as a list" if "map" in query else "Evidence").first.click()
    assert tab.page.evaluate("document.documentElement.scrollWidth") == width


def test_everything_works_without_a_mouse(tab: Tab) -> None:
    tab.open()
    keys = tab.page.keyboard
    expect(tab.page.get_by_role("combobox", name="Find a movie")).to_be_focused()
    keys.type("matrix")
    expect(tab.page.get_by_role("option")).to_have_count(1)
    keys.press("Enter")
    expect(tab.heading()).to_be_focused()

    def tab_to(name: str) -> None:
        for _ in range(30):
            keys.press("Tab")
            focused = tab.page.locator(":focus")
            if name in (focused.get_attribute("id"), focused.inner_text()):
                return
        raise AssertionError(f"the tab key does not come to {name}")

    tab_to("beside")
    keys.type("J")
    expect(tab.page.locator(".lists section")).to_have_count(2)
    tab_to("filter")
    keys.press("Space")
    keys.press("Tab")
    keys.press("Space")
    expect(tab.page.get_by_role("button", name="Filter: Comedy")).to_be_visible()
    tab.settle()
    tab_to("Film 4")
    keys.press("Enter")
    expect(tab.heading()).to_have_text("Similar to Film 4")

// The explorer's program. The address says what is shown: `viewOf` reads it, `show` asks the API for
// it and draws it. What the API says reaches the page as text alone; the page's policy allows no more.

const ROOT = location.pathname.replace(/\/*$/, "/"); // API Gateway answers without the slash, too
const LOCALE = "en-GB";
const PAGE = 50; // rows that the API gives at most at once
const FIRST = 20; // rows shown until somebody wants more
const SUGGESTIONS = 8;
const TRAIL = 5; // movies that the way here names
const TYPING = 120; // milliseconds without a key until suggestions are asked for
const SOON = 5_000; // milliseconds until an unfinished run is looked at again
const KEY = "api-key";
const UNDER_WAY = new Set(["CHECKING", "LAUNCHING", "STARTING", "RUNNING", "INDEXING"]);
const MEASURES = {
  cosine: ["Cosine", "How alike those who rated both have rated them."],
  damped: ["Damped cosine", "Cosine, believed less where few rated both."],
  "full-cosine": ["Full cosine", "Cosine over everybody who rated either."],
  jaccard: ["Jaccard", "Those who rated both, among all who rated either."],
  ease: ["EASE", "Who rates this one rates these: learned from all ratings at once."],
  hybrid: ["Hybrid", "EASE; the fewer the ratings, the more content."],
  als: ["ALS", "Tastes in common, learned from all ratings at once."],
};

const $ = (id) => document.getElementById(id);
const number = new Intl.NumberFormat(LOCALE);
const score = new Intl.NumberFormat(LOCALE, { minimumFractionDigits: 4, maximumFractionDigits: 4 });
const edge = new Intl.NumberFormat(LOCALE, { maximumSignificantDigits: 4 });
const day = new Intl.DateTimeFormat(LOCALE, { dateStyle: "medium" });
const moment = new Intl.DateTimeFormat(LOCALE, { dateStyle: "medium", timeStyle: "short" });

let live = null; // the live run, as far as is known

// ---- The API -----------------------------------------------------------------------------------

class Failure extends Error {
  constructor(status, message) {
    super(message);
    this.status = status; // of HTTP; 0 where there was no answer
  }
}

async function ask(address, { fresh = false, signal } = {}) {
  const key = sessionStorage.getItem(KEY);
  const headers = { Accept: "application/json", ...(key && { "x-api-key": key }) };
  let response;
  try {
    response = await fetch(ROOT + address, { headers, signal, cache: fresh ? "no-cache" : "default" });
  } catch (error) {
    throw signal?.aborted ? error : new Failure(0, "there was no answer");
  }
  const body = await response.json().catch(() => null);
  if (response.ok && body) return body;
  const faults = body?.errors?.map((fault) => `${fault.parameter}: ${fault.detail} (allowed: ${fault.allowed})`);
  throw new Failure(response.status, faults?.join("; ") ?? body?.detail ?? body?.message ?? response.statusText);
}

/** Answers of one and the same run, the live one, even while another run goes live. */
async function askTogether(addresses) {
  for (const fresh of [false, true, true]) { // the browser may have kept what an earlier run answered
    const answers = await Promise.all(addresses.map((address) => ask(address, { fresh })));
    const runs = new Set(answers.map((answer) => answer.run_id));
    if (!fresh && live) runs.add(live.run_id);
    if (runs.size === 1) return answers;
  }
  throw new Failure(503, "another run is going live");
}

// ---- Addresses ---------------------------------------------------------------------------------

const NOWHERE = { movie: "", measure: "", beside: "", genres: [], from: "", to: "" };

function viewOf(search) {
  const query = new URLSearchParams(search);
  return {
    movie: query.get("movie") ?? "",
    measure: query.get("measure") ?? "",
    beside: query.get("beside") ?? "",
    genres: query.getAll("genre"),
    from: query.get("year_from") ?? "",
    to: query.get("year_to") ?? "",
  };
}

function queryOf(pairs) {
  return new URLSearchParams(pairs.filter(([, value]) => value !== "")).toString();
}

const filtersOf = (view) => [
  ...view.genres.map((genre) => ["genre", genre]),
  ["year_from", view.from],
  ["year_to", view.to],
];

const isFiltered = (view) => queryOf(filtersOf(view)) !== "";

function addressOf(view) {
  const named = ["movie", "measure", "beside"].map((name) => [name, view[name]]);
  const query = queryOf([...named, ...filtersOf(view)]);
  return query ? `?${query}` : location.pathname;
}

function similarAddress(view, measure, filters, offset = 0) {
  const page = [["measure", measure], ["limit", PAGE], ["offset", offset || ""]];
  return `movies/${view.movie}/similar?${queryOf([...page, ...filters])}`;
}

// ---- Words -------------------------------------------------------------------------------------

/** `Matrix, The (1999)` as people say it: `The Matrix`. */
function nameOf({ title, movie_id: id }) {
  if (!title) return `Movie ${id}`;
  const plain = title.replace(/\s*\(\d{4}[^)]*\)\s*$/, "") || title;
  const article = /^([^(]*), (The|An?|Les?|La|L'|Der|Die|Das|Il|El|Los|Las|Une?)(?= \(|$)/;
  return plain.replace(article, (_, rest, first) => `${first}${first === "L'" ? "" : " "}${rest}`);
}

const labelOf = (measure) => MEASURES[measure]?.[0] ?? measure;
const counted = (count, one, many) => `${number.format(count)} ${count === 1 ? one : many}`;
const sentence = (text) => text.charAt(0).toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? "" : ".");

function filtersInWords(view) {
  const years = view.from && view.to ? `${view.from}–${view.to}` : "";
  const open = view.from ? `from ${view.from}` : view.to && `to ${view.to}`;
  return [...view.genres, years || open].filter(Boolean).join(", ");
}

// ---- Elements ----------------------------------------------------------------------------------

function element(name, attributes, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes ?? {})) made.setAttribute(key, value);
  made.append(...children.filter((child) => child !== null && child !== ""));
  return made;
}

const span = (kind, text) => element("span", { class: kind }, text);
const yearOf = (movie) => (movie.year === null ? "" : span("year", String(movie.year)));

function button(text, action, kind) {
  const made = element("button", { type: "button", ...(kind && { class: kind }) }, text);
  made.addEventListener("click", action);
  return made;
}

/** A link that can be copied and opened elsewhere; here it needs no new page. */
function linkTo(view, trail, ...children) {
  const made = element("a", { href: addressOf(view) }, ...children);
  made.addEventListener("click", (event) => follow(event, view, trail));
  return made;
}

function follow(event, view, trail) {
  if (event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
  event.preventDefault();
  travel(view, trail);
}

// ---- Going from view to view ---------------------------------------------------------------------

let shown = null; // the movie that is shown, for the way here
let isWaiting = false; // for a first run to go live
let turn = 0; // of the last view that was asked for

const trailOf = () => history.state?.trail ?? [];

/** The way to the next movie: the one that is shown comes last. */
function trailOnwards() {
  if (!shown) return [];
  return [...trailOf(), { movie: String(shown.movie_id), name: nameOf(shown) }].slice(-TRAIL);
}

function travel(view, trail) {
  history.pushState({ trail }, "", addressOf(view));
  scrollTo(0, 0);
  return show({ focus: "heading" });
}

/** The same movie, seen otherwise. */
function change(changes) {
  const view = { ...viewOf(location.search), ...changes };
  history.pushState(history.state, "", addressOf(view));
  return show();
}

function walkTo(movie) {
  return travel({ ...viewOf(location.search), movie: String(movie.movie_id) }, trailOnwards());
}

/** Draw what the address says; `focus` is "heading", or the id of the movie that one comes from. */
async function show({ focus } = {}) {
  const mine = ++turn;
  const view = viewOf(location.search);
  $("main").setAttribute("aria-busy", "true");
  let draw;
  try {
    draw = await (view.movie === "" ? welcome(view) : movie(view));
  } catch (error) {
    draw = problem(view, error);
  }
  if (mine !== turn) return;
  draw();
  $("main").removeAttribute("aria-busy");
  const from = focus && document.querySelector(`.rows a[data-movie="${CSS.escape(focus)}"]`);
  if (from) from.focus();
  else if (focus) document.querySelector("main > :is(section, article, form):not([hidden]) h1")?.focus();
}

function only(id, title, isWide = false) {
  for (const each of ["welcome", "problem", "key", "movie"]) $(each).hidden = each !== id;
  document.body.classList.toggle("wide", isWide);
  document.title = title;
  if (id !== "movie") shown = null;
  isWaiting = false;
}

// ---- Welcome and problems ------------------------------------------------------------------------

async function welcome(view) {
  const [{ movies }] = await askTogether([`movies?${queryOf([["title", "the"], ["limit", SUGGESTIONS]])}`]);
  return () => {
    only("welcome", "Similar titles");
    $("popular-heading").hidden = movies.length === 0;
    $("popular").replaceChildren(...movies.map((each) => {
      const there = { ...view, movie: String(each.movie_id) };
      return element("li", null, linkTo(there, [], span("", nameOf(each)), " ", yearOf(each)));
    }));
    if (matchMedia("(pointer: fine)").matches) $("title").focus();
  };
}

function problem(view, error) {
  if (error.status === 401 || error.status === 403) return keyWanted;
  if (!(error instanceof Failure)) console.error(error);
  const again = () => button("Try again", () => show({ focus: "heading" }), "primary");
  const bare = { ...NOWHERE, movie: view.movie };
  const search = () => button("Search for a title", () => $("title").focus(), "primary");
  const [title, text, ...actions] = {
    0: ["The API does not answer", "Perhaps the connection is interrupted.", again],
    400: ["The API does not know what this address asks for", sentence(error.message),
      ...(addressOf(bare) === addressOf(view) ? [] : [() => linkTo(bare, [], "Show the movie without measure and filters")])],
    404: ["There is no such movie",
      `The live run has no movie ${view.movie}. Ids belong to a data set, and another one may have gone live since this address was made.`, search],
    429: ["Too many requests", "The API takes only so many at a time. Wait a moment.", again],
    503: live ? ["The index is busy", sentence(error.message), again]
      : ["No run is live yet", "Drop a MovieLens folder into the datasets bucket. This page shows its titles as soon as they are there.", again],
  }[error.status] ?? ["Something went wrong", sentence(error.message), again];
  return () => {
    only("problem", `${title} – Similar titles`);
    $("problem-title").textContent = title;
    $("problem-text").textContent = text;
    $("problem-actions").replaceChildren(...actions.map((make) => make()));
    isWaiting = error.status === 503;
    if (isWaiting) refreshRun();
  };
}

function keyWanted() {
  const was = sessionStorage.getItem(KEY);
  only("key", "A key is needed – Similar titles");
  $("key-text").textContent = was
    ? "It did not take the one it was given. Look for a slip, or ask whoever runs it for another."
    : "Whoever runs it can give you one. It stays in this tab until you close it.";
  $("key-value").focus();
}

$("key").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem(KEY, $("key-value").value.trim());
  $("key-value").value = "";
  refreshRun();
  show({ focus: "heading" });
});

// ---- A movie -----------------------------------------------------------------------------------

/** A list of neighbours: `whole` without filters, `answer` with them, `rows` as far as loaded. */
async function movie(view) {
  if (!/^\d+$/.test(view.movie)) throw new Failure(404, "an id is a number");
  const measures = view.beside ? [view.measure, view.beside] : [view.measure];
  const filters = filtersOf(view);
  const wanted = isFiltered(view) ? [[], filters] : [[]];
  const answers = await askTogether(
    measures.flatMap((measure) => wanted.map((each) => similarAddress(view, measure, each))),
  );
  const lists = measures.map((_, place) => {
    const whole = answers[place * wanted.length];
    const answer = answers[(place + 1) * wanted.length - 1];
    return { whole, answer, rows: answer.similar, scale: scaleOf(whole.similar) };
  });
  if (lists[0].answer.measure === lists[1]?.answer.measure) lists.pop(); // one was named, one is the run's own
  return () => drawMovie(view, lists);
}

function drawMovie(view, lists) {
  const { movie: about, run_id: runId } = lists[0].answer;
  const isNew = shown?.movie_id !== about.movie_id;
  only("movie", `Similar to ${nameOf(about)}`, lists.length > 1);
  shown = about;
  $("trail").replaceChildren(...trailOf().map(({ movie: id, name }, place, trail) =>
    element("li", null, linkTo({ ...view, movie: id }, trail.slice(0, place), name))));
  $("name").textContent = nameOf(about);
  const facts = [about.year, about.genres.join(", "), `rated by ${counted(about.ratings, "user", "users")}`];
  $("facts").textContent = facts.filter((fact) => fact !== null && fact !== "").join(" · ");
  drawControls(view, lists);
  if (isNew) openFilters(false);
  drawLists(view, lists);
  if (live && live.run_id !== runId) refreshRun();
}

function drawControls(view, lists) {
  const [first, second] = lists.map((list) => list.answer.measure);
  const { measures } = lists[0].answer;
  const option = (measure, chosen) =>
    element("option", { value: measure, ...(measure === chosen && { selected: "" }) }, labelOf(measure));
  $("measure").replaceChildren(...measures.map((measure) => option(measure, first)));
  const others = measures.filter((measure) => measure !== first);
  $("beside").replaceChildren(
    element("option", { value: "" }, "nothing"),
    ...others.map((measure) => option(measure, second)),
  );
  $("beside").parentElement.hidden = others.length === 0;

  const movies = new Map(lists.flatMap((list) => list.whole.similar).map((row) => [row.movie_id, row]));
  const counts = new Map(view.genres.map((genre) => [genre, 0]));
  for (const genre of [...movies.values()].flatMap((row) => row.genres)) {
    counts.set(genre, (counts.get(genre) ?? 0) + 1);
  }
  const chips = [...counts].sort(([a], [b]) => a.localeCompare(b));
  const drawn = $("genres").dataset.drawn;
  if (drawn !== JSON.stringify(chips)) { // else the focus stays where it is
    $("genres").dataset.drawn = JSON.stringify(chips);
    $("genres").replaceChildren(...chips.map(([genre, count]) => element(
      "label", null, element("input", { type: "checkbox", value: genre }), genre, span("count", number.format(count)),
    )));
  }
  for (const box of $("genres").querySelectorAll("input")) box.checked = view.genres.includes(box.value);
  $("year-from").value = view.from;
  $("year-to").value = view.to;
  const words = filtersInWords(view);
  $("filter").classList.toggle("active", words !== "");
  $("filter").textContent = words ? `Filter: ${words}` : "Filter";
  $("clear").hidden = words === "";
}

function drawLists(view, lists) {
  const ranks = lists.map((list) => new Map(list.rows.map((row) => [row.movie_id, row.rank])));
  $("lists").replaceChildren(...lists.map((list, place) => {
    const other = lists[1 - place];
    const also = other && { label: labelOf(other.answer.measure), ranks: ranks[1 - place] };
    return drawList(view, list, also, () => drawLists(view, lists));
  }));
  $("summary").textContent = summaryOf(view, lists, ranks);
}

function summaryOf(view, lists, ranks) {
  if (lists.length > 1) {
    const common = [...ranks[0].keys()].filter((id) => ranks[1].has(id)).length;
    const matching = isFiltered(view) ? " that match the filters" : "";
    return `${counted(common, "title", "titles")}${matching} in both lists`;
  }
  const { total, matched } = lists[0].answer;
  if (total && !matched) return "Nothing matches the filters";
  if (isFiltered(view)) return `${number.format(matched)} of ${counted(total, "similar title", "similar titles")} match the filters`;
  return total ? `${counted(total, "title", "titles")}, the most similar first` : "";
}

function drawList(view, list, also, redraw) {
  const { measure, matched } = list.answer;
  const count = Math.min(list.count ?? FIRST, list.rows.length);
  const id = `list-${measure}`;
  const scale = count && list.scale.from > 0 ? span("scale", `Bars begin at ${edge.format(list.scale.from)}.`) : "";
  const parts = [
    element("div", { class: "about" },
      element("h2", { id }, labelOf(measure)),
      element("p", null, MEASURES[measure]?.[1] ?? "", scale)),
  ];
  if (count === 0) parts.push(drawNone(view, list));
  else {
    const rows = list.rows.slice(0, count).map((row) => drawRow(view, row, list.scale, also));
    parts.push(element("ol", { class: "rows", role: "list" }, ...rows));
  }
  if (count < matched) {
    const more = button(count < list.rows.length ? `Show ${number.format(list.rows.length - count)} more` : "Show more", async () => {
      more.disabled = true;
      try {
        await loadMore(view, list, count);
        redraw();
        document.querySelector(`#${CSS.escape(id)}`).closest("section").querySelectorAll(".rows a")[count]?.focus();
      } catch (error) {
        problem(view, error)();
      }
    }, "more");
    parts.push(more);
  }
  return element("section", { "aria-labelledby": id }, ...parts);
}

/** Show all rows that are loaded or, where they are shown, load the next ones. */
async function loadMore(view, list, count) {
  if (count === list.rows.length) {
    const next = await ask(similarAddress(view, list.answer.measure, filtersOf(view), count));
    if (next.run_id !== list.answer.run_id) return show();
    list.rows = [...list.rows, ...next.similar];
  }
  list.count = list.rows.length;
}

function drawRow(view, row, scale, also) {
  const link = linkTo({ ...view, movie: String(row.movie_id) }, trailOnwards(), nameOf(row));
  link.dataset.movie = row.movie_id;
  const bar = element("i");
  bar.style.setProperty("--share", String(shareOf(row.score, scale)));
  const rank = also?.ranks.get(row.movie_id);
  const evidence = row.based_on === "content" ? "alike in content" : `${number.format(row.co_raters)} rated both`;
  const exact = element("span", { class: "score", title: String(row.score) }, score.format(row.score));
  return element("li", null,
    span("rank", String(row.rank)),
    element("div", null,
      link, " ", yearOf(row), rank ? span("also", `#${rank} by ${also.label}`) : "",
      element("div", { class: "genres" }, row.genres.join(", "))),
    element("div", { class: "measured" },
      element("div", { class: "bar", "aria-hidden": "true" }, bar), exact, span("evidence", evidence)));
}

/** Bars of close scores would all look alike: those begin a little below the last one's. */
function scaleOf(rows) {
  const to = rows[0]?.score ?? 1;
  const low = rows.at(-1)?.score ?? 0;
  if (low <= 0 || low < to * 0.6 || low === to) return { from: 0, to };
  const step = 10 ** Math.floor(Math.log10(to - low));
  return { from: Math.max(0, Math.floor((low - step / 2) / step) * step), to };
}

const shareOf = (value, { from, to }) => Math.min(1, Math.max(0, (value - from) / (to - from || 1)));

function drawNone(view, { answer, whole }) {
  const said = element("div", { class: "none" });
  if (whole.total > 0) {
    said.append(
      element("p", null, `The filters leave none of its ${counted(whole.total, "similar title", "similar titles")}.`),
      element("p", null, button("Clear filters", clearFilters)),
    );
    return said;
  }
  said.append(element("p", null, `No similar titles: ${sentence(answer.reason ?? "nothing is near it").replace(/^[A-Z]/, (letter) => letter.toLowerCase())}`));
  const others = answer.measures.filter((measure) => measure !== answer.measure);
  if (others.length) {
    const links = others.flatMap((measure) => [", ", linkTo({ ...view, measure, beside: "" }, trailOf(), labelOf(measure))]);
    said.append(element("p", null, "Another measure may know some: ", ...links.slice(1)));
  }
  return said;
}

// ---- Controls ----------------------------------------------------------------------------------

$("measure").addEventListener("change", () => {
  const measure = $("measure").value;
  const { beside } = viewOf(location.search);
  change({ measure, beside: beside === measure ? "" : beside });
});

$("beside").addEventListener("change", () =>
  change({ measure: $("measure").value, beside: $("beside").value }));

$("genres").addEventListener("change", () =>
  change({ genres: [...$("genres").querySelectorAll(":checked")].map((box) => box.value) }));

for (const input of [$("year-from"), $("year-to")]) {
  input.addEventListener("change", () => {
    const [from, to] = [$("year-from").value, $("year-to").value];
    const isBackwards = from && to && Number(from) > Number(to);
    $("year-to").setCustomValidity(isBackwards ? `Give ${from} or a later year` : "");
    if ($("controls").reportValidity()) change({ from, to });
  });
}

function clearFilters() {
  $("year-to").setCustomValidity("");
  $("filter").focus(); // the button that was pressed goes away
  change({ genres: [], from: "", to: "" });
}

function openFilters(isOpen) {
  $("filters").hidden = !isOpen;
  $("filter").setAttribute("aria-expanded", String(isOpen));
}

$("filter").addEventListener("click", () => openFilters($("filters").hidden));
$("clear").addEventListener("click", clearFilters);
$("controls").addEventListener("submit", (event) => event.preventDefault());

// ---- Search: a combobox with a list, after the ARIA Authoring Practices --------------------------

const input = $("title");
let suggestions = { title: null, movies: [] }; // what was found for which title
let active = -1; // the suggestion that the arrows stand at
let typing; // timer
let asking = new AbortController();

async function suggest() {
  clearTimeout(typing);
  asking.abort();
  const title = input.value.trim();
  if (title === "") return forgetSuggestions();
  asking = new AbortController();
  try {
    const { movies } = await ask(`movies?${queryOf([["title", title], ["limit", SUGGESTIONS]])}`, asking);
    suggestions = { title, movies };
    drawSuggestions();
  } catch (error) {
    if (error.name === "AbortError") return;
    forgetSuggestions();
    if (error.status === 403 || error.status === 401) keyWanted();
    else $("found").textContent = error.status === 503 ? "No run is live yet." : "The API does not answer; try again.";
  }
}

function drawSuggestions() {
  const { title, movies } = suggestions;
  $("suggestions").replaceChildren(...movies.map((each, place) => {
    const made = element("li", { role: "option", id: `suggestion-${place}`, "aria-selected": "false" },
      span("", nameOf(each)), " ", yearOf(each), " ", span("count", counted(each.ratings, "rating", "ratings")));
    made.addEventListener("click", () => choose(each));
    return made;
  }));
  open(movies.length > 0);
  $("found").textContent = movies.length
    ? `${counted(movies.length, "movie", "movies")}; up and down to choose`
    : `No title is like “${title}”. Fewer letters find more.`;
}

function open(isOpen) {
  $("suggestions").hidden = !isOpen;
  input.setAttribute("aria-expanded", String(isOpen));
  mark(-1);
}

function mark(place) {
  active = place;
  [...$("suggestions").children].forEach((each, index) => each.setAttribute("aria-selected", String(index === place)));
  if (place < 0) return input.removeAttribute("aria-activedescendant");
  input.setAttribute("aria-activedescendant", `suggestion-${place}`);
  $(`suggestion-${place}`).scrollIntoView({ block: "nearest" });
}

function forgetSuggestions() {
  clearTimeout(typing);
  asking.abort();
  suggestions = { title: null, movies: [] };
  $("found").textContent = "";
  open(false);
}

function choose(movie) {
  input.value = "";
  forgetSuggestions();
  input.blur();
  walkTo(movie);
}

/** The marked suggestion or, where none is, the best match of what stands in the field. */
async function chooseBest() {
  if (active >= 0) return choose(suggestions.movies[active]);
  if (suggestions.title !== input.value.trim()) await suggest();
  if (suggestions.movies.length) choose(suggestions.movies[0]);
}

input.addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(suggest, TYPING);
});

input.addEventListener("keydown", async (event) => {
  if (event.isComposing) return;
  const count = suggestions.movies.length;
  const isOpen = !$("suggestions").hidden;
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (step && isOpen) {
    // From the field at the one end back to the field at the other.
    mark(((active + 1 + step + count + 1) % (count + 1)) - 1);
  } else if (step) await suggest();
  else if (event.key === "Escape" && isOpen) open(false);
  else if (event.key === "Escape") {
    input.value = "";
    forgetSuggestions();
  } else return;
  event.preventDefault();
});

input.addEventListener("blur", () => open(false));
$("suggestions").addEventListener("mousedown", (event) => event.preventDefault()); // the field keeps the focus
$("search").addEventListener("submit", (event) => {
  event.preventDefault();
  chooseBest();
});

// ---- The live run ------------------------------------------------------------------------------

let looking; // timer

/** Look which run is live; where another one has become it, what is shown comes from it. */
async function refreshRun() {
  clearTimeout(looking);
  const before = live?.run_id;
  let latest;
  try {
    latest = await ask("runs?limit=5", { fresh: true });
    const id = latest.live_run_id;
    live = id && (latest.runs.find((run) => run.run_id === id) ?? (await ask(`runs/${id}`, { fresh: true })));
  } catch {
    return; // whoever asks for titles is told what is wrong
  }
  drawRun(latest.runs[0]);
  const newest = latest.runs[0];
  if (!live || UNDER_WAY.has(newest?.state)) looking = setTimeout(refreshRun, SOON);
  if (live && live.run_id !== before && (before || isWaiting)) show();
}

function drawRun(newest) {
  $("run").hidden = false;
  $("run-dot").classList.toggle("none", !live);
  const { counts, folder, timeline, state, run_id: id } = live ?? {};
  const since = live && new Date(timeline.LIVE ?? live.updated_at);
  $("run-line").replaceChildren(
    ...(live ? [folder, span("size", counts ? ` · ${counted(counts.ratings, "rating", "ratings")}` : ""), ` · ${day.format(since)}`] : ["No run is live yet"]),
  );
  const facts = live
    ? [["Data set", folder], ["State", state], ["Live since", moment.format(since)],
      ...["ratings", "users", "movies", "pairs"].filter((name) => counts?.[name] !== undefined)
        .map((name) => [name.charAt(0).toUpperCase() + name.slice(1), number.format(counts[name])]),
      ["Run", id]]
    : [];
  $("run-facts").replaceChildren(...facts.flatMap(([name, value]) => [element("dt", null, name), element("dd", null, value)]));
  const isOther = newest && newest.run_id !== id;
  const isComing = isOther && UNDER_WAY.has(newest.state);
  const hasFailed = isOther && newest.state === "FAILED";
  $("run-coming").hidden = !(isComing || hasFailed);
  $("run-coming").textContent = isComing
    ? `A run of ${newest.folder} is under way: ${newest.state} since ${moment.format(new Date(newest.updated_at))}.`
    : hasFailed ? `The latest run, of ${newest.folder}, failed: ${sentence(newest.reason ?? "no reason is known")}` : "";
}

// ---- The window --------------------------------------------------------------------------------

document.addEventListener("click", (event) => {
  if (!$("run").contains(event.target)) $("run").open = false;
});
$("run").addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  $("run").open = false;
  $("run").querySelector("summary").focus();
});
$("docs").href = `${ROOT}docs`;
$("home").addEventListener("click", (event) => follow(event, NOWHERE, []));
addEventListener("popstate", () => show({ focus: shown ? String(shown.movie_id) : "heading" }));
document.addEventListener("visibilitychange", () => document.hidden || refreshRun());

refreshRun();
show();

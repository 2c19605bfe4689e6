// The explorer's script. The address determines the view: `viewOf` parses it, `show` fetches its data
// from the API and draws it. All data reaches the page as text; the page's CSP forbids anything else.

const ROOT = location.pathname.replace(/\/*$/, "/"); // API Gateway also answers without the slash
const LOCALE = "en-GB";
const PAGE = 50; // the API's largest page
const FIRST = 20; // rows shown at first
const SUGGESTIONS = 8;
const WELL_KNOWN = "the"; // the most rated titles with this word are the examples of the first view
const EXAMPLES = 8;
const FEATURED = 10; // neighbours on the first view
const TRAIL = 5; // movies on the path to the current one
const TYPING = 120; // milliseconds without a key stroke before suggestions are fetched
const SOON = 5_000; // milliseconds before an unfinished run is fetched again
const KEY = "api-key";
const STRENGTH = "0 is chance; at 50 the odds that people who like the one like the other are twice as high, at 90 ten times.";
// explorer/__init__.py fills in the project's own lists.
const IN_PROGRESS = new Set(/*IN_PROGRESS*/ []);
const STATES = /*STATES*/ {};
const MEASURES = /*MEASURES*/ {};

const $ = (id) => document.getElementById(id);
const number = new Intl.NumberFormat(LOCALE);
const score = new Intl.NumberFormat(LOCALE, { minimumFractionDigits: 4, maximumFractionDigits: 4 });
const edge = new Intl.NumberFormat(LOCALE, { maximumSignificantDigits: 4 });
const day = new Intl.DateTimeFormat(LOCALE, { dateStyle: "medium" });
const moment = new Intl.DateTimeFormat(LOCALE, { dateStyle: "medium", timeStyle: "short" });

let live = null; // the live run when it was last fetched

// ---- The API -----------------------------------------------------------------------------------

class Failure extends Error {
  constructor(status, message) {
    super(message);
    this.status = status; // the HTTP status; 0 if there was no response
  }
}

/** The API's response to a GET or, if there is a body, to a POST. */
async function ask(address, { fresh = false, signal, body: sent } = {}) {
  const key = sessionStorage.getItem(KEY);
  const headers = { Accept: "application/json", ...(key && { "x-api-key": key }) };
  const post = sent && { method: "POST", body: JSON.stringify(sent) };
  if (sent) headers["Content-Type"] = "application/json";
  let response;
  try {
    response = await fetch(ROOT + address, { headers, signal, ...post, cache: fresh ? "no-cache" : "default" });
  } catch (error) {
    throw signal?.aborted ? error : new Failure(0, "no response");
  }
  const body = await response.json().catch(() => null);
  signal?.throwIfAborted(); // a body that was not read to its end is not a failure of the API
  if (response.ok && body) return body;
  const invalid = body?.errors?.map(({ parameter, detail, allowed }) => `${parameter}: ${detail} (allowed: ${allowed})`);
  throw new Failure(response.status, invalid?.join("; ") ?? body?.detail ?? body?.message ?? response.statusText);
}

/** The responses of `fetchAll(fresh)`, all from the live run, even while another run goes live. */
async function fromOneRun(fetchAll) {
  for (const fresh of [false, true, true]) { // the browser may have cached a response of an earlier run
    const responses = await fetchAll(fresh);
    const runs = new Set(responses.map((response) => response.run_id));
    if (!fresh && live) runs.add(live.run_id);
    if (runs.size === 1) return responses;
  }
  throw new Failure(503, "another run is going live");
}

const fetchFromOneRun = (addresses) =>
  fromOneRun((fresh) => Promise.all(addresses.map((address) => ask(address, { fresh }))));

// ---- Addresses ---------------------------------------------------------------------------------

const EMPTY_VIEW = {
  movie: "", measure: "", beside: "", genres: [], from: "", to: "", popularity: "", diversity: "", liked: [], disliked: [],
  view: "", // "runs", or "map" of a movie; otherwise a list, a taste or the welcome, by what else is set
  run: "", // the one that is open
  fold: "", // "series": one row for the titles of a series
};

function viewOf(search) {
  const query = new URLSearchParams(search);
  const ids = (name) => [...new Set((query.get(name) ?? "").split(",").filter(Boolean))];
  return {
    movie: query.get("movie") ?? "",
    measure: query.get("measure") ?? "",
    beside: query.get("beside") ?? "",
    genres: query.getAll("genre"),
    from: query.get("year_from") ?? "",
    to: query.get("year_to") ?? "",
    popularity: query.get("popularity") ?? "",
    diversity: query.get("diversity") ?? "",
    liked: ids("liked"),
    disliked: ids("disliked"),
    view: query.get("view") ?? "",
    run: query.get("run") ?? "",
    fold: query.get("fold") ?? "",
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

const orderOf = (view) => ["popularity", "diversity"].map((name) => [name, view[name]]);

const isFiltered = (view) => queryOf(filtersOf(view)) !== "";
const isReordered = (view) => queryOf(orderOf(view)) !== "";

function addressOf(view) {
  const named = ["view", "run", "movie", "measure", "beside", "fold"].map((name) => [name, view[name]]);
  const query = queryOf([...named, ...filtersOf(view), ...orderOf(view), ...tasteOf(view)]).replaceAll("%2C", ",");
  return query ? `?${query}` : location.pathname;
}

function similarAddress(view, measure, options, offset = 0) {
  const page = [["measure", measure], ["limit", PAGE], ["offset", offset || ""]];
  return `movies/${view.movie}/similar?${queryOf([...page, ...options])}`;
}

const searchAddress = (title, limit) => `movies?${queryOf([["title", title], ["limit", limit]])}`;

// ---- Words -------------------------------------------------------------------------------------

/** The title without its year and with its article first: `The Matrix` for `Matrix, The (1999)`. */
function nameOf({ title, movie_id: id }) {
  if (!title) return `Movie ${id}`;
  const plain = title.replace(/\s*\(\d{4}[^)]*\)\s*$/, "") || title;
  const article = /^([^(]*), (The|An?|Les?|La|L'|Der|Die|Das|Il|El|Los|Las|Une?)(?= \(|$)/;
  return plain.replace(article, (_, rest, first) => `${first}${first === "L'" ? "" : " "}${rest}`);
}

const labelOf = (measure) => MEASURES[measure]?.[0] ?? measure;
const counted = (count, one, many) => `${number.format(count)} ${count === 1 ? one : many}`;
const ended = (text) => text + (/[.!?]$/.test(text) ? "" : ".");
const sentence = (text) => text && ended(text.charAt(0).toUpperCase() + text.slice(1));

function filtersInWords(view) {
  const years = view.from && view.to ? `${view.from}–${view.to}` : "";
  const open = view.from ? `from ${view.from}` : view.to && `to ${view.to}`;
  return [...view.genres, years || open].filter(Boolean).join(", ");
}

const orderInWords = (view) =>
  [view.popularity && "rarer ones first", view.diversity && "more varied"].filter(Boolean).join(", ");

// ---- Elements ----------------------------------------------------------------------------------

function element(name, attributes, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes ?? {})) made.setAttribute(key, value);
  made.append(...children.filter((child) => child !== null && child !== ""));
  return made;
}

const span = (kind, text) => element("span", { class: kind }, text);
const yearOf = (movie) => (movie.year === null ? "" : span("year", String(movie.year)));

/** An element of a drawing. */
function drawing(name, attributes, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function button(text, action, kind) {
  const made = element("button", { type: "button", ...(kind && { class: kind }) }, text);
  made.addEventListener("click", action);
  return made;
}

/** A link to a view: a click changes the view without loading a new page. */
function linkTo(view, trail, ...children) {
  const made = element("a", { href: addressOf(view) }, ...children);
  made.addEventListener("click", (event) => follow(event, view, trail));
  return made;
}

function follow(event, view, trail, settings) {
  if (event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
  event.preventDefault();
  travel(view, trail, settings);
}

// ---- Navigation ----------------------------------------------------------------------------------

let shown = null; // the current movie
let isWaiting = false; // for the first run to go live
let turn = 0; // the number of the latest view
let nextFocus = null; // kept if a later view replaces one that is not drawn yet
let drawn = () => {}; // draws the latest view again, with the settings of the address

const trailOf = () => history.state?.trail ?? [];

/** The path to the next movie, which ends with the current one. */
function trailToNext() {
  if (!shown) return [];
  return [...trailOf(), { movie: String(shown.movie_id), name: nameOf(shown) }].slice(-TRAIL);
}

function travel(view, trail, { note, focus = "heading" } = {}) {
  history.pushState({ trail, note }, "", addressOf(view));
  if (focus === "heading") scrollTo(0, 0);
  return show({ focus });
}

/** Show the same movie with other settings. */
function change(changes) {
  const view = { ...viewOf(location.search), ...changes };
  history.pushState(history.state, "", addressOf(view));
  return show();
}

function goTo(movie, note) {
  const view = viewOf(location.search);
  const there = { ...view, movie: String(movie.movie_id), view: view.view === "map" ? "map" : "", run: "" };
  return travel(there, trailToNext(), { note });
}

/** Draw the view of the address; `focus` is "heading", or the id of the movie to focus in the list or the map. */
async function show({ focus } = {}) {
  const mine = ++turn;
  nextFocus = focus ?? nextFocus;
  const view = viewOf(location.search);
  $("main").setAttribute("aria-busy", "true");
  let draw;
  try {
    draw = await fetchView(view);
  } catch (error) {
    draw = problem(view, error);
  }
  if (mine !== turn) return;
  drawn = () => draw(viewOf(location.search));
  redraw();
  $("main").removeAttribute("aria-busy");
  const from = nextFocus && document.querySelector(`:is(.rows, .map) a[data-movie="${CSS.escape(nextFocus)}"]`);
  if (from) from.focus();
  else if (nextFocus) heading()?.focus();
  nextFocus = null;
}

function fetchView(view) {
  if (view.view === "runs") return runs(view);
  if (view.movie !== "") return movie(view);
  return hasTaste(view) ? taste(view) : welcome(view);
}

/** Draw the view again from the data that it has. The focus stays, if its element is still there. */
function redraw() {
  const kept = document.activeElement?.dataset.keep;
  const opened = [...document.querySelectorAll("main details[open] > [data-keep]")].map((each) => each.dataset.keep);
  drawTop(viewOf(location.search));
  drawn();
  for (const key of opened) {
    const again = document.querySelector(`details > [data-keep="${CSS.escape(key)}"]`);
    if (again) again.parentElement.open = true;
  }
  if (!kept || nextFocus) return;
  const again = document.querySelector(`[data-keep="${CSS.escape(kept)}"]`);
  (again ?? heading())?.focus({ preventScroll: true });
}

const heading = () => document.querySelector("main > :is(section, article, form):not([hidden]) h1");

function only(id, title, isWide = false) {
  for (const each of ["welcome", "problem", "key", "movie", "runs"]) $(each).hidden = each !== id;
  document.body.classList.toggle("wide", isWide);
  document.title = title;
  if (id !== "movie") {
    shown = null;
    $("lists").replaceChildren();
  }
  if (id !== "welcome") $("featured").replaceChildren();
  isWaiting = false;
}

// ---- Welcome and problems ------------------------------------------------------------------------

/** Examples from the data set, and the neighbours of the best known one. */
async function welcome(view) {
  const [{ movies }, answer] = await fromOneRun(async (fresh) => {
    const found = await ask(searchAddress(WELL_KNOWN, PAGE), { fresh });
    const best = byRatings(found.movies)[0];
    if (!best) return [found];
    return [found, await ask(similarAddress({ ...view, movie: best.movie_id }, view.measure, []), { fresh })];
  });
  const near = new Set(answer?.similar.slice(0, FEATURED).map((row) => row.movie_id));
  const others = byRatings(movies).slice(1).filter((each) => !near.has(each.movie_id));
  const isFirst = document.activeElement === document.body;
  return (view) => {
    only("welcome", "Similar titles");
    $("popular-heading").hidden = others.length === 0;
    $("popular").replaceChildren(...balanced(others, EXAMPLES).map((each) => {
      const there = { ...view, movie: String(each.movie_id) };
      return element("li", null, linkTo(there, [], span("", nameOf(each)), " ", yearOf(each)));
    }));
    $("featured").replaceChildren(...(answer ? drawFeatured(view, answer) : []));
    if (isFirst && matchMedia("(pointer: fine)").matches) $("title").focus({ preventScroll: true });
  };
}

const byRatings = (movies) => [...movies].sort((a, b) => b.ratings - a.ratings);

/** Titles of many genres and decades: each next one has those that came least often before. */
function balanced(movies, count) {
  const seen = new Map();
  const kindsOf = ({ genres, year }) => [...genres.slice(0, 3), year && Math.floor(year / 10)];
  const familiarity = (movie) => {
    const kinds = kindsOf(movie);
    return kinds.reduce((sum, kind) => sum + (seen.get(kind) ?? 0), 0) / kinds.length;
  };
  const left = [...movies];
  const chosen = [];
  while (left.length && chosen.length < count) {
    const next = left.reduce((best, each) => (familiarity(each) < familiarity(best) ? each : best));
    left.splice(left.indexOf(next), 1);
    chosen.push(next);
    for (const kind of kindsOf(next)) seen.set(kind, (seen.get(kind) ?? 0) + 1);
  }
  return chosen;
}

/** A movie's first neighbours, with a link to all of them. */
function drawFeatured(view, { movie: about, measure, similar }) {
  if (similar.length === 0) return [];
  const there = { ...view, movie: String(about.movie_id) };
  const rows = similar.slice(0, FEATURED).map((row) => drawRow(view, row, { measure, scale: scaleOf(similar) }));
  return [
    element("h2", { id: "featured-heading" }, `Similar to ${nameOf(about)}`),
    element("ol", { class: "rows", role: "list", "aria-labelledby": "featured-heading" }, ...rows),
    element("p", { class: "more" }, linkTo(there, [], `All titles similar to ${nameOf(about)}`)),
  ];
}

function problem(view, error) {
  if (error.status === 401 || error.status === 403) return askForKey;
  if (!(error instanceof Failure)) console.error(error);
  const again = () => button("Try again", () => show({ focus: "heading" }), "primary");
  const isRuns = view.view === "runs";
  const bare = { ...EMPTY_VIEW, movie: view.movie, view: isRuns ? "runs" : "" };
  const start = () => linkTo(bare, [], isRuns ? "Show the latest runs" : view.movie ? "Show the movie without measure and filters" : "Start again");
  const search = () => button("Search for a title", () => $("title").focus(), "primary");
  const [title, text, ...actions] = {
    0: ["The API does not answer", "Your connection may be interrupted.", again],
    400: ["This address is invalid", sentence(error.message),
      ...(addressOf(bare) === addressOf(view) ? [] : [start])],
    404: isRuns ? ["Run not found", sentence(error.message), start]
      : view.movie === "" ? ["Movies not found", sentence(error.message), start] : ["Movie not found",
      `The live run has no movie ${view.movie}. Another data set, with other ids, may have gone live since this address was created.`, search],
    429: ["Too many requests", "The API limits their number. Wait a moment.", again],
    503: live ? ["The index is busy", sentence(error.message), again]
      : ["No run is live yet", "Drop a MovieLens folder into the datasets bucket. This page shows its titles as soon as they are available.", again],
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

function askForKey() {
  const was = sessionStorage.getItem(KEY);
  only("key", "Key required – Similar titles");
  $("key-text").textContent = was
    ? "The API rejected this key. Check it for typing errors, or ask the API's operator for another one."
    : "The API's operator can give you one. This tab keeps it until you close it.";
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

/** Fetch the lists of neighbours: `whole` without filters, `answer` with them, `rows` loaded so far. */
async function movie(view) {
  if (!/^\d+$/.test(view.movie)) throw new Failure(404, "ids are numbers");
  const isMap = view.view === "map";
  const measures = view.beside && !isMap ? [view.measure, view.beside] : [view.measure];
  const wanted = isFiltered(view) || isReordered(view) ? [[], [...filtersOf(view), ...orderOf(view)]] : [[]];
  const answers = await fetchFromOneRun(
    measures.flatMap((measure) => wanted.map((each) => similarAddress(view, measure, each))),
  );
  const lists = measures.map((_, place) => {
    const whole = answers[place * wanted.length];
    const answer = answers[(place + 1) * wanted.length - 1];
    return { whole, answer, rows: answer.similar, scale: scaleOf(whole.similar) };
  });
  if (lists[0].answer.measure === lists[1]?.answer.measure) lists.pop(); // one by its name, one as the default
  const links = isMap && lists[0].rows.length ? await linksAmong(lists[0]) : null;
  return (current) => drawMovie(current, lists, links);
}

/** Draw its lists or, if there are links among the neighbours, its map. */
function drawMovie(view, lists, links) {
  const { movie: about, run_id: runId } = lists[0].answer;
  const isNew = shown?.movie_id !== about.movie_id;
  only("movie", `Similar to ${nameOf(about)}`, lists.length > 1 || links !== null);
  shown = about;
  $("trail").replaceChildren(...trailOf().map(({ movie: id, name }, place, trail) =>
    element("li", null, linkTo({ ...view, movie: id }, trail.slice(0, place), name))));
  $("before").textContent = "Similar to";
  $("name").textContent = nameOf(about);
  $("marks").replaceChildren(...drawMarks(view, about, { liked: "I like it", disliked: "Not for me" }));
  $("basket").hidden = true;
  const facts = [about.year, about.genres.join(", "), `rated by ${counted(about.ratings, "user", "users")}`];
  $("facts").textContent = facts.filter((fact) => fact !== null && fact !== "").join(" · ");
  $("note").textContent = sentence(history.state?.note ?? "");
  $("note").hidden = !history.state?.note;
  drawControls(view, lists);
  if (isNew) openFilters(false);
  if (links) drawMap(view, lists[0], links);
  else drawLists(view, lists);
  if (live && live.run_id !== runId) refreshRun();
}

function drawControls(view, lists) {
  const [first, second] = lists.map((list) => list.answer.measure);
  const { measures } = lists[0].answer;
  const option = (measure, chosen) =>
    element("option", { value: measure, ...(measure === chosen && { selected: "" }) }, labelOf(measure));
  $("measure").replaceChildren(...measures.map((measure) => option(measure, first)));
  const others = view.movie ? measures.filter((measure) => measure !== first) : [];
  $("years").hidden = !view.movie;
  $("beside").replaceChildren(
    element("option", { value: "" }, "nothing"),
    ...others.map((measure) => option(measure, second)),
  );
  const isMap = view.movie !== "" && view.view === "map";
  $("beside").parentElement.hidden = others.length === 0 || isMap;
  $("as-map").hidden = !view.movie;
  $("as-map").setAttribute("aria-pressed", String(isMap));
  $("fold").hidden = isMap;

  const movies = new Map(lists.flatMap((list) => list.whole.similar).map((row) => [row.movie_id, row]));
  const counts = new Map(view.genres.map((genre) => [genre, 0]));
  for (const genre of [...movies.values()].flatMap((row) => row.genres)) {
    counts.set(genre, (counts.get(genre) ?? 0) + 1);
  }
  const chips = [...counts].sort(([a], [b]) => a.localeCompare(b));
  const drawn = $("genres").dataset.drawn;
  if (drawn !== JSON.stringify(chips)) { // otherwise keep the elements, and the focus
    $("genres").dataset.drawn = JSON.stringify(chips);
    $("genres").replaceChildren(...chips.map(([genre, count]) => element(
      "label", null, element("input", { type: "checkbox", value: genre }), genre, span("count", number.format(count)),
    )));
  }
  for (const box of $("genres").querySelectorAll("input")) box.checked = view.genres.includes(box.value);
  $("year-from").value = view.from;
  $("year-to").value = view.to;
  for (const name of ["popularity", "diversity"]) {
    $(name).value = view[name] || "0";
    showShare(name);
  }
  $("fold").setAttribute("aria-pressed", String(view.fold !== ""));
  $("fold").textContent = view.fold ? "Series folded" : "Fold series";
  const words = [filtersInWords(view), orderInWords(view)].filter(Boolean).join(", ");
  $("filter").classList.toggle("active", words !== "");
  $("filter").textContent = words ? `${isFiltered(view) ? "Filter" : "Order"}: ${words}` : "Filter and order";
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
  if (isFiltered(view)) return `${number.format(matched)} of ${countedTitles(view, total)} match the filters`;
  return total ? `${counted(total, "title", "titles")}, ${orderInWords(view) || (view.movie ? "the most similar first" : "the best first")}` : "";
}

const countedTitles = (view, count) =>
  view.movie ? counted(count, "similar title", "similar titles") : counted(count, "recommended title", "recommended titles");

function drawList(view, list, also, again) {
  const { measure, matched } = list.answer;
  const groups = groupsOf(list.rows, view.fold !== "");
  const count = Math.min(list.count ?? FIRST, groups.length);
  const id = `list-${measure}`;
  const scale = count && list.scale.from > 0 ? span("scale", `Bars start at ${edge.format(list.scale.from)}.`) : "";
  const parts = [
    element("div", { class: "about" },
      element("h2", { id }, labelOf(measure)),
      element("p", null, MEASURES[measure]?.[1] ?? "", scale)),
  ];
  if (count === 0) parts.push(drawNone(view, list));
  else {
    const draw = (row) => drawRow(view, row, { measure, scale: list.scale, also });
    const rows = groups.slice(0, count).map((group) => drawGroup(group, draw));
    parts.push(element("ol", { class: "rows", role: "list" }, ...rows));
  }
  if (count < groups.length || list.rows.length < matched) {
    const more = button(count < groups.length ? `Show ${number.format(groups.length - count)} more` : "Show more", async () => {
      more.disabled = true;
      try {
        await loadMore(view, list, count === groups.length);
        again();
        document.querySelector(`#${CSS.escape(id)}`).closest("section").querySelectorAll(".rows:not(.rows .rows) > li > div > a")[count]?.focus();
      } catch (error) {
        problem(view, error)();
      }
    }, "more");
    parts.push(more);
  }
  return element("section", { "aria-labelledby": id }, ...parts);
}

/** Show all loaded rows or, if they are already shown, load the next ones. */
async function loadMore(view, list, isAllShown) {
  if (isAllShown) {
    const options = [...filtersOf(view), ...orderOf(view)];
    const next = await ask(similarAddress(view, list.answer.measure, options, list.rows.length));
    if (next.run_id !== list.answer.run_id) return show();
    list.rows = [...list.rows, ...next.similar];
  }
  list.count = list.rows.length;
}

/** The rows; if series are folded, those of a series that has come before are under its first one. */
function groupsOf(rows, isFolded) {
  const groups = new Map();
  for (const row of rows) {
    const key = (isFolded && row.series) || row;
    if (groups.has(key)) groups.get(key).more.push(row);
    else groups.set(key, { row, name: row.series, more: [] });
  }
  return [...groups.values()];
}

function drawGroup({ row, name, more }, draw) {
  const made = draw(row);
  if (more.length === 0) return made;
  const summary = element("summary", null, `${number.format(more.length)} more of the series ${name}`);
  summary.dataset.keep = `series-${name}`;
  made.append(element("details", { class: "proof series" }, summary, element("ol", { class: "rows", role: "list" }, ...more.map(draw))));
  return made;
}

function drawRow(view, row, { measure, scale, also }) {
  const link = linkTo({ ...view, movie: String(row.movie_id) }, trailToNext(), nameOf(row));
  link.dataset.movie = row.movie_id;
  const bar = element("i");
  bar.style.setProperty("--share", String(shareOf(row.score, scale)));
  const rank = also?.ranks.get(row.movie_id);
  const exact = element("span", { class: "score", title: String(row.score) }, score.format(row.score));
  return element("li", null,
    span("rank", String(row.rank)),
    element("div", null,
      link, " ", yearOf(row), rank ? span("also", `#${rank} by ${also.label}`) : "",
      element("div", { class: "genres" }, row.genres.join(", ")),
      element("p", { class: "why" }, row.because ? becauseOf(row) : row.why.sentence),
      drawEvidence(row, row.because ? factsOfBecause(row) : factsOfWhy(row, measure))),
    element("div", { class: "measured" },
      element("div", { class: "bar", "aria-hidden": "true" }, bar), exact, evidenceOf(row), strengthOf(row)),
    element("div", { class: "marks" }, ...drawMarks(view, row)));
}

function evidenceOf(row) {
  if (row.because) return "";
  return span("evidence", row.based_on === "content" ? "similar content" : `${number.format(row.co_raters)} rated both`);
}

/** All that led to a row, for those who want to know; `facts` are names with values. */
function drawEvidence(row, facts) {
  const summary = element("summary", { "aria-label": `Evidence for ${nameOf(row)}` }, "Evidence");
  summary.dataset.keep = `evidence-${row.movie_id}`;
  return element("details", { class: "proof" }, summary, definitions(facts));
}

const definitions = (facts) =>
  element("dl", null, ...facts.flatMap(([name, value]) => [element("dt", null, name), element("dd", null, value)]));

/** What a movie and its neighbour share, and the figures behind the score. */
function factsOfWhy({ why, ratings, score: exact, cosine, strength }, measure) {
  const facts = [
    ["Series", why.series],
    ["Genres of both", why.genres.join(", ")],
    ["Tags of both", why.tags.join(", ")],
    ["Decade of both", why.decade === null ? null : `${why.decade}s`],
    ["Rated it", ratings === null ? null : counted(ratings, "user", "users")],
    ["Rated both", counted(why.co_raters, "user", "users")],
    ["Against chance", why.lift === null ? null : `${edge.format(why.lift)} times as many rated both`],
    [`Score by ${labelOf(measure)}`, String(exact)],
    ["Cosine", measure === "cosine" || cosine === null ? null : String(cosine)],
    ["Strength", strength === null ? null : `${strength} of 100. ${STRENGTH}`],
  ];
  return facts.filter(([, value]) => value);
}

/** What the score means, from 0 to 100; nothing if the run does not know. */
function strengthOf(row) {
  if (row.strength == null) return "";
  return element("span", { class: "strength", title: STRENGTH }, `strength ${row.strength}`);
}

/** The range of the bars: if scores are close, it starts a little below the lowest one. */
function scaleOf(rows) {
  const to = rows[0]?.score ?? 1;
  const low = rows.at(-1)?.score ?? 0;
  if (low <= 0 || low < to * 0.6 || low === to) return { from: 0, to };
  const step = 10 ** Math.floor(Math.log10(to - low));
  return { from: Math.max(0, Math.floor((low - step / 2) / step) * step), to };
}

const shareOf = (value, { from, to }) => Math.min(1, Math.max(0, (value - from) / (to - from || 1)));

function drawNone(view, { answer, whole }) {
  const made = element("div", { class: "none" });
  if (whole.total > 0) {
    made.append(
      element("p", null, `None of the ${countedTitles(view, whole.total)} matches the filters.`),
      element("p", null, button("Clear filters", clearFilters)),
    );
    return made;
  }
  made.append(element("p", null, `No ${view.movie ? "similar titles" : "recommendations"}: ${sentence(answer.reason ?? "no other movie is similar").replace(/^[A-Z]/, (letter) => letter.toLowerCase())}`));
  const others = answer.measures.filter((measure) => measure !== answer.measure);
  if (others.length) {
    const links = others.flatMap((measure) => [", ", linkTo({ ...view, measure, beside: "" }, trailOf(), labelOf(measure))]);
    made.append(element("p", null, "Try another measure: ", ...links.slice(1)));
  }
  return made;
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
    $("year-to").setCustomValidity(isBackwards ? `Enter ${from} or a later year` : "");
    if ($("controls").reportValidity()) change({ from, to });
  });
}

/** Show the position of a slider, also to screen readers. */
function showShare(name) {
  const share = Number($(name).value);
  const words = share ? `${Math.round(share * 100)} %` : "off";
  $(name).setAttribute("aria-valuetext", words);
  $(`${name}-shown`).textContent = words;
}

for (const name of ["popularity", "diversity"]) {
  $(name).addEventListener("input", () => showShare(name));
  $(name).addEventListener("change", () => change({ [name]: $(name).value === "0" ? "" : $(name).value }));
}

function clearFilters() {
  $("year-to").setCustomValidity("");
  $("filter").focus(); // the pressed button disappears
  change({ genres: [], from: "", to: "", popularity: "", diversity: "" });
}

$("as-map").addEventListener("click", () => change({ view: viewOf(location.search).view === "map" ? "" : "map" }));
$("fold").addEventListener("click", () => change({ fold: viewOf(location.search).fold ? "" : "series" }));

function openFilters(isOpen) {
  $("filters").hidden = !isOpen;
  $("filter").setAttribute("aria-expanded", String(isOpen));
}

$("filter").addEventListener("click", () => openFilters($("filters").hidden));
$("clear").addEventListener("click", clearFilters);
$("controls").addEventListener("submit", (event) => event.preventDefault());

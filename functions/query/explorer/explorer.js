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
// explorer/__init__.py fills in the project's own lists.
const IN_PROGRESS = new Set(/*IN_PROGRESS*/ []);
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

async function ask(address, { fresh = false, signal } = {}) {
  const key = sessionStorage.getItem(KEY);
  const headers = { Accept: "application/json", ...(key && { "x-api-key": key }) };
  let response;
  try {
    response = await fetch(ROOT + address, { headers, signal, cache: fresh ? "no-cache" : "default" });
  } catch (error) {
    throw signal?.aborted ? error : new Failure(0, "no response");
  }
  const body = await response.json().catch(() => null);
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

const EMPTY_VIEW = { movie: "", measure: "", beside: "", genres: [], from: "", to: "", popularity: "", diversity: "" };

function viewOf(search) {
  const query = new URLSearchParams(search);
  return {
    movie: query.get("movie") ?? "",
    measure: query.get("measure") ?? "",
    beside: query.get("beside") ?? "",
    genres: query.getAll("genre"),
    from: query.get("year_from") ?? "",
    to: query.get("year_to") ?? "",
    popularity: query.get("popularity") ?? "",
    diversity: query.get("diversity") ?? "",
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
  const named = ["movie", "measure", "beside"].map((name) => [name, view[name]]);
  const query = queryOf([...named, ...filtersOf(view), ...orderOf(view)]);
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
const sentence = (text) => text && text.charAt(0).toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? "" : ".");

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

function follow(event, view, trail) {
  if (event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
  event.preventDefault();
  travel(view, trail);
}

// ---- Navigation ----------------------------------------------------------------------------------

let shown = null; // the current movie
let isWaiting = false; // for the first run to go live
let turn = 0; // the number of the latest view
let nextFocus = null; // kept if a later view replaces one that is not drawn yet

const trailOf = () => history.state?.trail ?? [];

/** The path to the next movie, which ends with the current one. */
function trailToNext() {
  if (!shown) return [];
  return [...trailOf(), { movie: String(shown.movie_id), name: nameOf(shown) }].slice(-TRAIL);
}

function travel(view, trail, note) {
  history.pushState({ trail, note }, "", addressOf(view));
  scrollTo(0, 0);
  return show({ focus: "heading" });
}

/** Show the same movie with other settings. */
function change(changes) {
  const view = { ...viewOf(location.search), ...changes };
  history.pushState(history.state, "", addressOf(view));
  return show();
}

function goTo(movie, note) {
  return travel({ ...viewOf(location.search), movie: String(movie.movie_id) }, trailToNext(), note);
}

/** Draw the view of the address; `focus` is "heading", or the id of the movie to focus in the list. */
async function show({ focus } = {}) {
  const mine = ++turn;
  nextFocus = focus ?? nextFocus;
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
  const from = nextFocus && document.querySelector(`.rows a[data-movie="${CSS.escape(nextFocus)}"]`);
  if (from) from.focus();
  else if (nextFocus) document.querySelector("main > :is(section, article, form):not([hidden]) h1")?.focus();
  nextFocus = null;
}

function only(id, title, isWide = false) {
  for (const each of ["welcome", "problem", "key", "movie"]) $(each).hidden = each !== id;
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
  const others = byRatings(movies).slice(1);
  return () => {
    only("welcome", "Similar titles");
    $("popular-heading").hidden = others.length === 0;
    $("popular").replaceChildren(...balanced(others, EXAMPLES).map((each) => {
      const there = { ...view, movie: String(each.movie_id) };
      return element("li", null, linkTo(there, [], span("", nameOf(each)), " ", yearOf(each)));
    }));
    $("featured").replaceChildren(...(answer ? drawFeatured(view, answer) : []));
    if (matchMedia("(pointer: fine)").matches) $("title").focus({ preventScroll: true });
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
function drawFeatured(view, { movie: about, similar }) {
  if (similar.length === 0) return [];
  const there = { ...view, movie: String(about.movie_id) };
  const rows = similar.slice(0, FEATURED).map((row) => drawRow(view, row, scaleOf(similar)));
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
  const bare = { ...EMPTY_VIEW, movie: view.movie };
  const search = () => button("Search for a title", () => $("title").focus(), "primary");
  const [title, text, ...actions] = {
    0: ["The API does not answer", "Your connection may be interrupted.", again],
    400: ["This address is invalid", sentence(error.message),
      ...(addressOf(bare) === addressOf(view) ? [] : [() => linkTo(bare, [], "Show the movie without measure and filters")])],
    404: ["Movie not found",
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
  const measures = view.beside ? [view.measure, view.beside] : [view.measure];
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
  $("note").textContent = sentence(history.state?.note ?? "");
  $("note").hidden = !history.state?.note;
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
  if (isFiltered(view)) return `${number.format(matched)} of ${counted(total, "similar title", "similar titles")} match the filters`;
  return total ? `${counted(total, "title", "titles")}, ${orderInWords(view) || "the most similar first"}` : "";
}

function drawList(view, list, also, redraw) {
  const { measure, matched } = list.answer;
  const count = Math.min(list.count ?? FIRST, list.rows.length);
  const id = `list-${measure}`;
  const scale = count && list.scale.from > 0 ? span("scale", `Bars start at ${edge.format(list.scale.from)}.`) : "";
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

/** Show all loaded rows or, if they are already shown, load the next ones. */
async function loadMore(view, list, count) {
  if (count === list.rows.length) {
    const options = [...filtersOf(view), ...orderOf(view)];
    const next = await ask(similarAddress(view, list.answer.measure, options, count));
    if (next.run_id !== list.answer.run_id) return show();
    list.rows = [...list.rows, ...next.similar];
  }
  list.count = list.rows.length;
}

function drawRow(view, row, scale, also) {
  const link = linkTo({ ...view, movie: String(row.movie_id) }, trailToNext(), nameOf(row));
  link.dataset.movie = row.movie_id;
  const bar = element("i");
  bar.style.setProperty("--share", String(shareOf(row.score, scale)));
  const rank = also?.ranks.get(row.movie_id);
  const evidence = row.based_on === "content" ? "similar content" : `${number.format(row.co_raters)} rated both`;
  const exact = element("span", { class: "score", title: String(row.score) }, score.format(row.score));
  return element("li", null,
    span("rank", String(row.rank)),
    element("div", null,
      link, " ", yearOf(row), rank ? span("also", `#${rank} by ${also.label}`) : "",
      element("div", { class: "genres" }, row.genres.join(", ")),
      element("p", { class: "why" }, row.why.sentence)),
    element("div", { class: "measured" },
      element("div", { class: "bar", "aria-hidden": "true" }, bar), exact, span("evidence", evidence), strengthOf(row)));
}

/** What the score means, from 0 to 100; nothing if the run does not know. */
function strengthOf(row) {
  if (row.strength === null) return "";
  const title = "Strength, 0 to 100: 0 is chance; 50 twice, 90 ten times the odds that who likes the one likes the other";
  return element("span", { class: "strength", title }, `strength ${row.strength}`);
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
      element("p", null, `None of its ${counted(whole.total, "similar title", "similar titles")} matches the filters.`),
      element("p", null, button("Clear filters", clearFilters)),
    );
    return made;
  }
  made.append(element("p", null, `No similar titles: ${sentence(answer.reason ?? "no other movie is similar").replace(/^[A-Z]/, (letter) => letter.toLowerCase())}`));
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

function openFilters(isOpen) {
  $("filters").hidden = !isOpen;
  $("filter").setAttribute("aria-expanded", String(isOpen));
}

$("filter").addEventListener("click", () => openFilters($("filters").hidden));
$("clear").addEventListener("click", clearFilters);
$("controls").addEventListener("submit", (event) => event.preventDefault());

// ---- Search: a combobox with a list, as in the ARIA Authoring Practices --------------------------

const input = $("title");
const NONE = { title: null, movies: [], note: null };
let suggestions = NONE; // the movies found for a title, and a note on the first one
let active = -1; // the position of the marked suggestion
let typing; // timer
let pending = new AbortController();

async function suggest() {
  clearTimeout(typing);
  pending.abort();
  const title = input.value.trim();
  if (title === "") return clearSuggestions();
  pending = new AbortController();
  try {
    const { movies, note } = await ask(searchAddress(title, SUGGESTIONS), pending);
    suggestions = { title, movies, note };
    drawSuggestions();
  } catch (error) {
    if (error.name === "AbortError") return;
    clearSuggestions();
    if (error.status === 403 || error.status === 401) askForKey();
    else $("found").textContent = error.status === 503 ? "No run is live yet." : "The API does not answer; try again.";
  }
}

function drawSuggestions() {
  const { title, movies, note } = suggestions;
  $("suggestions").replaceChildren(...movies.map((each, place) => {
    const made = element("li", { role: "option", id: `suggestion-${place}`, "aria-selected": "false" },
      span("", nameOf(each)), " ", yearOf(each), " ", span("count", counted(each.ratings, "rating", "ratings")),
      note && place === 0 ? span("note", sentence(note)) : "");
    made.addEventListener("click", () => choose(place));
    return made;
  }));
  open(movies.length > 0);
  $("found").textContent = movies.length
    ? `${counted(movies.length, "movie", "movies")}; use the arrow keys to choose`
    : `No title matches “${title}”. Try fewer letters.`;
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

function clearSuggestions() {
  clearTimeout(typing);
  pending.abort();
  suggestions = NONE;
  $("found").textContent = "";
  open(false);
}

function choose(place) {
  const { movies, note } = suggestions;
  input.value = "";
  clearSuggestions();
  input.blur();
  goTo(movies[place], place === 0 ? note : null);
}

/** Choose the marked suggestion, or the best match of the field's text. */
async function chooseBest() {
  if (active >= 0) return choose(active);
  if (suggestions.title !== input.value.trim()) await suggest();
  if (suggestions.movies.length) choose(0);
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
    // After the last suggestion, and before the first one, comes the field itself.
    mark(((active + 1 + step + count + 1) % (count + 1)) - 1);
  } else if (step) await suggest();
  else if (event.key === "Escape" && isOpen) open(false);
  else if (event.key === "Escape") {
    input.value = "";
    clearSuggestions();
  } else return;
  event.preventDefault();
});

input.addEventListener("blur", () => open(false));
$("suggestions").addEventListener("mousedown", (event) => event.preventDefault()); // keeps the focus in the field
$("search").addEventListener("submit", (event) => {
  event.preventDefault();
  chooseBest();
});

// ---- The live run ------------------------------------------------------------------------------

let polling; // timer

/** Fetch the live run; if it has changed, draw the view again from the new one. */
async function refreshRun() {
  clearTimeout(polling);
  const before = live?.run_id;
  let latest;
  try {
    latest = await ask("runs?limit=5", { fresh: true });
    const id = latest.live_run_id;
    live = id && (latest.runs.find((run) => run.run_id === id) ?? (await ask(`runs/${id}`, { fresh: true })));
  } catch {
    return; // requests for titles show the error
  }
  drawRun(latest.runs[0]);
  const newest = latest.runs[0];
  if (!live || IN_PROGRESS.has(newest?.state)) polling = setTimeout(refreshRun, SOON);
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
  const isComing = isOther && IN_PROGRESS.has(newest.state);
  const hasFailed = isOther && newest.state === "FAILED";
  $("run-coming").hidden = !(isComing || hasFailed);
  $("run-coming").textContent = isComing
    ? `A run of ${newest.folder} is in progress: ${newest.state} since ${moment.format(new Date(newest.updated_at))}.`
    : hasFailed ? `The latest run, of ${newest.folder}, failed: ${sentence(newest.reason ?? "unknown reason")}` : "";
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
$("home").addEventListener("click", (event) => follow(event, EMPTY_VIEW, []));
addEventListener("popstate", () => show({ focus: shown ? String(shown.movie_id) : "heading" }));
document.addEventListener("visibilitychange", () => document.hidden || refreshRun());

refreshRun();
show();

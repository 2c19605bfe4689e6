// ---- Taste: the titles that a person likes and those that they do not ----------------------------
// The address has their ids, so a taste can be shared and nothing else keeps it.

const MOST = { liked: 50, disliked: 40 }; // of one request
const ICONS = {
  liked: "M12 20.3 4.2 12.6a4.9 4.9 0 0 1 0-7 4.9 4.9 0 0 1 7 0l.8.8.8-.8a4.9 4.9 0 0 1 7 0 4.9 4.9 0 0 1 0 7z",
  disliked: "M6 6l12 12M18 6 6 18",
};
const tasteOf = (view) => Object.keys(MOST).map((kind) => [kind, view[kind].join(",")]);
const hasTaste = (view) => view.liked.length + view.disliked.length > 0;

/** Mark a movie as liked or disliked or, if it is so already, as neither. */
function toggleMark(id, kind) {
  const view = viewOf(location.search);
  const marks = {};
  for (const each of Object.keys(MOST)) marks[each] = view[each].filter((other) => other !== id);
  if (!view[kind].includes(id)) marks[kind] = [...marks[kind], id].slice(-MOST[kind]);
  history.pushState(history.state, "", addressOf({ ...view, ...marks }));
  if (view.movie !== "") return redraw();
  return show(hasTaste(view) ? {} : { focus: "heading" }); // the first mark leads to the recommendations
}

/** The buttons that mark a movie; with words beside their icons if there is room. */
function drawMarks(view, movie, words = {}) {
  const id = String(movie.movie_id);
  return Object.keys(MOST).map((kind) => {
    const icon = drawing("svg", { viewBox: "0 0 24 24", "aria-hidden": "true" }, drawing("path", { d: ICONS[kind] }));
    const label = `${kind === "liked" ? "Like" : "Dislike"} ${nameOf(movie)}`;
    const made = button("", () => toggleMark(id, kind), "mark");
    made.append(icon, words[kind] ?? "");
    made.dataset.keep = `${kind}-${id}`;
    made.setAttribute("aria-pressed", String(view[kind].includes(id)));
    if (!words[kind]) made.setAttribute("aria-label", label);
    made.title = label;
    return made;
  });
}

/** The links above the view: home, which keeps the taste, and the taste itself. */
function drawTop(view) {
  const there = { ...EMPTY_VIEW, liked: view.liked, disliked: view.disliked };
  const count = there.liked.length + there.disliked.length;
  $("home").href = addressOf(there);
  $("taste").href = addressOf(there);
  $("taste").hidden = count === 0;
  $("taste").textContent = `Your taste: ${number.format(count)}`;
}

for (const id of ["home", "taste"]) {
  $(id).addEventListener("click", (event) => follow(event, viewOf(new URL($(id).href).search), []));
}

/** Fetch recommendations, `whole` without filters and `answer` with them, and the marked movies. */
async function taste(address) {
  const view = { ...address, beside: "", from: "", to: "" }; // recommendations lack these
  const ids = [...view.liked, ...view.disliked].map(Number);
  if (ids.some(Number.isNaN)) throw new Failure(400, "liked and disliked are ids of movies, with commas between them");
  const [known, ...answers] = await fromOneRun(() => Promise.all([
    ask("similar", { body: { movie_ids: ids, limit: 1 } }), // has their titles
    ...(view.liked.length ? recommendationRequests(view) : []).map((body) => ask("recommendations", { body })),
  ]));
  const nothing = { ...known, measure: known.movies[0].measure, recommendations: [], reason: "like at least one title" };
  const [whole, answer] = [answers[0] ?? nothing, answers.at(-1) ?? nothing].map(asList);
  const lists = [{ whole: { ...whole, total: whole.matched }, answer: { ...answer, total: whole.matched },
    rows: answer.similar, scale: { from: 0, to: whole.similar[0]?.score ?? 1 } }];
  return (current) => drawTaste({ ...view, liked: current.liked, disliked: current.disliked }, known.movies, lists);
}

/** One without filters and, if there are any, one with them. */
function recommendationRequests(view) {
  const bare = { liked: view.liked.map(Number), disliked: view.disliked.map(Number), limit: PAGE };
  if (view.measure) bare.measure = view.measure;
  const order = Object.fromEntries(orderOf(view).filter(([, value]) => value).map(([name, value]) => [name, Number(value)]));
  const full = { ...bare, ...order, ...(view.genres.length && { genre: view.genres }) };
  return isFiltered(view) || isReordered(view) ? [bare, full] : [bare];
}

/** Recommendations in the form of a list of similar titles; there are no further pages. */
const asList = (answer) => ({ ...answer, similar: answer.recommendations, matched: answer.recommendations.length });

function drawTaste(view, marked, lists) {
  only("movie", "Recommended for you");
  shown = null;
  $("trail").replaceChildren();
  $("before").textContent = "";
  $("name").textContent = "Recommended for you";
  $("facts").textContent = "";
  $("marks").replaceChildren();
  $("note").hidden = true;
  $("basket").hidden = false;
  $("basket").replaceChildren(
    ...drawMarked(view, "liked", "You like", marked), ...drawMarked(view, "disliked", "Not for you", marked), drawUnknown(marked),
    button("Remove all", () => travel({ ...view, liked: [], disliked: [] }, [])),
  );
  drawControls(view, lists);
  drawLists(view, lists);
}

/** The liked or the disliked movies, each with a button that removes it. */
function drawMarked(view, kind, heading, marked) {
  const movies = marked.filter(({ movie_id: id, movie }) => movie && view[kind].includes(String(id))).map(({ movie }) => movie);
  if (movies.length === 0) return [];
  return [
    element("h2", { id: `${kind}-heading` }, heading),
    element("ul", { "aria-labelledby": `${kind}-heading` }, ...movies.map((each) => {
      const remove = button("×", () => toggleMark(String(each.movie_id), kind));
      remove.setAttribute("aria-label", `Remove ${nameOf(each)}`);
      return element("li", null, linkTo({ ...view, movie: String(each.movie_id) }, [], nameOf(each)), " ", yearOf(each), remove);
    })),
  ];
}

function drawUnknown(marked) {
  const ids = marked.filter(({ movie }) => movie === null).map(({ movie_id: id }) => id);
  if (ids.length === 0) return "";
  return element("p", { class: "note" }, `The live run does not have ${counted(ids.length, "title", "titles")} of this address: ${ids.join(", ")}.`);
}

/** Each liked movie that led to a recommendation, with what it adds to the score. */
function factsOfBecause({ because, score: exact }) {
  const parts = because.map((each) =>
    [nameOf(each), `adds ${String(each.score)}${each.strength === null ? "" : `, strength ${each.strength}`}`]);
  const less = because.reduce((sum, each) => sum + each.score, 0) - exact;
  const disliked = less > 1e-9 ? [["Titles you do not like", `take away ${edge.format(less)}`]] : [];
  return [...parts, ...disliked, ["Score", String(Number(exact.toPrecision(12)))]];
}

/** `Because you like The Matrix and Alien.` */
function becauseOf({ because }) {
  const names = because.map(nameOf);
  return `Because you like ${new Intl.ListFormat(LOCALE).format(names)}.`;
}

// ---- The map: a movie in the middle, its first neighbours around it ------------------------------

const isNarrow = matchMedia("(max-width: 40rem)");
const NEAR = 10; // neighbours of a neighbour; two of the map are linked if one is among these
const WIDE_MAP = { nodes: 12, width: 1000, height: 640, x: 420, y: 280, letters: 19 };
const NARROW_MAP = { nodes: 8, width: 380, height: 620, x: 138, y: 260, letters: 13 };

/** The neighbours that are linked with each other, by id. */
async function linksAmong({ answer, rows }) {
  const ids = rows.slice(0, WIDE_MAP.nodes).map((row) => row.movie_id);
  const body = { movie_ids: ids, measure: answer.measure, limit: NEAR };
  const { movies, run_id: runId } = await ask("similar", { body });
  const links = new Map(ids.map((id) => [id, new Set()]));
  if (runId !== answer.run_id) return links; // another run went live; the next view has its links
  for (const { movie_id: id, similar } of movies) {
    for (const { movie_id: other } of similar.filter((row) => links.has(row.movie_id))) {
      links.get(id).add(other);
      links.get(other).add(id);
    }
  }
  return links;
}

function drawMap(view, list, links) {
  const form = isNarrow.matches ? NARROW_MAP : WIDE_MAP;
  const nodes = placed(list, links, form);
  const count = counted(nodes.length, "similar title", "similar titles");
  $("summary").textContent = `${count}, nearer if more similar; lines join those that are similar to each other`;
  const heights = nodes.map(({ y }) => y);
  const [top, bottom] = [Math.min(...heights) - 25, Math.max(...heights, form.height / 2) + 60];
  const map = drawing("svg", {
    class: "map", viewBox: `0 ${top} ${form.width} ${bottom - top}`, role: "group", "aria-label": `Map of ${nameOf(shown)}`,
  }, ...drawLines(nodes, links, form), drawCentre(view, form), ...nodes.map((node) => drawNode(view, node, nodes, links, form)));
  map.addEventListener("keydown", walk);
  const text = element("details", { class: "proof" }, element("summary", null, "The map as a list"),
    element("ol", { class: "as-text" }, ...nodes.map((node) => drawText(view, node, nodes, links))));
  text.firstChild.dataset.keep = "map-as-list";
  $("lists").replaceChildren(element("div", null, map, text));
}

/** The neighbours with their places: linked ones side by side, similar ones near the middle. */
function placed({ rows }, links, form) {
  const left = rows.slice(0, form.nodes);
  const scores = left.map((row) => row.score);
  const scale = { from: Math.min(...scores), to: Math.max(...scores) };
  const ring = [left.shift()];
  while (left.length) {
    const beside = left.findIndex((row) => links.get(ring.at(-1).movie_id).has(row.movie_id));
    ring.push(...left.splice(Math.max(beside, 0), 1));
  }
  const nodes = ring.map((row, place) => {
    const angle = (2 * Math.PI * place) / ring.length - Math.PI / 2;
    const share = shareOf(row.score, scale);
    const far = 1 - 0.3 * share;
    return { row, share, x: form.width / 2 + form.x * far * Math.cos(angle), y: form.height / 2 + form.y * far * Math.sin(angle) };
  });
  return nodes.sort((a, b) => a.row.rank - b.row.rank); // the order of the tab key
}

function drawLines(nodes, links, form) {
  const spokes = nodes.map(({ x, y, share }) =>
    drawing("path", { class: "spoke", d: `M${form.width / 2} ${form.height / 2}L${x} ${y}`, "stroke-width": 1 + 4 * share }));
  const chords = nodes.flatMap((one, place) => nodes.slice(place + 1)
    .filter((other) => links.get(one.row.movie_id).has(other.row.movie_id))
    .map((other) => drawing("path", { class: "chord", d: chord(one, other, form) })));
  return [...chords, ...spokes];
}

/** A curve that bends away from the middle, where the lines to it are. */
function chord(one, other, form) {
  const bend = (a, b, middle) => (a + b) / 2 + ((a + b) / 2 - middle) * 0.25;
  return `M${one.x} ${one.y}Q${bend(one.x, other.x, form.width / 2)} ${bend(one.y, other.y, form.height / 2)} ${other.x} ${other.y}`;
}

function drawCentre(view, form) {
  const node = { row: shown, x: form.width / 2, y: form.height / 2, share: 1 };
  return drawPoint({ ...view, view: "" }, trailOf(), node, "centre", `${nameOf(shown)}, in the middle: show its list`, form);
}

function drawNode(view, node, nodes, links, form) {
  const { row } = node;
  const parts = [nameOf(row), row.year, `number ${row.rank}`, row.strength == null ? null : `strength ${row.strength}`];
  const label = [parts.filter((part) => part !== null).join(", "), alsoSimilar(row, nodes, links), row.why.sentence].filter(Boolean);
  return drawPoint({ ...view, movie: String(row.movie_id) }, trailToNext(), node, "", label.map(ended).join(" "), form);
}

/** A movie in the map: a link to its own map. */
function drawPoint(there, trail, { row, x, y, share }, kind, label, form) {
  const radius = kind ? 20 : 8 + 8 * share;
  const text = drawing("text", { x, y: y + radius + 16, "aria-hidden": "true" }, ...linesOf(nameOf(row), form.letters)
    .map((line, place) => drawing("tspan", { x, dy: place ? "1.15em" : 0 }, line)));
  const made = drawing("a", { class: `node ${kind}`, href: addressOf(there), "aria-label": label, "data-movie": row.movie_id },
    drawing("title", {}, label), drawing("circle", { cx: x, cy: y, r: radius }), text);
  made.addEventListener("click", (event) => follow(event, there, trail, kind ? {} : { focus: there.movie }));
  return made;
}

function alsoSimilar({ movie_id: id }, nodes, links) {
  const names = nodes.filter(({ row }) => links.get(id).has(row.movie_id)).map(({ row }) => nameOf(row));
  return names.length ? `Also similar to ${new Intl.ListFormat(LOCALE).format(names)}` : "";
}

function drawText(view, { row }, nodes, links) {
  const link = linkTo({ ...view, movie: String(row.movie_id) }, trailToNext(), nameOf(row));
  const also = alsoSimilar(row, nodes, links);
  return element("li", null, link, " ", yearOf(row), ` ${row.why.sentence}`, also && ` ${ended(also)}`);
}

/** A title in at most two lines. */
function linesOf(name, letters) {
  const lines = [""];
  for (const word of name.split(" ")) {
    if (lines.at(-1) && lines.at(-1).length + word.length >= letters) lines.push("");
    lines.push(`${lines.pop()} ${word}`.trim());
  }
  if (lines.length > 2) lines[1] += " …";
  return lines.slice(0, 2).map((line) => (line.length > letters + 4 ? `${line.slice(0, letters + 2)}…` : line));
}

/** Move the focus with the arrow keys, to the nearest title in their direction. */
function walk(event) {
  const [right, down] = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] }[event.key] ?? [];
  const here = event.target.closest(".node");
  if (right === undefined || !here) return;
  event.preventDefault();
  const centre = (node) => {
    const box = node.querySelector("circle").getBoundingClientRect();
    return [box.x + box.width / 2, box.y + box.height / 2];
  };
  const [x, y] = centre(here);
  const ways = [...event.currentTarget.querySelectorAll(".node")].filter((node) => node !== here).map((node) => {
    const [dx, dy] = centre(node).map((at, axis) => at - [x, y][axis]);
    const ahead = dx * right + dy * down;
    return { node, ahead, length: ahead + 2 * Math.abs(dx * down + dy * right) };
  });
  const way = ways.filter(({ ahead }) => ahead > 1).sort((a, b) => a.length - b.length)[0];
  way?.node.focus();
}

isNarrow.addEventListener("change", () => document.querySelector(".map") && redraw());

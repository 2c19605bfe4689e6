// ---- Runs: for operators ------------------------------------------------------------------------

const RUNS = 20;
const percent = new Intl.NumberFormat(LOCALE, { style: "percent", maximumFractionDigits: 1 });
const time = new Intl.DateTimeFormat(LOCALE, { timeStyle: "medium" });

/** Fetch the latest runs, and the one of the address if it is older than these. */
async function runs(view) {
  const latest = await ask(`runs?limit=${RUNS}`, { fresh: true });
  const isOlder = view.run !== "" && !latest.runs.some((run) => run.run_id === view.run);
  const older = isOlder ? [await ask(`runs/${encodeURIComponent(view.run)}`, { fresh: true })] : [];
  return (current) => drawRuns(current, { ...latest, runs: [...latest.runs, ...older] });
}

function drawRuns(view, { runs: all, live_run_id: liveId, waiting }) {
  only("runs", "Runs – Similar titles");
  $("runs-lead").textContent = all.length
    ? `The latest first. ${liveId ? `The API answers from run ${liveId}.` : "No run is live yet."}`
    : "There are none yet: drop a MovieLens folder into the datasets bucket.";
  $("runs-waiting").replaceChildren(...(waiting.length ? [
    element("h2", { id: "waiting-heading" }, "Folders without a run"),
    element("ul", { class: "waiting", "aria-labelledby": "waiting-heading" }, ...waiting.map(({ folder, since, waits_for: what }) =>
      element("li", null, element("strong", null, folder), ` ${ended(what)} `, span("muted", `Since ${moment.format(new Date(since))}.`)))),
  ] : []));
  const open = view.run || all[0]?.run_id;
  $("runs-list").replaceChildren(...all.map((run) => drawOneRun(run, run.run_id === liveId, run.run_id === open)));
}

function drawOneRun(run, isLive, isOpen) {
  const state = run.held_back ? "HELD BACK" : run.state;
  const kind = run.state === "FAILED" ? "failed" : isLive ? "live" : IN_PROGRESS.has(run.state) ? "coming" : "";
  const summary = element("summary", null,
    element("h2", null, run.folder), " ", span(`state ${kind}`, state), " ",
    span("muted", moment.format(new Date(run.created_at))), " ", span("muted", headlineOf(run)));
  summary.dataset.keep = run.run_id;
  const made = element("details", { ...(isOpen && { open: "" }) }, summary, ...drawParts(run));
  summary.addEventListener("click", () => { // before it opens or closes
    const view = { ...viewOf(location.search), run: made.open ? "" : run.run_id };
    history.replaceState(history.state, "", addressOf(view));
  });
  return made;
}

/** What matters most, in a line. */
function headlineOf({ counts, quality, actual_cost: cost }) {
  const parts = [
    counts?.ratings && counted(counts.ratings, "rating", "ratings"),
    quality && `lift ${edge.format(quality.lift)}`,
    cost && dollars(cost),
  ];
  return parts.filter(Boolean).join(" · ");
}

const dollars = ({ usd, node_hours: hours }) =>
  usd === null ? `${edge.format(hours)} node-hours` : `${number.format(usd)} USD`;

/** The parts of a run that it has, each with a heading. */
function drawParts(run) {
  const parts = [
    ["", stateFacts(run)],
    ["Quality", qualityFacts(run.quality)],
    ["Rejected lines", rejectedFacts(run)],
    ["Cost", costFacts(run)],
    ["Difference to the run before", differenceFacts(run.comparison)],
    ["Counts", Object.entries(run.counts ?? {}).map(([name, count]) => [inWords(name), number.format(count)])],
  ];
  const drawnParts = parts.map(([heading, facts]) => {
    const given = facts.filter(([, value]) => value != null && value !== "" && value.length !== 0);
    return given.length ? [heading && element("h3", null, heading), definitions(given)] : [];
  });
  return [drawTimeline(run), ...drawnParts.flat().filter(Boolean)];
}

const inWords = (name) => (name.charAt(0).toUpperCase() + name.slice(1)).replaceAll("_", " ");

/** When the run entered each state, and how long the states before the last one took. */
function drawTimeline({ timeline, state }) {
  const entries = Object.entries(timeline).sort(([, a], [, b]) => a.localeCompare(b));
  const starts = entries.map(([, at]) => new Date(at).getTime());
  const ends = [...starts.slice(1), IN_PROGRESS.has(state) ? Date.now() : null];
  const steps = entries.map(([name], place) => ({
    name, start: starts[place], spent: IN_PROGRESS.has(name) && ends[place] !== null ? ends[place] - starts[place] : null,
  }));
  const bar = element("div", { class: "timeline", "aria-hidden": "true" });
  for (const { name, spent } of steps.filter((step) => step.spent !== null)) {
    const part = element("i", { class: name.toLowerCase() });
    part.style.flexGrow = String(Math.max(spent, 1));
    bar.append(part);
  }
  return element("div", null, bar, element("ol", { class: "steps", "aria-label": "Timeline" }, ...steps.map(({ name, start, spent }) =>
    element("li", { class: name.toLowerCase() }, element("strong", null, name), ` ${time.format(start)}`,
      spent === null ? "" : span("muted", ` for ${duration(spent)}`)))));
}

function duration(milliseconds) {
  const seconds = Math.round(milliseconds / 1000);
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  return minutes < 60 ? `${minutes} min ${seconds % 60} s` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

const stateFacts = (run) => [
  ["State", `${run.state}: ${run.held_back ? "the quality gate held it back" : STATES[run.state] ?? ""}`],
  ["Reason", run.reason && sentence(run.reason)],
  ["Waits for", run.waits_for && ended(run.waits_for)],
  ["Index", run.indexed && IN_PROGRESS.has(run.state) ? `${run.indexed.parts} of ${run.indexed.of} parts` : null],
  ["Repeats", run.rerun_of],
  ["First cluster", run.failed_start && `${run.failed_start.cluster_id} did not start: ${sentence(run.failed_start.reason)}`],
  ["Cluster", run.cluster_id],
  ["Logs", run.log_uri],
  ["Run", run.run_id],
];

const qualityFacts = (quality) => quality ? [
  ["Measure", `${labelOf(quality.measure)}, for ${counted(quality.users, "user", "users")}`],
  ["Recall@20", `${edge.format(quality.recall)}; the most rated movies ${edge.format(quality.popularity_recall)}`],
  ["Lift", `${edge.format(quality.lift)} ± ${edge.format(quality.lift_error)}`],
  ["Popular titles", `${percent.format(quality.popularity_share)} of the neighbours are among the most rated tenth`],
] : [];

const rejectedFacts = ({ counts, rejects, rejects_uri: uri }) => (Object.keys(rejects ?? {}).length === 0) ? [
  ["All files", counts && "none"],
] : [
  ...Object.entries(rejects).map(([file, { lines, rejected, kinds }]) => [
    file, `${number.format(rejected)} of ${counted(lines, "line", "lines")}: ${
      Object.entries(kinds).map(([kind, count]) => `${kind} ${number.format(count)}`).join(", ")}`]),
  ["Stored", uri],
];

const costFacts = ({ estimated_cost: estimate, actual_cost: actual }) => [
  ["Estimate", estimate && costInWords(estimate)],
  ["Actual", actual && costInWords(actual)],
];

const costInWords = (cost) =>
  `${cost.usd === null ? "unknown price" : `${number.format(cost.usd)} USD`}, ${edge.format(cost.node_hours)} node-hours, prices of ${cost.priced_at}`;

/** What changed from the run that was live before. */
function differenceFacts(comparison) {
  if (!comparison) return [];
  const { before, after, titles, lists, causes, cut, unreadable } = comparison;
  const lift = ({ quality }) => (quality ? edge.format(quality.lift) : "unknown");
  return [
    ["Before", before.run_id],
    ["Measure", before.measure === after.measure ? null : `${labelOf(before.measure)} before, ${labelOf(after.measure)} now`],
    ["Lift", before.quality || after.quality ? `${lift(before)} before, ${lift(after)} now` : null],
    ["Ratings", before.counts.ratings && `${number.format(before.counts.ratings)} before, ${number.format(after.counts.ratings ?? 0)} now`],
    ["Causes", causes.join("; ")],
    ["Cut off", cut.join(", ")],
    ["Not compared", unreadable && sentence(unreadable)],
    ...(titles ? titleFacts(titles) : []),
    ...(lists ? listFacts(lists) : []),
  ];
}

const titleFacts = (titles) => [
  ["Titles with lists", `${number.format(titles.before)} before, ${number.format(titles.after)} now`],
  ["Gained", withExamples(titles.gained, titles.gained_examples)],
  ["Lost", withExamples(titles.lost, titles.lost_examples)],
  ["Renamed", withExamples(titles.renamed, titles.renamed_examples.map(([from, to]) => `${from} is ${to}`))],
  ["Garbled", titles.garbled ? `${number.format(titles.garbled)} of ${counted(titles.beyond_ascii, "title", "titles")} beyond ASCII` : null],
];

const withExamples = (count, examples) => number.format(count) + (examples.length ? `, for example ${examples.join("; ")}` : "");

const listFacts = (lists) => [
  ["Lists of both", `${number.format(lists.common)}, ${number.format(lists.unchanged)} of them unchanged`],
  ["Median overlap", lists.median_overlap === null ? null : edge.format(lists.median_overlap)],
  ["Moved most", lists.movers.length ? element("ul", null, ...lists.movers.map((each) => element("li", null,
    element("strong", null, each.title), ` overlap ${edge.format(each.overlap)}. Before: ${each.before.join(", ")}. Now: ${each.after.join(", ")}.`))) : null],
];

for (const link of document.querySelectorAll(".to-runs")) {
  link.addEventListener("click", (event) => {
    $("run").open = false;
    const { liked, disliked } = viewOf(location.search);
    follow(event, { ...EMPTY_VIEW, liked, disliked, view: "runs" }, []);
  });
}

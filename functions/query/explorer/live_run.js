// ---- The live run ------------------------------------------------------------------------------

let polling; // timer
let wasInProgress = false;

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
  const isInProgress = IN_PROGRESS.has(newest?.state);
  const isOpen = viewOf(location.search).view === "runs" && (isInProgress || wasInProgress);
  wasInProgress = isInProgress;
  if (isOpen || (live && live.run_id !== before && (before || isWaiting))) show();
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

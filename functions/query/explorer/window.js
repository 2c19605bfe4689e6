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
addEventListener("popstate", () => show({ focus: shown ? String(shown.movie_id) : "heading" }));
document.addEventListener("visibilitychange", () => document.hidden || refreshRun());

refreshRun();
show();

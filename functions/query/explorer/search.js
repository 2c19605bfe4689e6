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

input.addEventListener("keydown", (event) => {
  if (event.isComposing) return;
  const count = suggestions.movies.length;
  const isOpen = !$("suggestions").hidden;
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (step && isOpen) {
    // After the last suggestion, and before the first one, comes the field itself.
    mark(((active + 1 + step + count + 1) % (count + 1)) - 1);
  } else if (step) suggest();
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

"""How well a run's neighbours predict what its users liked: the run evaluates itself.

**Which users.** Users whose hashed id is below a bound are held out: an arbitrary choice that is
the same on every attempt. They number about MAX_USERS, or a tenth of all users if that is fewer.
Users with more than MAX_RATINGS ratings are never held out, which bounds the cost.

**Which lists.** The lists that are evaluated use the ratings of the other users only. A cell sums
up the other users first and takes those lists, then adds the held-out users. So the published lists
use all ratings, and are the same to the bit as without an evaluation. EASE's matrix is inverted
once, for all users; the held-out users are then removed from the inverse exactly (ease.py).

**How.** A fifth of each held-out user's ratings is hidden, chosen by hash. Each visible rating adds
to every neighbour of its movie the neighbour's score times the stars. Movies with a visible rating
are removed, and the K movies with the highest sums are the user's list. Its recall counts the
hidden movies that the user rated RELEVANT_MIN or higher: hits / min(K, number of such movies). The
figure is the mean over all users who have one.

**Limits.** The figure says little about titles with few ratings, because most hidden movies are
well known. It is not a forecast, because hidden ratings are chosen regardless of their time. It is
slightly too low for the published lists, which also use the held-out users. It does not compare
measures across data sets: use `Figures.lift` for that. docs/quality.md has the thorough evaluation.
"""

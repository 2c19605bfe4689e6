"""What people read about each similarity measure: the page shows these words.

The registry, `spark/measures/registry.py`, has what each measure computes.
"""

from typing import NamedTuple


class Words(NamedTuple):
    """What people read about a measure.

    Attributes:
        label: its name.
        description: one sentence on its score.
    """

    label: str
    description: str


WORDS: dict[str, Words] = {
    "cosine": Words("Cosine", "How similarly the users who rated both have rated them."),
    "damped": Words("Damped cosine", "Cosine, shrunk towards 0 if few users rated both."),
    "full-cosine": Words("Full cosine", "Cosine over all users who rated either."),
    "jaccard": Words("Jaccard", "The share of users who rated both among those who rated either."),
    "ease": Words("EASE", "Users who rate this title also rate these, learned from all ratings."),
    "hybrid": Words(
        "Hybrid", "EASE blended with content, which weighs more if there are few ratings."
    ),
    "blend": Words(
        "Blend",
        "Rated and liked by the same users, and alike in genres, tags, series and year.",
    ),
    "als": Words("ALS", "Shared tastes, learned from all ratings."),
}

"""The similarity measures: from sums of pairs, from all ratings, and from content."""

"""Computes exact sums over co-raters for all pairs of movies, and the best neighbours of each."""

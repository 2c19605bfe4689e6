"""Measures how good a run's own neighbours are, on ratings held out from it."""

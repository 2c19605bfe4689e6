"""Writes the result of a run: neighbours, titles, similar users, manifest."""

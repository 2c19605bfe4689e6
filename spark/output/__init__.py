"""Writes a run's result: neighbours, titles, similar users, manifest."""

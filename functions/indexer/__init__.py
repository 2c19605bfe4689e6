"""Loads a finished run's result into the index and makes it live."""

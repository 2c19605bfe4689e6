"""Answers queries: similar titles, recommendations, search, runs."""

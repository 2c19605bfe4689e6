"""Follows EMR's events: records what became of each run's cluster."""

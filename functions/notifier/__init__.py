"""Publishes a message when a run goes live or fails."""

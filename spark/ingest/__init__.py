"""Reads a MovieLens folder into arrays and reports every rejected line."""

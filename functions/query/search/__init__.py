"""Title search: which titles match a query, and in which order."""

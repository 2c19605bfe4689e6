"""The API: routes, search, readers of the index, the page."""

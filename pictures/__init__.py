"""Draws what the documents show: charts, screenshots of the page, the rendered notebook."""

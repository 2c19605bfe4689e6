"""Models from the literature that are trained here."""

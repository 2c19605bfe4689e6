"""The evaluation of the measures: splits a MovieLens folder, scores models, writes docs/quality.md.

Run it with `make evaluate DATASET=...`. docs/quality.md explains what is measured, and why.
"""

"""How good the measures' neighbours are: splits a MovieLens folder, judges, writes docs/quality.md.

`make evaluate DATASET=...` runs it; docs/quality.md explains what is measured and why so.
"""

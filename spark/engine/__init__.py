"""Exact sums over co-raters for all pairs of movies, and the best neighbours of each movie.

blocks.py cuts ratings into cells, cells.py does the work of one cell, kernel.py has its arithmetic,
shuffle.py runs the cells on Spark. Only shuffle.py and self_join.py import Spark.
"""

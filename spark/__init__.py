"""The job: reads a MovieLens folder, compares its movies, and writes neighbours and a manifest.

The package has rooms. A module may import from its own room and from the rooms before it:

1. contracts: formats and files that the job shares with the functions. They import the standard
   library only, because the functions import them too.
2. storage: files on disk and in S3 (storage.py, arrow.py, parquet.py, parts.py).
3. runtime: the compiled loops, ids found in lists, broadcasts and threads on workers.
4. ingest: a MovieLens folder becomes packed ratings and a catalogue.
5. engine: the sums of all pairs of movies, and the best neighbours.
6. measures: what "similar" means.
7. self_evaluation: how well a run's neighbours predict what users liked.
8. output: the files of the result.
9. job: the command line and the program (similarity_job.py, job.py, comparison.py, command_line.py,
   progress.py).

tests/unit/spark/test_imports.py checks this.
"""

"""Compares the runs table with clusters and buckets on a schedule, and repairs differences."""

"""Reconciles, on a schedule, what the tables say with what there is: clusters, runs, drops."""

"""Launches one cluster for each dropped folder: checks it, stores input and code, calls EMR."""

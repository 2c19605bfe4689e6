"""Launches one cluster per dropped data set: checks it, copies input and code, calls EMR."""

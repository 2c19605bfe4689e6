"""Developers' tools: data sets, the archive of the job, sample events, a client of the API."""

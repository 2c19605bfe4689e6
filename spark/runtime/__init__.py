"""What every room uses on a worker: compiled modules, broadcasts, threads."""

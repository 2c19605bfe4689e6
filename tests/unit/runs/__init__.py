"""The life of a run: monitor, sweeper, indexer, quality gate, notifier, control."""

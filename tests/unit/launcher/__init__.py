"""The launcher: what it checks, what it asks of EMR."""

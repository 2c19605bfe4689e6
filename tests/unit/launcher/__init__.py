"""The launcher: its checks and its requests to EMR."""

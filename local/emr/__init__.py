"""EMR as the local cloud plays it: its API, clusters, steps, and the nodes' credentials."""

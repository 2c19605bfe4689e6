"""The fake EMR of the local cloud: its API, clusters, steps, and the nodes' credentials."""

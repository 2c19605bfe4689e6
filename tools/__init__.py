"""Developers' tools: environments, Java, Hadoop, data sets, the job's archive, sample events."""
